//! From Kubespray's groups and variables to an inventory of hoist.
//!
//! Names and defaults: https://github.com/kubernetes-sigs/kubespray/tree/master/docs/ansible and
//! roles/kubespray_defaults there.

use std::{net::Ipv4Addr, path::Path};

use indexmap::IndexMap;
use serde_json::{Map, Value as Json, json};

use super::{
    Imported,
    ansible::{Ansible, Vars},
    machine::{self, Machine, machine},
    values::{Values, note_others},
};
use crate::{
    inventory::{KUBERNETES, Release, Role, assign},
    yaml,
};

const CONTROL_PLANE: &[&str] =
    &["kube_control_plane", "kube-control-plane", "kube-controlplane", "kube_master", "kube-master"];
const NODE: &[&str] = &["kube_node", "kube-node"];
const ETCD: &[&str] = &["etcd"];
/// The host through which the others are reached.
const BASTION: &[&str] = &["bastion"];
/// Groups whose hosts get what they need by being in the ones above.
const SILENT: &[&str] = &["all", "ungrouped", "k8s_cluster", "k8s-cluster"];

/// Kubespray's own defaults, which it does not repeat in an inventory.
const PODS: &str = "10.233.64.0/18";
const SERVICES: &str = "10.233.0.0/18";
const API_PORT: &str = "6443";

/// The inventory that this one amounts to.
pub(super) fn convert(path: &Path, mut ansible: Ansible) -> Imported {
    let mut notes = std::mem::take(&mut ansible.notes);
    note_groups(&ansible, &mut notes);
    let stacked =
        ansible.hosts.keys().all(|host| ansible.is_in(host, ETCD) == ansible.is_in(host, CONTROL_PLANE));
    let mut machines = Vec::new();
    let bastion = ansible.hosts.keys().find(|host| ansible.is_in(host, BASTION));
    for name in ansible.hosts.keys() {
        let roles = roles(&ansible, name, stacked);
        match roles.is_empty() {
            true if Some(name) == bastion => {}
            true => notes.push(format!("`{name}` is left out: it is in none of Kubespray's groups")),
            false => machines.push(machine(name, roles, &ansible.vars(name), &mut notes)),
        }
    }
    machine::name_apart(&mut machines, &mut notes);
    // Kubespray reaches every other host through it.
    if let Some(bastion) = bastion {
        let jump = json!(machine::jump(bastion, &ansible.vars(bastion)));
        machines.iter_mut().for_each(|machine| _ = machine.ssh.entry("jump").or_insert_with(|| jump.clone()));
    }
    let vars = speaker(&ansible);
    let mut values = Values { vars: &vars, of: "the cluster", notes: &mut notes };
    let cluster = cluster(path, &mut values, stacked);
    if cluster.plugin == "bridge" {
        give_subnets(&mut machines, &cluster.pods);
    }
    note_others(&ansible, &mut notes);
    notes.sort();
    notes.dedup();
    Imported { text: text(path, &cluster, &machines), notes }
}

fn roles(ansible: &Ansible, host: &str, stacked: bool) -> Vec<Role> {
    let mut roles = Vec::new();
    for (role, groups) in [(Role::Etcd, ETCD), (Role::ControlPlane, CONTROL_PLANE), (Role::Worker, NODE)] {
        if ansible.is_in(host, groups) && !(role == Role::Etcd && stacked) {
            roles.push(role);
        }
    }
    roles
}

/// The variables of the first control plane: what the cluster as a whole is told.
fn speaker(ansible: &Ansible) -> Vars {
    let first = ansible.hosts.keys().find(|host| ansible.is_in(host, CONTROL_PLANE));
    first.map(|host| ansible.vars(host)).unwrap_or_default()
}

fn note_groups(ansible: &Ansible, notes: &mut Vec<String>) {
    let known =
        |name: &str| [CONTROL_PLANE, NODE, ETCD, BASTION, SILENT].iter().any(|names| names.contains(&name));
    for (name, group) in ansible.groups.iter().filter(|(name, _)| !known(name)) {
        let what = match name.as_str() {
            "calico_rr" | "calico-rr" => "hoist has no route reflectors",
            _ => "it means nothing to hoist; places of machines are `sites` there",
        };
        if !group.hosts.is_empty() || !group.children.is_empty() {
            notes.push(format!("the group `{name}` is not taken over: {what}"));
        }
    }
}

/// What the file says of the cluster, each with what it comes from where that is worth a comment.
struct Cluster {
    name: String,
    kubernetes: String,
    was: Option<String>,
    endpoint: Map<String, Json>,
    etcd: &'static str,
    pods: String,
    services: String,
    plugin: &'static str,
}

