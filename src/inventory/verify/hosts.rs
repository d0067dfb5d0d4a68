//! Hosts among themselves: names, addresses, roles.

use std::{collections::HashMap, net::Ipv4Addr};

use super::addressed;
use crate::{
    inventory::{Inventory, Role},
    yaml::{Document, Problem},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let mut addresses: HashMap<Ipv4Addr, &str> = HashMap::new();
    for name in document.value.hosts.keys() {
        let reserved = match name.as_str() {
            "localhost" => Some("every machine has this name for itself"),
            "all" => Some("it stands for every host where hosts are selected"),
            _ => None,
        };
        if let Some(reason) = reserved {
            problems.push(
                Problem::new(
                    document.tree.key_at(&["hosts", name]),
                    format!("a host cannot be called `{name}`"),
                )
                .label(reason)
                .help("choose a name that tells it from the others"),
            );
        }
    }
    for (name, host) in addressed(document) {
        let span = document.tree.at(&["hosts", name, "address"]);
        if let Some(reason) = unusable(host.address) {
            problems.push(
                Problem::new(span, format!("`{name}` cannot have the address {}", host.address))
                    .label(reason)
                    .help("write the address at which the other hosts reach it"),
            );
        }
        match addresses.get(&host.address) {
            Some(first) => problems.push(
                Problem::new(span, format!("`{first}` and `{name}` have the same address"))
                    .label("again here")
                    .also(document.tree.at(&["hosts", first, "address"]), "first here")
                    .help("give each host its own address, or remove one of the two"),
            ),
            None => _ = addresses.insert(host.address, name),
        }
    }
    control_plane(document, problems);
}

/// Why no host can be reached at an address.
pub(super) fn unusable(address: Ipv4Addr) -> Option<&'static str> {
    match address {
        _ if address.is_loopback() => Some("a loopback address: every machine has it"),
        _ if address.is_unspecified() => Some("no address at all"),
        _ if address.is_multicast() => Some("a multicast address"),
        _ if address.is_broadcast() => Some("the broadcast address"),
        _ => None,
    }
}

/// How many control planes are supported, as of etcd's members: more make writing slower and survive nothing that these do
/// not. https://etcd.io/docs/v3.6/faq/#what-is-maximum-cluster-size
const CONTROL_PLANES: usize = 7;

fn control_plane(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    if !document.is_whole(&["hosts", "*", "roles"]) {
        return;
    }
    let planes: Vec<&str> = document.value.with_role(Role::ControlPlane).map(|(name, _)| name).collect();
    if planes.is_empty() {
        problems.push(
            Problem::new(document.tree.key_at(&["hosts"]), "no host has the role `control-plane`")
                .label("none of these")
                .help("add `control-plane` to the roles of one host"),
        );
    }
    if let Some(first) = planes.get(CONTROL_PLANES) {
        problems.push(
            Problem::new(
                document.tree.at(&["hosts", first, "roles"]),
                format!("{} hosts have the role `control-plane`: a cluster has one to seven", planes.len()),
            )
            .label("the eighth")
            .help("take the role from the others, which can be workers; three or five are enough for most clusters"),
        );
    }
}
