//! The monitoring of clients' networks.

use std::collections::HashMap;

use miette::Severity;

use super::{NAME_A_CLASS, asked, has_default_class};
use crate::{
    inventory::{Inventory, Monitoring, Plugin},
    yaml::{Document, Problem},
};

/// Namespaces of add-ons that are not called like one.
const SYSTEM: [&str; 5] = ["default", "longhorn-system", "metallb-system", "nfs-provisioner", "monitoring"];

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let Some(monitoring) = &inventory.addons.monitoring else { return };
    names(document, monitoring, problems);
    hosts(document, monitoring, problems);
    let whole = document.is_whole(&["addons"]);
    if whole && monitoring.storage_class.is_none() && !has_default_class(inventory) {
        problems.push(
            Problem::new(asked(document, "monitoring"), "nothing makes the volumes of the clients")
                .label("every client has a database, and no add-on has a default storage class")
                .help(NAME_A_CLASS),
        );
    }
    if inventory.cluster.network.plugin == Plugin::Bridge {
        problems.push(
            Problem::new(asked(document, "monitoring"), "nothing keeps the clients apart")
                .label("its network policies have no effect with the network plugin `bridge`")
                .help("set `cluster.network.plugin` to `cilium`")
                .severity(Severity::Warning),
        );
    }
    for (name, client) in &monitoring.clients {
        // What is left out for a mistake has been reported.
        if document.is_whole(&["addons", "monitoring", "clients", name])
            && client.devices.is_empty()
            && client.ping.is_empty()
        {
            problems.push(
                Problem::new(
                    document.tree.key_at(&["addons", "monitoring", "clients", name]),
                    format!("nothing is measured for `{name}`"),
                )
                .label("has neither `devices` nor `ping`")
                .help("name what is asked by SNMP or pinged, or take the client out"),
            );
        }
    }
}

/// Each client has a namespace of its name, which nobody else may have.
fn names(document: &Document<Inventory>, monitoring: &Monitoring, problems: &mut Vec<Problem>) {
    let addons = document.value.addons.names();
    for name in monitoring.clients.keys() {
        let own = document.value.addons.own.values().any(|own| own.namespace == *name);
        let taken =
            own || name.starts_with("kube-") || SYSTEM.contains(&name.as_str()) || addons.contains(name);
        if taken {
            problems.push(
                Problem::new(
                    document.tree.key_at(&["addons", "monitoring", "clients", name]),
                    format!("the namespace `{name}` is not for a client"),
                )
                .label("the name of a client is that of its namespace")
                .help(format!("choose another, such as `client-{name}`")),
            );
        }
    }
}

/// Each Grafana has a DNS name of its own, and somebody who leads there.
fn hosts(document: &Document<Inventory>, monitoring: &Monitoring, problems: &mut Vec<Problem>) {
    let mut first = HashMap::new();
    for (name, client) in &monitoring.clients {
        let Some(host) = &client.host else { continue };
        let place = document.tree.at(&["addons", "monitoring", "clients", name, "host"]);
        if let Some(other) = first.insert(host, place) {
            problems.push(
                Problem::new(place, format!("two clients have the host {host}"))
                    .label("again here")
                    .also(other, "first here")
                    .help("give each its own"),
            );
        }
        if document.value.addons.registry.as_ref().is_some_and(|registry| registry.host == *host) {
            let of_registry = document.tree.at(&["addons", "registry", "host"]);
            problems.push(
                Problem::new(place, format!("`{name}` and the registry have the host {host}"))
                    .label("this one")
                    .also(of_registry, "that of the registry")
                    .help("give each its own"),
            );
        }
        if document.is_whole(&["addons"]) && document.value.addons.ingress_nginx.is_none() {
            problems.push(
                Problem::new(place, format!("nothing leads to {host}"))
                    .label("needs ingress-nginx")
                    .help("add `ingress-nginx` to the add-ons, or take the host out"),
            );
        }
    }
}
