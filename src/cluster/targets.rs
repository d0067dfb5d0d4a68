//! From an inventory and facts to what the engine works on: which roles a host has and what they see.

use serde_json::{Value, json};

use super::{
    Observed,
    components::{components, limits_pods},
    first,
    secrets::Key,
};
use crate::{
    artifact::Index,
    engine::{Context, Target},
    facts::Facts,
    inventory::{Etcd, Host, Inventory, Plugin, Release, Role, pod_subnet},
};

/// What each observed host shall be: with the roles of a node, or with `only` these. Without an index of artifacts the
/// names of artifacts are not defined for templates. With `only`, no host begins a cluster.
pub fn targets(
    inventory: &Inventory,
    facts: &Observed,
    index: Option<&Index>,
    only: Option<&[String]>,
) -> Vec<Target> {
    // Where no control plane lives, the first in the inventory begins the cluster.
    let observed = facts;
    let initializes = match first(inventory, facts) {
        None if only.is_none() => inventory.with_role(Role::ControlPlane).map(|(name, _)| name).next(),
        first => first,
    };
    // What is the same for all is there once: each host seeing all hosts must not cost hosts times hosts.
    let mut common = Context::default();
    common.set("cluster", cluster(inventory, index));
    let all = inventory.hosts.iter();
    let all = all.map(|(name, host)| json!({"name": name, "address": host.address, "pod_subnet": pod_subnet(inventory, host)}));
    common.set("hosts", all.collect::<Vec<Value>>());
    facts
        .iter()
        .filter_map(|(name, facts)| {
            let host = inventory.hosts.get(name)?;
            let mut context = common.clone();
            let initializes = initializes == Some(name);
            let mut host_context = host_context(inventory, name, host, index, initializes);
            host_context["encryption_key"] = json!(Key::of(inventory, observed, name, initializes));
            context.set("host", host_context);
            context.set("facts", facts);
            context.set("vars", inventory.vars(host));
            let roles = only.map_or_else(|| roles(inventory, host, facts), <[String]>::to_vec);
            Some(Target { name: name.clone(), roles, context })
        })
        .collect()
}

/// The engine's roles of a host. What connects pods comes before the node joins, so that it is ready at once.
pub(super) fn roles(inventory: &Inventory, host: &Host, facts: &Facts) -> Vec<String> {
    let plugin = match inventory.cluster.network.plugin {
        Plugin::Bridge => "bridge",
        Plugin::Cilium => "cilium",
    };
    let mut roles = Vec::new();
    if facts.virtualization == "vmware" {
        roles.push("vmware");
    }
    if host.has(Role::Etcd) && inventory.cluster.etcd == Etcd::External {
        roles.push("etcd");
    }
    if host.is_node() {
        if host.has(Role::Storage) {
            roles.push("storage");
        }
        if inventory.balances(host) {
            roles.push("load-balancer");
        }
        // A host that is both joins as a control plane.
        let node = if host.has(Role::ControlPlane) { "control-plane" } else { "worker" };
        // What the API server reads when it starts comes before it.
        roles.extend(["kubernetes", plugin, "hardening", node, "labels", "hardened"]);
        if host.has(Role::ControlPlane) {
            roles.extend(["encryption", "credentials"]);
        }
    }
    roles.into_iter().map(String::from).collect()
}

fn cluster(inventory: &Inventory, index: Option<&Index>) -> Value {
    let cluster = &inventory.cluster;
    let (endpoint, port) = inventory.endpoint().unwrap_or_default();
    let mut api_names = vec![endpoint.clone(), "127.0.0.1".to_string()];
    api_names.extend(inventory.with_role(Role::ControlPlane).map(|(_, host)| host.address.to_string()));
    api_names.sort();
    api_names.dedup();
    let kubeadm_api = Release::of(&cluster.kubernetes).map(|release| release.kubeadm_api).unwrap_or_default();
    let mut context = json!({
        "name": cluster.name,
        "version": cluster.kubernetes.to_string(),
        "kubeadm_api": kubeadm_api,
        "endpoint": endpoint,
        "port": port,
        "api_port": inventory.api_port(),
        "vip": cluster.endpoint.vip,
        "etcd": etcd(inventory),
        "components": components(inventory).context(kubeadm_api),
        "security": cluster.security,
        "limits_pods": limits_pods(inventory),
        "api_names": api_names,
        "pods": cluster.network.pods,
        "services": cluster.network.services,
        "kubelet": cluster.kubelet,
        "kube_proxy": cluster.kube_proxy,
    });
    if let Some(index) = index {
        context["pause"] = json!(index.reference("pause"));
    }
    context
}

/// Where etcd is, in the order of the inventory.
fn etcd(inventory: &Inventory) -> Value {
    let members = inventory.with_role(inventory.etcd_role());
    let members = members.map(|(name, host)| json!({"name": name, "address": host.address}));
    json!({
        "external": inventory.cluster.etcd == Etcd::External,
        "members": members.collect::<Vec<Value>>(),
    })
}

