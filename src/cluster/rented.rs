//! A node that is rented: it stands in no inventory, and what it is called and where it is are known only when it boots.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    balancer,
    kubeadm::{Kubeadm, flags},
    runtime,
    targets::{common, host_context, images, wanted},
};
use crate::{
    artifact::{Image, Index, extra},
    engine::{Context, Target},
    facts::Facts,
    inventory::{Host, Inventory, Role, Ssh},
};

/// What is its own about a rented node. Where it is not known yet, something stands for it that no shell reads in another
/// way than as letters.
#[derive(Debug, Clone, Copy)]
pub struct Rented<'a> {
    /// Its name in the cluster.
    pub name: &'a str,
    pub address: &'a str,
    /// `aws:///ZONE/INSTANCE`
    pub provider_id: &'a str,
    /// `spot` or `on-demand`.
    pub capacity: &'a str,
    pub labels: &'a BTreeMap<String, String>,
    /// As in `kubectl taint`.
    pub taints: &'a [String],
}

/// How long past the lifetime that the controller gives it a node ends itself, whatever runs there: time to put another in
/// its place, and to drain it.
pub const BEYOND: Duration = Duration::from_secs(2 * 3600);

/// What a rented node shall be: a worker as others are, but for what needs the inventory to know it. `facts` are those of
/// the image that it boots.
pub fn rented(inventory: &Inventory, index: Option<&Index>, facts: &Facts, node: &Rented<'_>) -> Target {
    let kubeadm = Kubeadm::of(inventory);
    let host = worker();
    let balancer = balancer::rented(inventory);
    let mut own = host_context(inventory, node.name, &host, index);
    if let Some(index) = index {
        let elsewhere = elsewhere(inventory);
        let wants = |image: &Image| {
            let name = image.name.as_str();
            wanted(inventory, &host, name) && name != "coredns" && !elsewhere.contains(&image.reference)
        };
        own["images"] = images(inventory, index, wants);
    }
    let lifetime = u64::from(inventory.burst.lifetime_hours) * 3600 + BEYOND.as_secs();
    own["rented"] = json!({"capacity": node.capacity, "lifetime": lifetime});
    own["address"] = json!(node.address);
    own["pod_subnet"] = Value::Null;
    own["initializes"] = json!(false);
    own["kubeadm_flags"] = json!(flags(inventory, facts, false));
    own["registration"] = json!(kubeadm.as_ref().map(|kubeadm| kubeadm.rented(node)));
    own["balancer"] = json!(balancer);
    own["containerd"] = runtime::containerd(inventory, index, facts);
    let mut vars = inventory.vars(&host);
    if let Value::Object(base) = vars.entry("base").or_insert_with(|| json!({})) {
        // The hosts do not know its name either. The makers of the images see to the clock.
        base.extend(["hosts", "time"].map(|what| (what.to_string(), json!(false))));
    }
    let mut context: Context = common(inventory, index, kubeadm.as_ref());
    context.set("host", own);
    context.set("facts", facts);
    context.set("vars", vars);
    Target { name: node.name.to_owned(), roles: roles(inventory, balancer.is_some()), context }
}

/// What gives the node back comes first, so that it does whatever happens afterwards. Replicas of volumes are never here,
/// nor pods that use them.
fn roles(inventory: &Inventory, balances: bool) -> Vec<String> {
    let mut roles = vec!["burst", "fetch"];
    if inventory.addons.nfs_provisioner.is_some() {
        roles.push("nfs-client");
    }
    if balances {
        roles.push("load-balancer");
    }
    roles.extend(["kubernetes", "cilium", "hardening", "worker", "hardened"]);
    roles.into_iter().map(String::from).collect()
}

/// Without these no pod has a network. Each node runs them.
const NETWORK: [&str; 2] = ["cilium-cilium", "cilium-cilium-envoy"];

/// Images of add-ons whose pods are elsewhere, as long as they have room there: a node that is here for an hour must not wait
/// for them. Should it come to run one after all, containerd pulls it.
fn elsewhere(inventory: &Inventory) -> BTreeSet<String> {
    // Of an add-on that is not known nothing can be left out.
    let images = extra(inventory).map(|extra| extra.images).unwrap_or_default().into_iter();
    let references =
        images.filter(|(name, ..)| !NETWORK.contains(&name.as_str())).map(|(_, reference, _)| reference);
    references.filter(|reference| !inventory.artifacts.images.contains(reference)).collect()
}

/// As an inventory would say it.
fn worker() -> Host {
    Host {
        address: Ipv4Addr::UNSPECIFIED,
        roles: vec![Role::Worker],
        site: None,
        labels: Default::default(),
        taints: Vec::new(),
        pod_subnet: None,
        disks: Vec::new(),
        ssh: Ssh::default(),
        vars: Default::default(),
    }
}