fn cluster(path: &Path, values: &mut Values, stacked: bool) -> Cluster {
    let (kubernetes, was) = kubernetes(values);
    Cluster {
        name: name(path),
        kubernetes,
        was,
        endpoint: endpoint(values),
        etcd: if stacked { "stacked" } else { "external" },
        pods: values.text("kube_pods_subnet").unwrap_or_else(|| PODS.to_owned()),
        services: values.text("kube_service_addresses").unwrap_or_else(|| SERVICES.to_owned()),
        plugin: plugin(values),
    }
}

/// Kubespray keeps each cluster in a folder of its own.
fn name(path: &Path) -> String {
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    yaml::to_dns_label(&folder).filter(|name| name != "inventory").unwrap_or_else(|| "cluster".to_owned())
}

/// The version, and what it was if that is not known.
fn kubernetes(values: &mut Values) -> (String, Option<String>) {
    let Some(said) = values.text("kube_version") else {
        values.note(format!("no kube_version: {KUBERNETES} is written, choose the one that you want"));
        return (KUBERNETES.to_owned(), None);
    };
    let bare = said.strip_prefix('v').unwrap_or(&said);
    match semver::Version::parse(bare) {
        Ok(version) if Release::of(&version).is_some() => (bare.to_owned(), None),
        _ => {
            values.note(format!("Kubernetes {bare} is not supported: {KUBERNETES} is written instead"));
            (KUBERNETES.to_owned(), Some(said))
        }
    }
}

fn endpoint(values: &mut Values) -> Map<String, Json> {
    let port = values.text("kube_apiserver_port").unwrap_or_else(|| API_PORT.to_owned());
    let mut endpoint = Map::new();
    let balancer = values.map("loadbalancer_apiserver");
    let said = |key: &str| {
        balancer.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let domain = values.text("apiserver_loadbalancer_domain_name");
    let vip = values.text("kube_vip_address");
    let vip = vip.filter(|_| values.truth("kube_vip_enabled") != Some(false));
    let port = match (vip, said("address")) {
        (Some(vip), _) => {
            endpoint.insert("vip".into(), json!(vip));
            port
        }
        (None, Some(address)) => {
            endpoint.insert("address".into(), json!(domain.unwrap_or(address)));
            said("port").unwrap_or(port)
        }
        (None, None) => port,
    };
    if port != API_PORT {
        endpoint.insert("port".into(), port.parse::<u16>().map_or_else(|_| json!(port), |port| json!(port)));
    }
    endpoint
}

fn plugin(values: &mut Values) -> &'static str {
    let said = values.text("kube_network_plugin").unwrap_or_else(|| "calico".to_owned());
    if said == "cilium" {
        return "cilium";
    }
    values.note(format!(
        "the network plugin {said} is replaced by `bridge`, for which all hosts must be in one layer-2 network; the \
         other one that there is is `cilium`"
    ));
    "bridge"
}

/// Where the addresses of two hosts point to the same part of the pod network, the later one is given another.
fn give_subnets(machines: &mut [Machine], pods: &str) {
    let Ok(pods) = pods.parse() else { return };
    let addresses: Vec<Ipv4Addr> =
        machines.iter().filter_map(|machine| machine.address.parse().ok()).collect();
    // Where an address is missing, that is what has to be mended first.
    if addresses.len() == machines.len() {
        for (machine, subnet) in machines.iter_mut().zip(assign(pods, &addresses)) {
            machine.pod_subnet = subnet;
        }
    }
}

fn text(path: &Path, cluster: &Cluster, machines: &[Machine]) -> String {
    let common = Machine::common_ssh(machines);
    let hosts: IndexMap<String, Json> =
        machines.iter().map(|machine| (machine.name.clone(), machine.to_json(&common))).collect();
    let was = cluster.was.as_ref().map(|was| format!(" # kube_version was {was}")).unwrap_or_default();
    let endpoint = match cluster.endpoint.is_empty() {
        true => String::new(),
        false => format!("  endpoint: {}\n", yaml::flow(&Json::Object(cluster.endpoint.clone()))),
    };
    let ssh = match common.is_empty() {
        true => String::new(),
        false => format!("\n{}", yaml::section("ssh", &common)),
    };
    let [name, kubernetes, pods, services] =
        [&cluster.name, &cluster.kubernetes, &cluster.pods, &cluster.services].map(|text| yaml::quoted(text));
    format!(
        "\
# Taken over from {} by `hoist inventory import`. Read it before it is used: what an inventory of
# Ansible says and hoist does not know was told when this file was made.
cluster:
  name: {name}
  kubernetes: {kubernetes}{was}
{endpoint}  etcd: {}
  network:
    pods: {pods}
    services: {services}
    plugin: {}
{ssh}
{}",
        path.display(),
        cluster.etcd,
        cluster.plugin,
        yaml::section("hosts", &hosts)
    )
}
