//! Hosts among themselves: names, addresses, roles.

use std::{collections::HashMap, net::Ipv4Addr};

use crate::{
    inventory::{Inventory, Role},
    yaml::{Document, Problem},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let mut addresses: HashMap<Ipv4Addr, &str> = HashMap::new();
    for (name, host) in &document.value.hosts {
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

fn control_plane(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    if document.complete && document.value.with_role(Role::ControlPlane).next().is_none() {
        problems.push(
            Problem::new(document.tree.key_at(&["hosts"]), "no host has the role `control-plane`")
                .label("none of these")
                .help("add `control-plane` to the roles of one host"),
        );
    }
}
