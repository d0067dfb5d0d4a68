//! The network of workers in EC2, for people.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use ipnet::Ipv4Net;

use super::worst::workers;
use crate::report::table::Table;
use crate::{
    burst::{
        gateway::disk_gib,
        network::{Made, Network, WIREGUARD},
        quota::Bucket,
    },
    inventory::{Burst, Capacity, Connection},
};

/// Of the smallest types, the gateway's.
const GATEWAY_VCPUS: u32 = 2;
/// By which AWS reckons a month.
const HOURS: f64 = 730.0;

/// US dollars an hour, as AWS listed them for us-east-1 in February 2026. Sources:
/// <https://aws.amazon.com/vpc/pricing/> (addresses, NAT), <https://aws.amazon.com/vpn/pricing/>,
/// <https://aws.amazon.com/kms/pricing/>.
mod price {
    pub const ADDRESS: f64 = 0.005;
    pub const NAT: f64 = 0.045;
    pub const VPN: f64 = 0.05;
    /// A t4g.nano on demand.
    pub const NANO: f64 = 0.0042;
    /// A GiB of gp3, by <https://aws.amazon.com/ebs/pricing/>. This and the key have a price for a month.
    pub const DISK: f64 = 0.08 / super::HOURS;
    pub const KEY: f64 = 1.0 / super::HOURS;
}

/// What there would be, who would reach whom, and what that would cost before anything is rented.
pub fn network(network: &Network, burst: &Burst) -> String {
    let mut zones = Table::new(["ZONE", "WORKERS", "GATEWAY"]);
    for zone in &network.zones {
        let gateway = zone.gateway.map(|net| net.to_string()).unwrap_or_default();
        zones.row([zone.name.clone(), zone.workers.to_string(), gateway]);
    }
    let mut text = String::new();
    if let Some(existing) = &network.existing {
        let _ = writeln!(text, "For {} in {}:\n{zones}", network.cluster, network.region);
        let _ = writeln!(
            text,
            "The network is there already: {}, with {}. Nothing is made.",
            existing.subnets.join(", "),
            existing.security_groups.join(", ")
        );
    } else {
        let _ =
            writeln!(text, "For {} in {}, VPC {}:\n{zones}", network.cluster, network.region, network.vpc);
        text += &ways(network);
        let tags: Vec<String> = network.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let _ = writeln!(text, "Everything has the tags {}.\n", tags.join(", "));
        text += &costs(network, burst);
    }
    text += &workers(burst);
    text += &quotas(network, burst);
    text
}

