//! Workers in EC2: what they need of the rest, and what EC2 would refuse.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::addressed;
use crate::{
    inventory::{Connection, Host, Inventory},
    yaml::{Document, Problem, listed},
};

/// Sizes of a VPC and of its subnets: https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
const SUBNETS: std::ops::RangeInclusive<u8> = 16..=28;

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let burst = &document.value.burst;
    if !burst.is_wanted() {
        return;
    }
    let keys = [
        ("region", burst.region.is_none()),
        ("subnets", burst.subnets.is_empty()),
        ("max_instances", burst.max_instances.is_none()),
        ("monthly_budget", burst.monthly_budget.is_none()),
    ];
    // A key that is there but was left out for a mistake has been reported.
    let missing = keys.into_iter().filter(|(key, absent)| {
        *absent && document.tree.get(&["burst", key]).is_none_or(|node| node.is_empty())
    });
    let missing: Vec<&str> = missing.map(|(key, _)| key).collect();
    if !missing.is_empty() {
        problems.push(
            Problem::new(
                document.tree.key_at(&["burst"]),
                format!("`burst` lacks {}", listed(missing.iter().copied(), "and")),
            )
            .label("said in part")
            .help("say all of it, so that there are no costs without a limit, or leave `burst` out"),
        );
    }
    partition(document, problems);
    sizes(document, problems);
    numbers(document, problems);
    inside(document, problems);
    names(document, problems);
    connection(document, problems);
    reached(document, problems);
    ranges(document, problems);
}

/// AWS' regions for China and the government of the United States have other names of things, other prices, and no parameters
/// of the systems' makers.
fn partition(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let Some(region) = &document.value.burst.region else { return };
    if ["cn-", "us-gov-", "us-iso", "eu-isoe-"].iter().any(|begin| region.starts_with(begin)) {
        problems.push(
            Problem::new(document.tree.at(&["burst", "region"]), format!("hoist rents nothing in {region}"))
                .label("in a part of AWS of its own")
                .help("its permissions, prices and images are those of AWS' usual regions, such as eu-central-1"),
        );
    }
}

fn sizes(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let burst = &document.value.burst;
    let at = |key: &str, index: usize| document.tree.at(&["burst", key, &index.to_string()]);
    let workers = burst.subnets.iter().enumerate();
    let gateways = burst.gateway_subnets.iter().enumerate();
    let all = workers
        .map(|(index, net)| (net, at("subnets", index), "a /22 has room for about a thousand instances"));
    let all = all.chain(gateways.map(|(index, net)| (net, at("gateway_subnets", index), "a /28 is enough")));
    let vpc = burst.vpc.iter().map(|net| (net, document.tree.at(&["burst", "vpc"]), "a /16 is usual"));
    for (net, span, help) in all.chain(vpc).filter(|(net, ..)| !SUBNETS.contains(&net.prefix_len())) {
        problems.push(
            Problem::new(span, format!("{net} has a size that EC2 refuses"))
                .label(format!("neither between /{} and /{}", SUBNETS.start(), SUBNETS.end()))
                .help(help),
        );
    }
}

/// What goes with `subnets` one by one.
fn numbers(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let burst = &document.value.burst;
    let wanted = burst.subnets.len();
    let lists = [("gateway_subnets", burst.gateway_subnets.len()), ("zones", burst.zones.len())];
    for (key, number) in lists.into_iter().filter(|(_, number)| *number != 0 && *number != wanted) {
        problems.push(
            Problem::new(
                document.tree.at(&["burst", key]),
                format!("`{key}` says {number}, and there are {wanted} subnets"),
            )
            .label("not one for each")
            .also(document.tree.at(&["burst", "subnets"]), "the subnets")
            .help(format!("say one for each of `subnets`, in its order, or leave `{key}` out")),
        );
    }
}

/// The VPC and what is in it, and what must not be.
fn inside(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let burst = &document.value.burst;
    let Some(vpc) = burst.vpc else { return };
    let whole = document.tree.at(&["burst", "vpc"]);
    for (key, list) in [("subnets", &burst.subnets), ("gateway_subnets", &burst.gateway_subnets)] {
        for (index, net) in list.iter().enumerate().filter(|(_, net)| !vpc.contains(*net)) {
            problems.push(
                Problem::new(
                    document.tree.at(&["burst", key, &index.to_string()]),
                    format!("{net} is outside of the VPC"),
                )
                .label("outside")
                .also(whole, vpc.to_string())
                .help("choose a part of the VPC, or a larger VPC"),
            );
        }
    }
    let network = &document.value.cluster.network;
    let others = [
        ("the network of the pods", network.pods, ["cluster", "network", "pods"]),
        ("the network of the services", network.services, ["cluster", "network", "services"]),
    ];
    for (name, net, path) in others.into_iter().filter(|(_, net, _)| net.contains(&vpc) || vpc.contains(net))
    {
        problems.push(
            Problem::new(whole, format!("the VPC and {name} overlap"))
                .label(vpc.to_string())
                .also(document.tree.at(&path), net.to_string())
                .help("choose a VPC that nothing else uses"),
        );
    }
    for (name, _) in addressed(document).filter(|(_, host)| vpc.contains(&host.address)) {
        problems.push(
            Problem::new(
                document.tree.at(&["hosts", name, "address"]),
                format!("the address of `{name}` is in the VPC"),
            )
            .label(format!("inside {vpc}"))
            .also(whole, "the VPC")
            .help("choose a VPC that no machine is in"),
        );
    }
}

