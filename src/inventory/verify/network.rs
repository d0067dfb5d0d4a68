//! Networks: sizes and overlaps.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use miette::Severity;

use super::{
    addressed,
    ranges::{Range, Ranges},
};
use crate::{
    inventory::{Host, Inventory, Metallb, POD_SUBNET_PREFIX, Plugin, pod_subnet},
    yaml::{Document, Problem, Span},
};

/// The controller manager hands out at most 2^16 node subnets (`--node-cidr-mask-size` minus the prefix of
/// the cluster's network).
const LARGEST_PODS: u8 = POD_SUBNET_PREFIX - 16;
/// The API server takes no service network larger than 20 bits, and no smaller than 8 addresses.
const SERVICES: std::ops::RangeInclusive<u8> = 12..=29;
/// The smallest pod subnet: one address for the bridge and at least one for a pod.
const SMALLEST_POD_SUBNET: u8 = 30;

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    sizes(document, problems);
    room(document, problems);
    overlaps(document, problems);
    pod_subnets(document, problems);
}

fn span_of(document: &Document<Inventory>, network: &str) -> Span {
    document.tree.at(&["cluster", "network", network])
}

fn sizes(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let network = &document.value.cluster.network;
    let pods = network.pods;
    if pods.prefix_len() > POD_SUBNET_PREFIX {
        problems.push(
            Problem::new(span_of(document, "pods"), format!("the pod network {pods} is too small"))
                .label(format!("no room for a /{POD_SUBNET_PREFIX}"))
                .help(format!("each host takes a /{POD_SUBNET_PREFIX}: a /16 has room for 256 hosts")),
        );
    } else if pods.prefix_len() < LARGEST_PODS {
        problems.push(
            Problem::new(span_of(document, "pods"), format!("the pod network {pods} is too large"))
                .label(format!("larger than a /{LARGEST_PODS}"))
                .help("Kubernetes divides a network into at most 65536 parts: a /16 has room for 256 hosts"),
        );
    }
    if !SERVICES.contains(&network.services.prefix_len()) {
        problems.push(
            Problem::new(
                span_of(document, "services"),
                format!("the service network {} has a size that the API server refuses", network.services),
            )
            .label(format!("neither between /{} and /{}", SERVICES.start(), SERVICES.end()))
            .help("a /16 has room for 65534 services"),
        );
    }
}

/// A plugin that hands out parts of the pod network itself gives each node one, rented ones too. With the plugin `bridge`
/// hosts choose, which is looked at host by host.
fn room(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let network = &inventory.cluster.network;
    // Who has values for Cilium's `ipam` divides the network in another way.
    let own = inventory.addons.cilium.as_ref().is_some_and(|cilium| cilium.values.contains_key("ipam"));
    let known = LARGEST_PODS..=POD_SUBNET_PREFIX;
    let whole = document.is_whole(&["cluster", "network"]);
    if network.plugin == Plugin::Bridge || own || !whole || !known.contains(&network.pods.prefix_len()) {
        return;
    }
    let hosts = inventory.hosts.values().filter(|host| host.is_node()).count() as u64;
    let rented = u64::from(inventory.burst.max_instances.unwrap_or(0));
    let (nodes, room) = (hosts + rented, 1_u64 << (POD_SUBNET_PREFIX - network.pods.prefix_len()));
    if nodes <= room {
        return;
    }
    // The largest network that there may be has room for 65536.
    let bits = nodes.next_power_of_two().ilog2().min(u32::from(POD_SUBNET_PREFIX - LARGEST_PODS));
    let smallest = u32::from(POD_SUBNET_PREFIX) - bits;
    let mut problem = Problem::new(
        span_of(document, "pods"),
        format!("the pod network {} has room for {room} nodes, but there may be {nodes}", network.pods),
    )
    .label(format!("divided into {room} /{POD_SUBNET_PREFIX}"));
    let mut wanted = format!("{hosts} hosts");
    if rented > 0 {
        let at = document.tree.at(&["burst", "max_instances"]);
        problem = problem.also(at, format!("up to {rented} of them rented"));
        wanted += &format!(" and up to {rented} rented ones");
    }
    problems.push(problem.help(format!(
        "each node takes a /{POD_SUBNET_PREFIX}: {wanted} need at least a /{smallest}. Choose it before the cluster is \
         made: the network cannot be changed afterwards"
    )));
}

