//! From an inventory and facts to what the engine works on: which roles a host has and what they see.

use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::{
    artifact::Index,
    engine::Target,
    facts::Facts,
    inventory::{Host, Inventory, Plugin, Role, pod_subnet},
};

/// Facts by host. Hosts that could not be reached are absent.
pub type Observed = IndexMap<String, Facts>;

/// The control plane that speaks for the cluster in this run: the first living one, whichever that is.
pub fn first<'a>(inventory: &'a Inventory, facts: &Observed) -> Option<&'a str> {
    let living = |name: &&str| facts.get(*name).is_some_and(|facts| facts.kubernetes.control_plane);
    inventory.with_role(Role::ControlPlane).map(|(name, _)| name).find(living)
}

/// Hosts that belong to a cluster of which no control plane lives: to begin a new one would abandon them.
pub fn orphans<'a>(inventory: &Inventory, facts: &'a Observed) -> Vec<&'a str> {
    if first(inventory, facts).is_some() {
        return Vec::new();
    }
    facts.iter().filter(|(_, facts)| facts.kubernetes.joined).map(|(name, _)| name.as_str()).collect()
}

/// What each observed host shall be.
pub fn targets(inventory: &Inventory, facts: &Observed, index: &Index) -> Vec<Target> {
    // Where no control plane lives, the first in the inventory begins the cluster.
    let initializes = match first(inventory, facts) {
        Some(first) => Some(first),
        None => inventory.with_role(Role::ControlPlane).map(|(name, _)| name).next(),
    };
    let cluster = cluster(inventory, index);
    let hosts: Vec<Value> = inventory
        .hosts
        .iter()
        .map(|(name, host)| json!({"name": name, "address": host.address, "pod_subnet": pod_subnet(inventory, host)}))
        .collect();
    facts
        .iter()
        .filter_map(|(name, facts)| {
            let host = inventory.hosts.get(name)?;
            let context = json!({
                "cluster": cluster,
                "host": host_context(inventory, name, host, index, initializes == Some(name)),
                "hosts": hosts,
                "facts": facts,
                "vars": inventory.vars(host),
            });
            Some(Target { name: name.clone(), roles: roles(inventory, host, facts), context })
        })
        .collect()
}

/// The engine's roles of a host. What connects pods comes before the node joins, so that it is ready at once.
fn roles(inventory: &Inventory, host: &Host, facts: &Facts) -> Vec<String> {
    let plugin = match inventory.cluster.network.plugin {
        Plugin::Bridge => "bridge",
    };
    let mut roles = Vec::new();
    if facts.virtualization == "vmware" {
        roles.push("vmware".to_string());
    }
    roles.extend(["kubernetes".to_string(), plugin.to_string()]);
    // A host that is both joins as a control plane.
    roles.push(if host.has(Role::ControlPlane) { "control-plane" } else { "worker" }.to_string());
    roles.push("labels".to_string());
    roles
}

fn cluster(inventory: &Inventory, index: &Index) -> Value {
    let cluster = &inventory.cluster;
    let (endpoint, port) = inventory.endpoint().unwrap_or_default();
    let mut api_names = vec![endpoint.clone(), "127.0.0.1".to_string()];
    api_names.extend(inventory.with_role(Role::ControlPlane).map(|(_, host)| host.address.to_string()));
    api_names.sort();
    api_names.dedup();
    json!({
        "name": cluster.name,
        "version": cluster.kubernetes.to_string(),
        "kubeadm_api": "v1beta2",
        "endpoint": endpoint,
        "port": port,
        "api_names": api_names,
        "pods": cluster.network.pods,
        "services": cluster.network.services,
        "kubelet": cluster.kubelet,
        "kube_proxy": cluster.kube_proxy,
        "pause": index.reference("pause"),
    })
}

fn host_context(inventory: &Inventory, name: &str, host: &Host, index: &Index, initializes: bool) -> Value {
    let binaries: Vec<Value> = index
        .files
        .iter()
        .map(|file| json!({"name": file.name, "source": file.path, "sha256": file.sha256}))
        .collect();
    let images: Vec<Value> = index
        .images
        .iter()
        .filter(|image| wanted(host, &image.name))
        .map(|image| {
            json!({"reference": image.reference, "digest": image.digest, "source": image.path, "sha256": image.sha256})
        })
        .collect();
    let pairs = |divider: &str| {
        let words = host.labels.iter().map(|(key, value)| format!("{key}={value}"));
        words.collect::<Vec<_>>().join(divider)
    };
    json!({
        "name": name,
        "address": host.address,
        "pod_subnet": pod_subnet(inventory, host),
        "initializes": initializes,
        "kubeadm_flags": kubeadm_flags(inventory, initializes),
        "taints": taints(host),
        "labels": host.labels,
        "label_words": pairs(" "),
        "label_selector": pairs(","),
        "binaries": binaries,
        "images": images,
    })
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
    use crate::{facts::Kubernetes, inventory};

    fn facts(joined: [bool; 3], control_plane: bool) -> Observed {
        let state = |(index, joined): (usize, bool)| {
            let kubernetes = Kubernetes { joined, control_plane: control_plane && index == 0 };
            (["cp1", "w1", "w2"][index].to_string(), Facts { kubernetes, ..Facts::default() })
        };
        joined.into_iter().enumerate().map(state).collect()
    }

    #[test]
    fn workers_of_a_lost_control_plane_are_not_abandoned() {
        let inventory =
            inventory::parse("lab.yaml", include_str!("../../inventory/lab.yaml")).unwrap().inventory;
        for (joined, control_plane, orphaned) in [
            ([false, false, false], false, vec![]),
            ([true, true, true], true, vec![]),
            ([true, false, false], true, vec![]),
            ([false, true, true], false, vec!["w1", "w2"]),
        ] {
            assert_eq!(orphans(&inventory, &facts(joined, control_plane)), orphaned, "{joined:?}");
        }
    }

    #[test]
    fn the_first_in_the_inventory_begins_and_the_living_one_goes_on() {
        let inventory =
            inventory::parse("lab.yaml", include_str!("../../inventory/lab.yaml")).unwrap().inventory;
        assert_eq!(first(&inventory, &facts([false; 3], false)), None);
        assert_eq!(first(&inventory, &facts([true; 3], true)), Some("cp1"));
    }

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
}
