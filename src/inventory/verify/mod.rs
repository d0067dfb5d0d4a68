//! What the schema cannot say: how the values of an inventory fit together.

mod addons;
mod artifacts;
mod burst;
mod disks;
mod endpoint;
mod etcd;
mod etcd_settings;
mod failure_detection;
mod hosts;
mod labels;
mod network;
mod outside;
mod paths;
mod ranges;
mod role_vars;
mod sites;

use std::iter;

use serde_json::{Map, Value};

use super::{Host, Inventory, Release, version};
use crate::yaml::{Document, Problem};

/// Every inconsistency in the inventory, and what is worth a warning.
pub(super) fn verify(document: &Document<Inventory>) -> Vec<Problem> {
    let mut problems = Vec::new();
    kubernetes(document, &mut problems);
    hosts::verify(document, &mut problems);
    endpoint::verify(document, &mut problems);
    etcd::verify(document, &mut problems);
    role_vars::verify(document, &mut problems);
    etcd_settings::verify(document, &mut problems);
    sites::verify(document, &mut problems);
    addons::verify(document, &mut problems);
    burst::verify(document, &mut problems);
    failure_detection::verify(document, &mut problems);
    network::verify(document, &mut problems);
    outside::verify(document, &mut problems);
    disks::verify(document, &mut problems);
    labels::verify(document, &mut problems);
    paths::verify(document, &mut problems);
    artifacts::verify(document, &mut problems);
    problems
}

/// The hosts whose address is what the inventory says.
fn addressed(document: &Document<Inventory>) -> impl Iterator<Item = (&String, &Host)> {
    document.value.hosts.iter().filter(|(name, _)| document.is_whole(&["hosts", name, "address"]))
}

/// Every `vars`, that of the inventory and those of hosts, and where it stands.
fn all_vars(inventory: &Inventory) -> impl Iterator<Item = (Vec<&str>, &Map<String, Value>)> {
    let hosts = inventory.hosts.iter().map(|(name, host)| (vec!["hosts", name.as_str(), "vars"], &host.vars));
    iter::once((vec!["vars"], &inventory.vars)).chain(hosts)
}

fn kubernetes(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let version = &document.value.cluster.kubernetes;
    if document.is_whole(&["cluster", "kubernetes"]) && Release::of(version).is_none() {
        let known = version::listed(|_| true);
        problems.push(
            Problem::new(
                document.tree.at(&["cluster", "kubernetes"]),
                format!("Kubernetes {version} is not supported"),
            )
            .label("not supported")
            .help(format!("choose a patch release of one of these: {known}")),
        );
    }
}