/// Addresses that are set aside for something.
struct Taken {
    /// `the network of the pods`.
    name: &'static str,
    /// Completes "choose … for …".
    purpose: &'static str,
    /// Whether a machine may have one of them for good, if whoever hands them out knows.
    reserved: bool,
    shown: String,
    span: Span,
}

fn overlaps(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let taken = Ranges::new(taken(document));
    for (one, other) in taken.overlaps() {
        let second = if one.name == other.name { "another one" } else { other.name };
        problems.push(
            Problem::new(other.span, format!("{} and {second} overlap", one.name))
                .label(other.shown.clone())
                .also(one.span, one.shown.clone())
                .help(format!("choose addresses for {} that nothing else uses", other.purpose)),
        );
    }
    for (kind, whose, span, address) in machines(document) {
        if let Some(taken) = taken.holding(address) {
            let problem = Problem::new(span, format!("{whose} is in {}, {}", taken.name, taken.shown))
                .label(format!("inside {}", taken.shown))
                .also(taken.span, taken.name);
            let outside = "take an address outside of the range";
            problems.push(match (taken.reserved, kind) {
                (true, Machine::Host) => problem.severity(Severity::Warning).help(format!(
                    "unless the server reserves it for this machine, another one gets it some day: {outside}"
                )),
                (true, Machine::Shared) => problem.help(format!("{outside}, or shorten the range")),
                (false, _) => {
                    problem.help(format!("choose addresses for {} that no machine uses", taken.purpose))
                }
            });
        }
    }
}

fn taken(document: &Document<Inventory>) -> Vec<Range<Taken>> {
    let inventory = &document.value;
    let network = &inventory.cluster.network;
    let whole = |name, purpose, network: Ipv4Net, span| {
        Range::network(network, Taken { name, purpose, reserved: false, shown: network.to_string(), span })
    };
    let mut all = vec![
        whole("the network of the pods", "the pods", network.pods, span_of(document, "pods")),
        whole("the network of the services", "the services", network.services, span_of(document, "services")),
    ];
    for (index, subnet) in inventory.burst.subnets.iter().enumerate() {
        let span = document.tree.at(&["burst", "subnets", &index.to_string()]);
        all.push(whole("a subnet of `burst`", "the instances", *subnet, span));
    }
    for (index, subnet) in inventory.burst.gateway_subnets.iter().enumerate() {
        let span = document.tree.at(&["burst", "gateway_subnets", &index.to_string()]);
        all.push(whole("a gateway's subnet of `burst`", "the gateway", *subnet, span));
    }
    for (_, path, pool, _) in inventory.addons.metallb.iter().flat_map(Metallb::ranges) {
        let path: Vec<&str> =
            ["addons", "metallb"].into_iter().chain(path.iter().map(String::as_str)).collect();
        let of = Taken {
            name: "a pool of MetalLB",
            purpose: "the pool",
            reserved: false,
            shown: pool.to_string(),
            span: document.tree.at(&path),
        };
        all.push(Range { first: pool.first, last: pool.last, of });
    }
    for (index, range) in network.dhcp.iter().enumerate() {
        let of = Taken {
            name: "a range of a DHCP server",
            purpose: "the DHCP server",
            reserved: true,
            shown: range.to_string(),
            span: document.tree.at(&["cluster", "network", "dhcp", &index.to_string()]),
        };
        all.push(Range { first: range.first, last: range.last, of });
    }
    all
}

/// What has an address of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Machine {
    Host,
    /// An address that goes from one machine to another: no server can reserve it.
    Shared,
}

