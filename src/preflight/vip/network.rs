//! Whether the virtual address is one of the control planes' network.
//!
//! The inventory alone cannot tell, for it does not say how long the network's prefix is: `hoist check` stops what no network
//! could contain and warns of what few do. The hosts know.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

use super::{
    super::{
        Subject,
        finding::{Check, Finding, Severity},
    },
    can_hold,
};
use crate::inventory::Inventory;

const NETWORK: Check = Check {
    name: "vip-network",
    checked: "whether the virtual address is in the network of the control plane's address",
    expected: "in it, on every control plane: only so can each of them have it",
};

/// Whether the virtual address is in the network of a control plane.
pub fn network(inventory: &Inventory, host: &Subject) -> Option<Finding> {
    let vip = inventory.cluster.endpoint.vip.filter(|_| can_hold(host.host))?;
    if host.facts.addresses.is_empty() {
        return Some(NETWORK.skipped(host.name, "the host told no address: there is no `ip` (iproute2)"));
    }
    let Some(own) = host.facts.addresses.iter().find(|own| own.address == host.host.address) else {
        return Some(NETWORK.skipped(host.name, "the host does not have the address in the inventory"));
    };
    let network = Ipv4Net::new(host.host.address, own.prefix.min(32)).ok()?.trunc();
    let observed = format!("{network} on {}", own.interface);
    if is_host_of(network, vip) {
        return Some(NETWORK.ok(host.name, observed));
    }
    // Where it belongs to another interface, somebody has mixed up two networks.
    let other = host.facts.addresses.iter().find_map(|other| match other.address {
        IpAddr::V4(address) if other.address != own.address && other.address != IpAddr::from(vip) => {
            let network = Ipv4Net::new(address, other.prefix.min(32)).ok()?.trunc();
            (network.prefix_len() < 32 && is_host_of(network, vip)).then_some((network, &other.interface))
        }
        _ => None,
    });
    let (elsewhere, fix) = match other {
        Some((network, interface)) => (
            format!(", but in {network} on {interface}"),
            "hoist puts it on the interface of the host's address in the inventory: choose a free address of that \
             network for `vip`, or give the hosts their addresses of the other network in the inventory",
        ),
        None => (
            String::new(),
            "choose a free address of that network for `vip`; control planes in different networks cannot hand an \
             address to each other: use `local: true`, or a load balancer of your own at `address`",
        ),
    };
    Some(NETWORK.error(host.name, format!("{vip} is no address for a host in {observed}{elsewhere}"), fix))
}

/// Whether a host of the network can have the address. Neither the network's own address nor its broadcast is anybody's; a
/// network of two has neither.
fn is_host_of(network: Ipv4Net, address: Ipv4Addr) -> bool {
    let usable =
        network.prefix_len() >= 31 || (address != network.network() && address != network.broadcast());
    network.contains(&address) && usable
}

/// Control planes of a running cluster that cannot have the virtual address that they shall get: it is new, for none of
/// them has it. One that somebody has is not judged again: the cluster works with it, whatever leads there.
pub fn moved(inventory: &Inventory, hosts: &[Subject]) -> Vec<Finding> {
    let Some(vip) = inventory.cluster.endpoint.vip else { return Vec::new() };
    if hosts.iter().any(|host| host.facts.addresses.iter().any(|own| own.address == vip)) {
        return Vec::new();
    }
    let joined = hosts.iter().filter(|host| host.facts.kubernetes.joined);
    let judged = joined.filter_map(|host| network(inventory, host));
    judged.filter(|finding| finding.severity == Severity::Error).collect()
}
