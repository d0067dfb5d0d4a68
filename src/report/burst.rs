//! The network of workers in EC2, for people.

use std::fmt::Write as _;

use super::table::Table;
use crate::burst::network::{Network, WIREGUARD};

/// What there would be, and who would reach whom.
pub fn network(network: &Network) -> String {
    let list = |nets: &[ipnet::Ipv4Net]| nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut zones = Table::new(["ZONE", "WORKERS", "GATEWAY"]);
    for zone in &network.zones {
        zones.row([zone.name.clone(), zone.workers.to_string(), zone.gateway.to_string()]);
    }
    let office = if network.office.is_empty() { String::from("anywhere") } else { list(&network.office) };
    let mut text = String::new();
    let _ = writeln!(text, "For {} in {}, VPC {}:\n{zones}", network.cluster, network.region, network.vpc);
    let _ = writeln!(
        text,
        "Machines dial one gateway ({}) at UDP port {WIREGUARD}, from {office}.",
        network.gateway_type
    );
    let _ = writeln!(
        text,
        "Workers reach {} and the internet through it; nothing else reaches them.",
        list(&network.lan)
    );
    let tags: Vec<String> = network.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let _ = writeln!(text, "Everything has the tags {}.", tags.join(", "));
    text
}