fn names(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let burst = &document.value.burst;
    let region = burst.region.as_deref().unwrap_or_default();
    for (index, zone) in burst.zones.iter().enumerate().filter(|(_, zone)| !zone.starts_with(region)) {
        problems.push(
            Problem::new(
                document.tree.at(&["burst", "zones", &index.to_string()]),
                format!("the zone `{zone}` is not in {region}"),
            )
            .label("of another region")
            .also(document.tree.at(&["burst", "region"]), "the region")
            .help("zones of a region are named after it: `eu-central-1a`"),
        );
    }
    for key in burst.tags.keys().filter(|key| key.starts_with("aws:") || key.starts_with("hoist.dev/")) {
        problems.push(
            Problem::new(
                document.tree.key_at(&["burst", "tags", key]),
                format!("the tag `{key}` is not yours to set"),
            )
            .label("reserved")
            .help("names with `aws:` are AWS's, and with `hoist.dev/` hoist's"),
        );
    }
}

/// What instances would ask for in vain: the gateway leads to the machines that are nodes, and to nothing else of the office.
fn reached(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    // A node whose address or roles are mistaken may be the one that is asked.
    let known = ["address", "roles"].iter().all(|key| document.is_whole(&["hosts", "*", key]));
    if !inventory.burst.has_gateway() || !known {
        return;
    }
    let around = |host: &Host| Ipv4Net::new_assert(host.address, 24).trunc();
    let lan: Vec<Ipv4Net> = match inventory.burst.lan.is_empty() {
        true => inventory.hosts.values().map(around).collect(),
        false => inventory.burst.lan.clone(),
    };
    let is_node = |address| inventory.hosts.values().any(|host| host.is_node() && host.address == address);
    let hidden = |url: &str| {
        let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
        let name = authority.split(['/', ':']).next().unwrap_or_default();
        let address: Ipv4Addr = name.parse().ok()?;
        (lan.iter().any(|net| net.contains(&address)) && !is_node(address)).then_some(address)
    };
    let mut asked: Vec<(Vec<String>, &str)> = Vec::new();
    asked.extend(
        inventory.artifacts.url.iter().map(|url| (vec!["artifacts".into(), "url".into()], url.as_str())),
    );
    for (registry, mirrors) in &inventory.cluster.registries {
        asked.extend(mirrors.iter().enumerate().map(|(index, mirror)| {
            let path = ["cluster", "registries", registry, &index.to_string(), "url"].map(str::to_owned);
            (path.to_vec(), mirror.url.as_str())
        }));
    }
    let proxy =
        inventory.cluster.proxy.iter().flat_map(|proxy| [("http", &proxy.http), ("https", &proxy.https)]);
    asked.extend(proxy.filter_map(|(key, url)| {
        Some((["cluster", "proxy", key].map(str::to_owned).to_vec(), url.as_deref()?))
    }));
    for (path, url) in asked {
        let Some(address) = hidden(url) else { continue };
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        problems.push(
            Problem::new(document.tree.at(&path), format!("workers in EC2 do not reach {address}"))
                .label("in the office, and no node")
                .help(
                    "the gateway leads them to the nodes and to the internet alone: have it on a node, or where the internet \
                     reaches it, or set `burst.connection` to `vpn` or `routed`",
                ),
        );
    }
}

/// What the way between here and there needs.
fn connection(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let burst = &document.value.burst;
    let vpn = burst.connection == Connection::Vpn;
    if vpn && burst.vpn_device.is_none() {
        problems.push(
            Problem::new(document.tree.at(&["burst", "connection"]), "`burst` lacks `vpn_device`")
                .label("a VPN needs a device at this end")
                .help("set `vpn_device` to the public address of the office's VPN device, or leave `connection` out"),
        );
    }
    if !vpn && burst.vpn_device.is_some() {
        problems.push(
            Problem::new(document.tree.key_at(&["burst", "vpn_device"]), "`vpn_device` is used by nothing")
                .label("without `connection: vpn`")
                .help("set `connection: vpn`, or leave `vpn_device` out"),
        );
    }
    let Some(existing) = &burst.existing else { return };
    if burst.connection != Connection::Routed {
        problems.push(
            Problem::new(
                document.tree.key_at(&["burst", "existing"]),
                "a network of your own has a connection of your own",
            )
            .label("hoist makes neither gateway nor VPN in it")
            .help("set `connection: routed` and see to it that machines and instances reach each other"),
        );
    }
    if existing.subnets.len() != burst.subnets.len() {
        problems.push(
            Problem::new(
                document.tree.at(&["burst", "existing", "subnets"]),
                format!("{} ids, and there are {} subnets", existing.subnets.len(), burst.subnets.len()),
            )
            .label("not one for each")
            .also(document.tree.at(&["burst", "subnets"]), "their networks")
            .help("say one for each of `subnets`, in its order"),
        );
    }
}

fn ranges(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let instances = &document.value.burst.instances;
    for (key, range) in [("vcpus", instances.vcpus), ("memory", instances.memory)] {
        if range.min > range.max {
            problems.push(
                Problem::new(
                    document.tree.at(&["burst", "instances", key]),
                    format!("`{key}` begins with {} and ends with {}", range.min, range.max),
                )
                .label("nothing is in it")
                .help("set `min` to at most `max`"),
            );
        }
    }
    if instances.vcpus.min > document.value.burst.max_vcpus {
        problems.push(
            Problem::new(
                document.tree.at(&["burst", "instances", "vcpus"]),
                format!("no instance fits into `max_vcpus`, {}", document.value.burst.max_vcpus),
            )
            .label("larger")
            .help("raise `max_vcpus`, or allow smaller instances"),
        );
    }
}
