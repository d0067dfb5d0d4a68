//! Hosts among themselves: names, addresses, roles, the endpoint.

use std::{collections::HashMap, net::Ipv4Addr};

use crate::{
    inventory::{Host, Inventory, Role},
    yaml::{Document, Problem},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let mut addresses: HashMap<Ipv4Addr, &str> = HashMap::new();
    for (name, host) in &document.value.hosts {
        if name == "localhost" {
            problems.push(
                Problem::new(document.tree.key_at(&["hosts", name]), "a host cannot be called `localhost`")
                    .help("every machine has this name for itself: choose one that tells it from the others"),
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
    endpoint(document, &addresses, problems);
}

/// Why no host can be reached at an address.
fn unusable(address: Ipv4Addr) -> Option<&'static str> {
    match address {
        _ if address.is_loopback() => Some("a loopback address: every machine has it"),
        _ if address.is_unspecified() => Some("no address at all"),
        _ if address.is_multicast() => Some("a multicast address"),
        _ if address.is_broadcast() => Some("the broadcast address"),
        _ => None,
    }
}

fn control_plane(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let roles = |name: &str| document.tree.at(&["hosts", name, "roles"]);
    let found: Vec<&str> = document.value.with_role(Role::ControlPlane).map(|(name, _)| name).collect();
    match found.as_slice() {
        [] if document.complete => problems.push(
            Problem::new(document.tree.key_at(&["hosts"]), "no host has the role `control-plane`")
                .label("none of these")
                .help("add `control-plane` to the roles of one host"),
        ),
        [] | [_] => {}
        [first, others @ ..] => {
            let mut problem = Problem::new(
                roles(first),
                format!("{} hosts have the role `control-plane`, and this version supports one", found.len()),
            )
            .label("the first")
            .help(
                "keep it on one host and make the others `worker`; more than one comes with a later version",
            );
            for other in others {
                problem = problem.also(roles(other), "another");
            }
            problems.push(problem);
        }
    }
}

fn endpoint(document: &Document<Inventory>, hosts: &HashMap<Ipv4Addr, &str>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let Some(address) = &inventory.cluster.endpoint.address else { return };
    let Ok(ip) = address.parse::<Ipv4Addr>() else { return };
    let Some(name) = hosts.get(&ip) else { return };
    if inventory.hosts.get(*name).is_some_and(|host: &Host| !host.has(Role::ControlPlane)) {
        problems.push(
            Problem::new(
                document.tree.at(&["cluster", "endpoint", "address"]),
                format!("the endpoint is the address of `{name}`, which runs no API server"),
            )
            .label("a worker's address")
            .also(document.tree.at(&["hosts", name, "roles"]), "no `control-plane` here")
            .help("write the address of a control-plane host, or leave the endpoint out to take the first one's"),
        );
    }
}