/// Everything with an address of its own: what it is, what to call it, where it stands, the address.
fn machines(document: &Document<Inventory>) -> Vec<(Machine, String, Span, Ipv4Addr)> {
    let inventory = &document.value;
    let hosts = addressed(document).map(|(name, host)| {
        let span = document.tree.at(&["hosts", name, "address"]);
        (Machine::Host, format!("the address of `{name}`"), span, host.address)
    });
    let mut all: Vec<_> = hosts.collect();
    let endpoint = &inventory.cluster.endpoint;
    let at = |key| document.tree.at(&["cluster", "endpoint", key]);
    if let Some(vip) = endpoint.vip {
        all.push((Machine::Shared, "the virtual address".into(), at("vip"), vip));
    }
    let address = endpoint.address.as_deref().and_then(|text| text.parse::<Ipv4Addr>().ok());
    // The address of a host has been looked at with the host.
    if let Some(address) = address.filter(|it| addressed(document).all(|(_, host)| host.address != *it)) {
        all.push((Machine::Host, "the address of the endpoint".into(), at("address"), address));
    }
    all
}

/// A host and its part of the pod network, and where that stands.
type Part<'a> = (&'a String, &'a Host, Ipv4Net, Span);

/// Each host's part of the pod network, which the bridge of the host takes.
fn pod_subnets(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let pods = inventory.cluster.network.pods;
    let mut parts = Vec::new();
    for (name, host) in &inventory.hosts {
        let span = document.tree.at(&["hosts", name, "pod_subnet"]);
        if let Some(own) = host.pod_subnet {
            if inventory.cluster.network.plugin != Plugin::Bridge {
                problems.push(
                    Problem::new(span, format!("the pod subnet of `{name}` has no effect"))
                        .label("not used")
                        .severity(Severity::Warning)
                        .help("only the network plugin `bridge` lets hosts choose: remove it"),
                );
                continue;
            }
            if !pods.contains(&own) {
                problems.push(
                    Problem::new(
                        span,
                        format!("the pod subnet of `{name}` is outside of the pod network {pods}"),
                    )
                    .label("outside")
                    .also(span_of(document, "pods"), format!("pods: {pods}"))
                    .help("choose a part of the pod network, or leave it out to have one derived"),
                );
                continue;
            }
            if own.prefix_len() > SMALLEST_POD_SUBNET {
                problems.push(
                    Problem::new(span, format!("the pod subnet of `{name}` has room for no pod"))
                        .label("too small")
                        .help(format!(
                            "take at least a /{SMALLEST_POD_SUBNET}; a /{POD_SUBNET_PREFIX} is usual"
                        )),
                );
            }
        }
        if host.pod_subnet.is_none() && !document.is_whole(&["hosts", name, "address"]) {
            continue;
        }
        let takes_one = inventory.cluster.network.plugin == Plugin::Bridge && host.is_node();
        let subnet = pod_subnet(inventory, host).filter(|_| takes_one);
        parts.extend(subnet.map(|subnet| Range::network(subnet, (name, host, subnet, span))));
    }
    if !document.is_whole(&["cluster", "network"]) {
        return;
    }
    // Two hosts with one address have been told so, and would be told the same again.
    let others = |pair: &(&Part<'_>, &Part<'_>)| pair.0.1.address != pair.1.1.address;
    for (one, other) in Ranges::new(parts).overlaps().filter(others) {
        let [(first, _, taken, at), (second, _, subnet, span)] =
            if one.3.offset() < other.3.offset() { [one, other] } else { [other, one] };
        problems.push(
            Problem::new(*span, format!("`{first}` and `{second}` would take the same pod subnet"))
                .label(format!("`{second}` takes {subnet}"))
                .also(*at, format!("`{first}` takes {taken}"))
                .help(format!(
                    "set pod_subnet on the one that is in no cluster yet, to a free part of {pods}; without it, the last \
                     digits of the address decide"
                )),
        );
    }
}
