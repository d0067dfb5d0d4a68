//! From an inventory and facts to what the engine works on: which roles a host has and what they see.

use serde_json::{Value, json};

use super::{
    Observed, balancer,
    components::{components, limits_pods},
    etcd,
    files::url,
    first,
    kubeadm::{Kubeadm, flags},
    runtime,
    secrets::Key,
    volumes,
};
use crate::{
    artifact::{Image, Index},
    engine::{Context, Target},
    facts::Facts,
    inventory::{Etcd, Host, Inventory, KubeadmAddon, MTU_BETWEEN_SITES, Plugin, Role, pod_subnet},
};

/// What each observed host shall be: with the roles of a node, or with `only` these. Without an index of artifacts the
/// names of artifacts are not defined for templates. With `only`, no host begins a cluster.
pub fn targets(
    inventory: &Inventory,
    observed: &Observed,
    index: Option<&Index>,
    only: Option<&[String]>,
) -> Vec<Target> {
    // Only where no control plane lives, the first in the inventory begins a cluster. All others join one.
    let speaker = first(inventory, observed);
    let initializes = match speaker {
        None if only.is_none() => inventory.with_role(Role::ControlPlane).map(|(name, _)| name).next(),
        _ => None,
    };
    let kubeadm = Kubeadm::of(inventory);
    let common = common(inventory, index, kubeadm.as_ref());
    let shared_initiators = volumes::shared_initiators(inventory, observed);
    observed
        .iter()
        .filter_map(|(name, facts)| {
            let host = inventory.hosts.get(name)?;
            let mut context = common.clone();
            let mut own = host_context(inventory, name, host, index);
            let initializes = initializes == Some(name);
            own["initializes"] = json!(initializes);
            own["kubeadm_flags"] = json!(flags(inventory, facts, initializes));
            own["registration"] = json!(kubeadm.as_ref().map(|kubeadm| kubeadm.registration(name, host)));
            own["etcd"] = etcd::host_context(inventory, observed, name, only.is_some());
            own["balancer"] = json!(balancer::balancer(inventory, name, host, observed));
            own["containerd"] = runtime::containerd(inventory, index, facts);
            own["disks"] = volumes::disks(host);
            own["longhorn_disks"] = json!(volumes::longhorn_disks(host));
            own["shared_initiator"] = json!(shared_initiators.get(name.as_str()));
            let speaks = initializes || speaker == Some(name);
            own["encryption_key"] = json!(Key::of(inventory, observed, name, speaks));
            context.set("host", own);
            context.set("facts", facts);
            context.set("vars", inventory.vars(host));
            let roles = only.map_or_else(|| roles(inventory, host, facts), <[String]>::to_vec);
            Some(Target { name: name.clone(), roles, context })
        })
        .collect()
}

/// What is the same for all hosts. It is there once: each host seeing all hosts must not cost hosts times hosts.
pub(super) fn common(inventory: &Inventory, index: Option<&Index>, kubeadm: Option<&Kubeadm>) -> Context {
    let mut common = Context::default();
    common.set("cluster", cluster(inventory, index, kubeadm));
    let all = inventory.hosts.iter();
    // A host that is no node has no pods, and no subnet for them, whatever its address would make of it.
    let pods = |host: &Host| pod_subnet(inventory, host).filter(|_| host.is_node());
    let all =
        all.map(|(name, host)| json!({"name": name, "address": host.address, "pod_subnet": pods(host)}));
    common.set("hosts", all.collect::<Vec<Value>>());
    common
}

/// What the templates of add-ons see of a cluster and its hosts, as roles do.
pub fn surroundings(inventory: &Inventory, index: Option<&Index>) -> Context {
    let mut context = Context::default();
    context.set("cluster", cluster(inventory, index, Kubeadm::of(inventory).as_ref()));
    let hosts = inventory.hosts.iter().map(|(name, host)| {
        json!({
            "name": name,
            "address": host.address,
            "roles": host.roles.iter().copied().map(Role::name).collect::<Vec<_>>(),
            "site": host.site,
            "labels": host.labels,
        })
    });
    context.set("hosts", hosts.collect::<Vec<Value>>());
    context.set("vars", &inventory.vars);
    context
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
        roles.extend(volumes::roles(inventory, host));
        if inventory.balances(host) {
            roles.push("load-balancer");
        }
        // A host that is both joins as a control plane.
        let node = if host.has(Role::ControlPlane) { "control-plane" } else { "worker" };
        // What the API server reads when it starts comes before it.
        roles.extend(["kubernetes", plugin, "hardening"]);
        if host.has(Role::ControlPlane) && inventory.cluster.etcd == Etcd::External {
            // Not earlier, for it waits until etcd lives.
            roles.push("etcd-client");
        }
        roles.push(node);
        if inventory.burst.has_gateway() {
            roles.push("tunnel");
        }
        if host.has(Role::Storage) && inventory.addons.longhorn.is_some() {
            roles.push("longhorn");
        }
        roles.push("hardened");
        if host.has(Role::ControlPlane) {
            if inventory.cluster.etcd == Etcd::Stacked
                && inventory.with_role(Role::ControlPlane).nth(1).is_some()
            {
                roles.push("watches");
            }
            roles.extend(["encryption", "credentials"]);
        }
    }
    roles.into_iter().map(String::from).collect()
}