fn host_context(
    inventory: &Inventory,
    name: &str,
    host: &Host,
    index: Option<&Index>,
    initializes: bool,
) -> Value {
    let pairs = |divider: &str| {
        let words = host.labels.iter().map(|(key, value)| format!("{key}={value}"));
        words.collect::<Vec<_>>().join(divider)
    };
    let mut context = json!({
        "name": name,
        "address": host.address,
        "pod_subnet": pod_subnet(inventory, host),
        "control_plane": host.has(Role::ControlPlane),
        "initializes": initializes,
        "kubeadm_flags": kubeadm_flags(inventory, initializes),
        "taints": taints(host),
        "labels": host.labels,
        "label_words": pairs(" "),
        "label_selector": pairs(","),
    });
    if let Some(index) = index {
        context["binaries"] = binaries(index);
        context["images"] = images(index, host);
    }
    context
}

fn binaries(index: &Index) -> Value {
    let files = index.files.iter();
    files.map(|file| json!({"name": file.name, "source": file.path, "sha256": file.sha256})).collect()
}

fn images(index: &Index, host: &Host) -> Value {
    let images = index.images.iter().filter(|image| wanted(host, &image.name));
    images
        .map(|image| {
            json!({"reference": image.reference, "digest": image.digest, "source": image.path, "sha256": image.sha256})
        })
        .collect()
}

/// Whether a host needs an image: those of the control plane only where one runs.
fn wanted(host: &Host, image: &str) -> bool {
    match image {
        "kube-apiserver" | "kube-controller-manager" | "kube-scheduler" | "etcd" => {
            host.has(Role::ControlPlane)
        }
        "pause" | "kube-proxy" => true,
        // What users deploy, by default not on hosts that are only control planes.
        _ => host.has(Role::Worker),
    }
}

fn kubeadm_flags(inventory: &Inventory, initializes: bool) -> String {
    let mut flags = Vec::new();
    let ignored = &inventory.cluster.ignore_preflight_errors;
    if !ignored.is_empty() {
        flags.push(format!("--ignore-preflight-errors={}", ignored.join(",")));
    }
    let skipped: Vec<String> =
        inventory.cluster.skip_addons.iter().map(|addon| format!("addon/{}", addon.name())).collect();
    if initializes && !skipped.is_empty() {
        flags.push(format!("--skip-phases={}", skipped.join(",")));
    }
    flags.join(" ")
}

/// Taints as kubeadm's nodeRegistration has them. A host that is only a control plane keeps workloads away.
fn taints(host: &Host) -> Vec<Value> {
    let parsed = host.taints.iter().filter_map(|taint| {
        let (key_value, effect) = taint.rsplit_once(':')?;
        let (key, value) = key_value.split_once('=').unwrap_or((key_value, ""));
        Some(json!({"key": key, "value": value, "effect": effect}))
    });
    let mut taints: Vec<Value> = parsed.collect();
    if host.has(Role::ControlPlane) && !host.has(Role::Worker) {
        taints.push(json!({"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"}));
    }
    taints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{facts::Facts, inventory};

    #[test]
    fn a_host_that_is_only_a_control_plane_keeps_workloads_away() {
        let taints_of = |text: &str, name: &str| {
            let inventory = inventory::parse("t.yaml", text).unwrap().inventory;
            serde_json::to_string(&taints(&inventory.hosts[name])).unwrap()
        };
        let lab = include_str!("../../inventory/lab.yaml");
        let master = r#"[{"key":"node-role.kubernetes.io/master","effect":"NoSchedule"}]"#;
        assert_eq!(taints_of(lab, "cp1"), master);
        assert_eq!(taints_of(lab, "w1"), "[]");
        let both = lab.replace("roles: [control-plane]", "roles: [control-plane, worker]");
        assert_eq!(taints_of(&both, "cp1"), "[]");
        let three = include_str!("../../inventory/three.yaml");
        assert_eq!(
            taints_of(three, "w2"),
            r#"[{"key":"storage","value":"slow","effect":"PreferNoSchedule"}]"#
        );
    }

    fn lab() -> (Inventory, Observed) {
        let lab = inventory::parse("lab.yaml", include_str!("../../inventory/lab.yaml")).unwrap().inventory;
        let facts = lab.hosts.keys().map(|name| (name.clone(), Facts::default())).collect();
        (lab, facts)
    }

    #[test]
    fn the_first_in_the_inventory_begins_a_cluster_unless_only_roles_are_meant() {
        let (lab, facts) = lab();
        let begins = |only: Option<&[String]>| {
            let targets = targets(&lab, &facts, None, only).into_iter();
            targets
                .filter(|target| target.context.get("host")["initializes"] == true)
                .map(|target| target.name)
                .collect()
        };
        let names: Vec<String> = begins(None);
        assert_eq!(names, ["cp1"]);
        let names: Vec<String> = begins(Some(&["base".to_string()]));
        assert_eq!(names, Vec::<String>::new());
    }

    #[test]
    fn without_an_index_artifacts_are_not_defined_rather_than_empty() {
        let (lab, facts) = lab();
        let context = &targets(&lab, &facts, None, None)[0].context;
        for (part, name) in [("cluster", "pause"), ("host", "binaries"), ("host", "images")] {
            assert!(context.get(part).get(name).is_none(), "{name}");
        }
    }
}
