//! From an inventory and facts to what the engine works on: which roles a host has and what they see.

use serde_json::{Value, json};

use super::{
    Observed, balancer,
    components::components,
    first,
    kubeadm::{Kubeadm, flags},
};
use crate::{
    artifact::Index,
    engine::{Context, Target},
    facts::Facts,
    inventory::{Etcd, Host, Inventory, KubeadmAddon, Plugin, Role, pod_subnet},
};

/// What each observed host shall be: with the roles of a node, or with `only` these. Without an index of artifacts the
/// names of artifacts are not defined for templates. With `only`, no host begins a cluster.
pub fn targets(
    inventory: &Inventory,
    facts: &Observed,
    index: Option<&Index>,
    only: Option<&[String]>,
) -> Vec<Target> {
    // Only where no control plane lives, the first in the inventory begins a cluster. All others join one.
    let initializes = match first(inventory, facts) {
        None if only.is_none() => inventory.with_role(Role::ControlPlane).map(|(name, _)| name).next(),
        _ => None,
    };
    // What is the same for all is there once: each host seeing all hosts must not cost hosts times hosts.
    let kubeadm = Kubeadm::of(inventory);
    let mut common = Context::default();
    common.set("cluster", cluster(inventory, index, kubeadm.as_ref()));
    let all = inventory.hosts.iter();
    let all = all.map(|(name, host)| json!({"name": name, "address": host.address, "pod_subnet": pod_subnet(inventory, host)}));
    common.set("hosts", all.collect::<Vec<Value>>());
    facts
        .iter()
        .filter_map(|(name, facts)| {
            let host = inventory.hosts.get(name)?;
            let mut context = common.clone();
            let mut own = host_context(inventory, name, host, index);
            let initializes = initializes == Some(name);
            own["initializes"] = json!(initializes);
            own["kubeadm_flags"] = json!(flags(inventory, facts, initializes));
            own["registration"] = json!(kubeadm.as_ref().map(|kubeadm| kubeadm.registration(name, host)));
            own["balancer"] = json!(balancer::balancer(inventory, name, host, facts));
            context.set("host", own);
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
        roles.extend(["kubernetes", plugin, node, "labels"]);
    }
    roles.into_iter().map(String::from).collect()
}

fn cluster(inventory: &Inventory, index: Option<&Index>, kubeadm: Option<&Kubeadm>) -> Value {
    let cluster = &inventory.cluster;
    let (endpoint, port) = inventory.endpoint().unwrap_or_default();
    let mut api_names = vec!["127.0.0.1".to_string(), "localhost".to_string()];
    // With balancers on 127.0.0.1 the endpoint is that, and what leads there from outside is one more name.
    api_names.extend(inventory.shared_address().filter(|_| cluster.endpoint.local));
    let kubeadm_api = kubeadm.map(|kubeadm| kubeadm.api).unwrap_or_default();
    let mut context = json!({
        "name": cluster.name,
        "version": cluster.kubernetes.to_string(),
        "kubeadm_api": kubeadm_api,
        "kubeadm": kubeadm.map(|kubeadm| kubeadm.cluster(inventory)),
        // Each API server's certificate has its own address and the endpoint by itself. So control planes come and go
        // without a new certificate for the others.
        "api_names": api_names,
        "endpoint": endpoint,
        "port": port,
        "api_port": inventory.api_port(),
        "vip": cluster.endpoint.vip,
        "etcd": etcd(inventory),
        "components": components(inventory).context(kubeadm_api),
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

fn host_context(inventory: &Inventory, name: &str, host: &Host, index: Option<&Index>) -> Value {
    let pairs = |divider: &str| {
        let words = host.labels.iter().map(|(key, value)| format!("{key}={value}"));
        words.collect::<Vec<_>>().join(divider)
    };
    let mut context = json!({
        "name": name,
        "address": host.address,
        "pod_subnet": pod_subnet(inventory, host),
        "labels": host.labels,
        "label_words": pairs(" "),
        "label_selector": pairs(","),
    });
    if let Some(index) = index {
        context["binaries"] = binaries(index);
        context["images"] = images(inventory, index, host);
    }
    context
}

fn binaries(index: &Index) -> Value {
    let files = index.files.iter();
    files.map(|file| json!({"name": file.name, "source": file.path, "sha256": file.sha256})).collect()
}

fn images(inventory: &Inventory, index: &Index, host: &Host) -> Value {
    let images = index.images.iter().filter(|image| wanted(inventory, host, &image.name));
    images
        .map(|image| {
            json!({"reference": image.reference, "digest": image.digest, "source": image.path, "sha256": image.sha256})
        })
        .collect()
}

/// Whether a host needs an image: those of the control plane only where one runs, those of an add-on wherever it may.
fn wanted(inventory: &Inventory, host: &Host, image: &str) -> bool {
    let deployed = |addon| !inventory.cluster.skip_addons.contains(&addon);
    match image {
        "kube-apiserver" | "kube-controller-manager" | "kube-scheduler" => host.has(Role::ControlPlane),
        "etcd" => host.has(Role::ControlPlane) && inventory.cluster.etcd == Etcd::Stacked,
        "pause" => true,
        "kube-proxy" => deployed(KubeadmAddon::KubeProxy),
        // It tolerates the taint of control planes, and comes up there when there is nothing else yet.
        "coredns" => deployed(KubeadmAddon::Coredns),
        // What users deploy, by default not on hosts that are only control planes.
        _ => host.has(Role::Worker),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::{Facts, Kubernetes},
        inventory,
    };

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
    fn nobody_begins_a_cluster_where_a_control_plane_lives() {
        let (mut lab, mut facts) = lab();
        lab.hosts["w1"].roles = vec![Role::ControlPlane];
        let kubernetes = Kubernetes { joined: true, control_plane: true, ..Kubernetes::default() };
        facts["w1"] = Facts { kubernetes, ..Facts::default() };
        for target in targets(&lab, &facts, None, None) {
            assert_eq!(target.context.get("host")["initializes"], false, "{}", target.name);
        }
    }

    #[test]
    fn images_are_where_they_may_run_and_nowhere_else() {
        let (mut lab, _) = lab();
        let on = |lab: &Inventory, image: &str| {
            let hosts = lab.hosts.iter().filter(|(_, host)| wanted(lab, host, image));
            hosts.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
        };
        for (image, hosts) in [
            ("pause", "cp1 w1 w2"),
            ("kube-proxy", "cp1 w1 w2"),
            ("kube-scheduler", "cp1"),
            ("etcd", "cp1"),
            ("static-server", "w1 w2"),
            ("coredns", ""),
        ] {
            assert_eq!(on(&lab, image), hosts, "{image}");
        }
        lab.cluster.skip_addons = vec![KubeadmAddon::KubeProxy];
        lab.cluster.etcd = Etcd::External;
        for (image, hosts) in [("coredns", "cp1 w1 w2"), ("kube-proxy", ""), ("etcd", "")] {
            assert_eq!(on(&lab, image), hosts, "{image}");
        }
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