fn cluster(inventory: &Inventory, index: Option<&Index>, kubeadm: Option<&Kubeadm>) -> Value {
    let cluster = &inventory.cluster;
    let (endpoint, port) = inventory.endpoint().unwrap_or_default();
    let kubeadm_api = kubeadm.map(|kubeadm| kubeadm.api).unwrap_or_default();
    let mut context = json!({
        "name": cluster.name,
        "version": cluster.kubernetes.to_string(),
        "kubeadm_api": kubeadm_api,
        "kubeadm": kubeadm.map(|kubeadm| kubeadm.cluster(inventory)),
        "taints": kubeadm.map(|kubeadm| kubeadm.volume_taints(inventory)),
        "api_names": api_names(inventory),
        "endpoint": endpoint,
        "port": port,
        "api_port": inventory.api_port(),
        "vip": cluster.endpoint.vip,
        "etcd": etcd::cluster_context(inventory),
        "components": components(inventory).context(kubeadm_api),
        "security": cluster.security,
        "limits_pods": limits_pods(inventory),
        "pods": cluster.network.pods,
        "services": cluster.network.services,
        "kubelet": cluster.kubelet,
        "kube_proxy": cluster.kube_proxy,
        "cilium": inventory.cilium(),
        "proxy": runtime::proxy(inventory),
        "registries": runtime::registries(inventory),
        "authorities": runtime::authorities(inventory),
        "tunnel": tunnel(inventory),
    });
    if let Some(index) = index {
        context["pause"] = json!(index.reference("pause"));
        let extras = index.extras.iter().map(|file| {
            (
                file.name.clone(),
                json!({
                    "source": file.path,
                    "url": url(inventory, index, &file.path, &file.sha256),
                    "sha256": file.sha256,
                }),
            )
        });
        context["extras"] = Value::Object(extras.collect());
    }
    context
}

/// The machines' side of the way to workers in EC2, where hoist keeps a gateway between them.
fn tunnel(inventory: &Inventory) -> Option<Value> {
    let burst = &inventory.burst;
    burst.has_gateway().then(|| json!({"networks": burst.subnets, "mtu": MTU_BETWEEN_SITES}))
}

/// Each API server's certificate has its own address and the endpoint by itself. So control planes come and go without a
/// new certificate for the others.
fn api_names(inventory: &Inventory) -> Vec<String> {
    let mut names = vec!["127.0.0.1".to_string(), "localhost".to_string()];
    // With balancers on 127.0.0.1 the endpoint is that, and what leads there from outside is one more name.
    names.extend(inventory.shared_address().filter(|_| inventory.cluster.endpoint.local));
    names
}

pub(super) fn host_context(inventory: &Inventory, name: &str, host: &Host, index: Option<&Index>) -> Value {
    let mut context = json!({
        "name": name,
        "address": host.address,
        "pod_subnet": pod_subnet(inventory, host),
        "control_plane": host.has(Role::ControlPlane),
        "labels": host.labels,
    });
    if let Some(index) = index {
        context["binaries"] = binaries(inventory, index);
        let wants = |image: &Image| image.everywhere || wanted(inventory, host, &image.name);
        context["images"] = images(inventory, index, wants);
    }
    context
}

fn binaries(inventory: &Inventory, index: &Index) -> Value {
    let files = index.files.iter();
    files
        .map(|file| {
            json!({
                "name": file.name,
                "source": file.path,
                "url": url(inventory, index, &file.path, &file.sha256),
                "sha256": file.sha256,
            })
        })
        .collect()
}

pub(super) fn images(inventory: &Inventory, index: &Index, wants: impl Fn(&Image) -> bool) -> Value {
    let images = index.images.iter().filter(|image| wants(image));
    images
        .map(|image| {
            json!({
                "reference": image.reference,
                "digest": image.digest,
                "source": image.path,
                "url": url(inventory, index, &image.path, &image.sha256),
                "sha256": image.sha256,
            })
        })
        .collect()
}

/// Whether a host needs an image: those of the control plane only where one runs, those of an add-on wherever it may.
pub(super) fn wanted(inventory: &Inventory, host: &Host, image: &str) -> bool {
    let deployed = |addon| !inventory.skipped_addons().contains(&addon);
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
    fn hosts_that_are_no_nodes_have_no_pods_to_lead_to() {
        let text = include_str!("../../tests/fixtures/cluster/etcd.yaml");
        // It would have the subnet of w1.
        let text = text.replace("10.77.0.23", "10.77.1.12");
        let inventory = inventory::parse("etcd.yaml", &text).unwrap().inventory;
        let hosts = common(&inventory, None, None).get("hosts");
        let subnets: Vec<_> = (0..5).map(|index| hosts[index]["pod_subnet"].as_str()).collect();
        assert_eq!(subnets, [None, None, None, Some("10.244.11.0/24"), Some("10.244.12.0/24")]);
        assert_eq!(hosts[2]["address"], "10.77.1.12", "its name is known all the same");
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
    fn only_where_etcd_grows_on_control_planes_watches_are_begun_anew() {
        let (mut lab, facts) = lab();
        let begins_anew = |lab: &Inventory| {
            let targets = targets(lab, &facts, None, None).into_iter();
            let has = |role: &str| role == "watches";
            targets.filter(|target| target.roles.iter().any(|role| has(role))).map(|it| it.name).collect()
        };
        let hosts: Vec<String> = begins_anew(&lab);
        assert_eq!(hosts, Vec::<String>::new(), "a single one");
        lab.hosts["w1"].roles = vec![Role::ControlPlane];
        let hosts: Vec<String> = begins_anew(&lab);
        assert_eq!(hosts, ["cp1", "w1"]);
        lab.cluster.etcd = Etcd::External;
        let hosts: Vec<String> = begins_anew(&lab);
        assert_eq!(hosts, Vec::<String>::new(), "hosts of its own");
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