fn list(nets: &[Ipv4Net]) -> String {
    nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Who reaches whom.
fn ways(network: &Network) -> String {
    let lan = list(&network.lan);
    match network.connection {
        Connection::Gateway => {
            let office =
                if network.office.is_empty() { String::from("anywhere") } else { list(&network.office) };
            format!(
                "Machines dial one gateway ({}) at UDP port {WIREGUARD}, from {office}.\n\
                 Workers reach the nodes in {lan} and the internet through it; nothing else reaches them.\n",
                network.gateway_type
            )
        }
        Connection::Vpn => {
            let device = network.vpn_device.map(|device| device.to_string()).unwrap_or_default();
            format!(
                "AWS' VPN has two tunnels to the device {device}, which somebody else sets up.\n\
                 Workers reach {lan} through it, and the internet through NAT; nothing else reaches them.\n"
            )
        }
        Connection::Routed => format!(
            "Workers reach the internet through NAT. Their way to {lan}, and back, is yours to make:\n\
             add routes to their route table.\n"
        ),
    }
}

/// What the network costs although nothing is rented.
fn costs(network: &Network, burst: &Burst) -> String {
    let mut table = Table::new(["WITHOUT A WORKER", "AN HOUR", "A MONTH"]);
    let mut row = |what: &str, hour: f64| {
        table.row([what.to_owned(), format!("{hour:.4}"), format!("{:.2}", hour * HOURS)]);
    };
    row("a public address", price::ADDRESS);
    row("the key of disks", price::KEY);
    if network.connection != Connection::Gateway {
        row("NAT gateway", price::NAT);
    }
    if network.connection == Connection::Vpn {
        row("VPN", price::VPN);
    }
    let kind = network.gateway_type.as_str();
    let gateway = burst.prices.get(kind).copied().or_else(|| (kind == "t4g.nano").then_some(price::NANO));
    if network.connection == Connection::Gateway {
        if let Some(hour) = gateway {
            row(&format!("the gateway, a {kind}"), hour);
        }
        let gib = disk_gib(burst);
        row(&format!("its disk of {gib} GiB"), f64::from(gib) * price::DISK);
    }
    let credits = match network.connection {
        Connection::Gateway => credits(kind),
        Connection::Vpn | Connection::Routed => String::new(),
    };
    let more = match network.connection {
        Connection::Gateway if gateway.is_some() => String::new(),
        Connection::Gateway => format!("the gateway, a {kind}, and "),
        Connection::Vpn | Connection::Routed => format!("{} for each GB through NAT, and ", price::NAT),
    };
    format!(
        "{table}US dollars, AWS' list of February 2026 for us-east-1; other regions cost up to half more. To that\n\
         comes {more}traffic out of AWS.{credits}\n\n"
    )
}

/// What a gateway that computes on credits may cost beyond its price: it is launched as the account's default says.
fn credits(gateway_type: &str) -> String {
    let hour = match gateway_type.split('.').next() {
        Some("t4g") => 0.04,
        Some("t3" | "t3a") => 0.05,
        _ => return String::new(),
    };
    format!("\nWhat the gateway computes beyond its credits costs {hour} for each hour of a vCPU.")
}

/// What the account must allow: any bucket that workers may come from may have to hold all of them.
fn quotas(network: &Network, burst: &Burst) -> String {
    let instances = &burst.instances;
    let named = if instances.types.is_empty() { &instances.families } else { &instances.types };
    let mut workers: BTreeSet<Bucket> = named.iter().map(|name| Bucket::of(name)).collect();
    if workers.is_empty() {
        workers.insert(Bucket::Standard);
    }
    let mut needed: BTreeMap<(Bucket, Reverse<Capacity>), u32> = BTreeMap::new();
    for (bucket, capacity) in workers.iter().flat_map(|it| burst.capacity.iter().map(move |of| (*it, *of))) {
        needed.insert((bucket, Reverse(capacity)), burst.max_vcpus);
    }
    if network.connection == Connection::Gateway && network.existing.is_none() {
        let bucket = Bucket::of(&network.gateway_type);
        *needed.entry((bucket, Reverse(Capacity::OnDemand))).or_default() += GATEWAY_VCPUS;
    }
    let mut table = Table::new(["QUOTA OF THE ACCOUNT", "CODE", "NEEDED"]);
    for ((bucket, Reverse(capacity)), vcpus) in needed {
        if let Some((name, code)) = bucket.quota(capacity) {
            table.row([name.to_owned(), code.to_owned(), format!("{vcpus} vCPUs")]);
        }
    }
    if network.existing.is_none() {
        // The address is the gateway's, or that of NAT.
        for (name, code) in [("VPCs per Region", "L-F678F1CE"), ("EC2-VPC Elastic IPs", "L-0263D0A3")] {
            table.row([name.to_owned(), code.to_owned(), String::from("1")]);
        }
    }
    let new = "New accounts have 5 of each, but 0 of instances that are not Standard";
    format!("{table}{new}; Service Quotas in AWS' console raises them.\n")
}

/// What there is now.
pub fn made(made: &Made) -> String {
    let mut table = Table::new(["WHAT", "ID"]);
    let mut row = |what: &str, id: &str| table.row([what.to_owned(), id.to_owned()]);
    if let Some(vpc) = &made.vpc {
        row("VPC", vpc);
    }
    for (zone, subnet) in &made.subnets {
        row(&format!("workers in {zone}"), subnet);
    }
    row("security groups", &made.security_groups.join(", "));
    let others = [
        ("route table", &made.routes),
        ("instance profile", &made.instance_profile),
        ("key of disks", &made.kms_key),
        ("VPN", &made.vpn_connection),
    ];
    for (what, id) in others {
        if let Some(id) = id {
            row(what, id);
        }
    }
    if let Some(gateway) = &made.gateway {
        row("gateway's address", &gateway.address.to_string());
        row("gateway's interface", &gateway.interface);
    }
    table.to_string()
}
