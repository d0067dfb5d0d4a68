//! Pods and nodes as the API server tells of them.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1 as api,
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::LabelSelector},
};

use super::{
    node::{Effect, Node, Origin, Taint},
    pod::{HOSTNAME, HostPort, Peers, Pod, Spread, Toleration, ZONE},
    resources::{Resources, milli, whole},
    select::{Operator, Requirement},
};

/// What the claims for volumes of a pod come to, by `namespace/claim`. A claim that is not in it holds nothing.
pub type Volumes = BTreeMap<String, Volume>;

/// Where a volume can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Volume {
    /// Anywhere.
    Anywhere,
    /// In these zones.
    Zones(Vec<String>),
    /// On the administrator's machines only, and why: `Longhorn volume data-0`.
    Home(String),
}

/// A node, without its pods. What cannot be read in it counts as nothing.
pub fn node(node: &api::Node, origin: Origin) -> Node {
    let status = node.status.clone().unwrap_or_default();
    let amounts = status.allocatable.unwrap_or_default();
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let taints = taints.into_iter().filter_map(|taint| {
        let effect = Effect::named(&taint.effect)?;
        Some(Taint { key: taint.key, value: taint.value.unwrap_or_default(), effect })
    });
    let name = node.metadata.name.clone().unwrap_or_default();
    let mut labels = node.metadata.labels.clone().unwrap_or_default();
    labels.entry(HOSTNAME.to_owned()).or_insert_with(|| name.clone());
    Node {
        labels,
        taints: taints.collect(),
        max_pods: amounts
            .get("pods")
            .and_then(|pods| whole(&pods.0))
            .unwrap_or(0)
            .try_into()
            .unwrap_or(u32::MAX),
        allocatable: resources(&amounts),
        pods: Vec::new(),
        name,
        origin,
    }
}

/// A pod. What is held by volumes that cannot leave the administrator's machines stays there.
pub fn pod(pod: &api::Pod, volumes: &Volumes) -> Pod {
    let spec = pod.spec.clone().unwrap_or_default();
    let namespace = pod.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    let affinity = spec.affinity.clone().unwrap_or_default();
    let peers = |terms: Option<Vec<api::PodAffinityTerm>>| -> Vec<Peers> {
        terms.unwrap_or_default().into_iter().map(|term| peers(term, &namespace, &labels)).collect()
    };
    let near =
        peers(affinity.pod_affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution));
    let apart =
        peers(affinity.pod_anti_affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution));
    let mut nodes = affinity
        .node_affinity
        .and_then(|a| a.required_during_scheduling_ignored_during_execution)
        .map(|selector| selector.node_selector_terms.into_iter().map(term).collect())
        .unwrap_or_default();
    let name = pod.metadata.name.clone().unwrap_or_default();
    let device = spec.resource_claims.iter().flatten().next();
    let stays_home = bind_volumes(&spec, &namespace, &name, volumes, &mut nodes)
        .or(device.map(|claim| format!("it claims the device {}, which is where its driver is", claim.name)));
    let owner = pod.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let is_mirror = pod
        .metadata
        .annotations
        .as_ref()
        .is_some_and(|annotations| annotations.contains_key("kubernetes.io/config.mirror"));
    Pod {
        name,
        requests: requests(&spec),
        ports: ports(&spec),
        selector: spec.node_selector.clone().unwrap_or_default(),
        affinity: nodes,
        tolerations: spec.tolerations.unwrap_or_default().into_iter().filter_map(toleration).collect(),
        spread: spread(spec.topology_spread_constraints.unwrap_or_default(), &labels),
        near,
        apart,
        stays_home,
        controller: owner.map(|owner| format!("{}/{}", owner.kind, owner.name)),
        priority: spec.priority.unwrap_or(0),
        daemon: is_mirror || owner.is_some_and(|owner| owner.kind == "DaemonSet"),
        namespace,
        labels,
    }
}

fn resources(amounts: &BTreeMap<String, Quantity>) -> Resources {
    let mut resources = Resources::default();
    for (name, Quantity(amount)) in amounts {
        match name.as_str() {
            "cpu" => resources.milli_cpu = milli(amount).unwrap_or(0),
            "memory" => resources.memory = whole(amount).unwrap_or(0),
            "ephemeral-storage" => resources.storage = whole(amount).unwrap_or(0),
            // Only extended resources have a domain. Huge pages are counted like them; `pods` is none.
            name if name.contains('/') || name.starts_with("hugepages-") => {
                resources.extended.insert(name.to_owned(), whole(amount).unwrap_or(0));
            }
            _ => {}
        }
    }
    resources
}

/// What the scheduler counts: the containers and sidecars together, or an init container beside the sidecars that
/// were begun before it where that is more; instead of that what is asked for the whole pod; and the overhead. Source:
/// Kubernetes' documentation of sidecar containers, "Resource sharing within containers", and `PodRequests` of
/// `k8s.io/component-helpers/resource`.
fn requests(spec: &api::PodSpec) -> Resources {
    let of = |container: &api::Container| {
        let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        requests.map(resources).unwrap_or_default()
    };
    let mut sum = Resources::default();
    spec.containers.iter().for_each(|container| sum += &of(container));
    let (mut sidecars, mut most) = (Resources::default(), Resources::default());
    for container in spec.init_containers.iter().flatten() {
        let mut needed = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars += &needed;
            needed = sidecars.clone();
        } else {
            needed += &sidecars;
        }
        most = most.max(&needed);
    }
    sum += &sidecars;
    let mut all = sum.max(&most);
    let whole = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    if let Some(whole) = whole {
        all.replace(&resources(whole));
    }
    if let Some(overhead) = &spec.overhead {
        all += &resources(overhead);
    }
    all
}

/// What the scheduler counts: the ports of containers and sidecars that have one of their node. On the node's network that
/// is every port; templates need not say so. Source: `GetHostPorts` of the scheduler, `HostPortInfo.sanitize`.
fn ports(spec: &api::PodSpec) -> Vec<HostPort> {
    let is_sidecar = |container: &&api::Container| container.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(is_sidecar);
    let own = |port: &api::ContainerPort| {
        let on_host = spec.host_network.unwrap_or(false).then_some(port.container_port);
        Some(HostPort {
            port: port.host_port.filter(|port| *port > 0).or(on_host)?.try_into().ok()?,
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            ip: port.host_ip.clone().filter(|ip| !ip.is_empty() && ip != "0.0.0.0"),
        })
    };
    let containers = spec.containers.iter().chain(sidecars);
    let mut ports: Vec<HostPort> =
        containers.flat_map(|container| container.ports.iter().flatten().filter_map(own)).collect();
    // In one order, so that pods that are alike are known as such.
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn toleration(toleration: api::Toleration) -> Option<Toleration> {
    let exists = toleration.operator.as_deref() == Some("Exists");
    let effect = match toleration.effect.filter(|effect| !effect.is_empty()) {
        None => None,
        // An effect of a later Kubernetes: rather not tolerated than every one.
        Some(name) => Some(Effect::named(&name)?),
    };
    Some(Toleration {
        key: toleration.key.filter(|key| !key.is_empty()),
        value: if exists { None } else { Some(toleration.value.unwrap_or_default()) },
        effect,
    })
}

fn term(term: api::NodeSelectorTerm) -> Vec<Requirement> {
    let fields = term.match_fields.unwrap_or_default().into_iter().map(|mut field| {
        // The only field there is.
        field.key = HOSTNAME.to_owned();
        field
    });
    let all = term.match_expressions.unwrap_or_default().into_iter().chain(fields);
    let all = all.map(|one| requirement(one.key, &one.operator, one.values.unwrap_or_default()));
    let all: Vec<Requirement> = all.collect();
    // Kubernetes: a term without requirements is met by no node.
    if all.is_empty() { vec![never()] } else { all }
}

fn requirement(key: String, operator: &str, values: Vec<String>) -> Requirement {
    Operator::named(operator).map_or_else(never, |operator| Requirement { key, operator, values })
}

/// Met by nothing.
fn never() -> Requirement {
    Requirement { key: String::new(), operator: Operator::In, values: Vec::new() }
}

/// The requirements of a selector of pods. No selector selects nothing, an empty one everything.
pub fn selector(selector: Option<LabelSelector>) -> Vec<Requirement> {
    let Some(selector) = selector else { return vec![never()] };
    let labels = selector.match_labels.unwrap_or_default();
    let labels = labels.iter().map(|(key, value)| Requirement::is(key, value));
    let expressions = selector.match_expressions.unwrap_or_default().into_iter();
    let expressions =
        expressions.map(|one| requirement(one.key, &one.operator, one.values.unwrap_or_default()));
    labels.chain(expressions).collect()
}

/// `matchLabelKeys`: only pods with the same value of these labels.
fn same(keys: Option<Vec<String>>, labels: &BTreeMap<String, String>) -> Vec<Requirement> {
    let keys = keys.unwrap_or_default();
    keys.iter().filter_map(|key| Some(Requirement::is(key, labels.get(key)?))).collect()
}

fn spread(constraints: Vec<api::TopologySpreadConstraint>, labels: &BTreeMap<String, String>) -> Vec<Spread> {
    let hard = constraints.into_iter().filter(|constraint| constraint.when_unsatisfiable == "DoNotSchedule");
    hard.map(|constraint| Spread {
        key: constraint.topology_key,
        max_skew: constraint.max_skew.try_into().unwrap_or(1),
        min_domains: constraint.min_domains.and_then(|domains| domains.try_into().ok()).unwrap_or(1),
        any_labels: constraint.node_affinity_policy.as_deref() == Some("Ignore"),
        no_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
        pods: [selector(constraint.label_selector), same(constraint.match_label_keys, labels)].concat(),
    })
    .collect()
}

/// A selector of namespaces is taken as all namespaces.
fn peers(term: api::PodAffinityTerm, own: &str, labels: &BTreeMap<String, String>) -> Peers {
    let listed = term.namespaces.unwrap_or_default();
    let namespaces = match (term.namespace_selector, listed.is_empty()) {
        (Some(_), _) => Vec::new(),
        (None, true) => vec![own.to_owned()],
        (None, false) => listed,
    };
    let pods = [selector(term.label_selector), same(term.match_label_keys, labels)].concat();
    Peers { key: term.topology_key, pods, namespaces }
}

/// Adds the zones of a pod's volumes to what it asks of nodes, or says what keeps it at home.
fn bind_volumes(
    spec: &api::PodSpec,
    namespace: &str,
    pod: &str,
    volumes: &Volumes,
    terms: &mut Vec<Vec<Requirement>>,
) -> Option<String> {
    for volume in spec.volumes.iter().flatten() {
        if let Some(path) = &volume.host_path {
            return Some(format!("it uses the folder {} of its host", path.path));
        }
        let claim = match (&volume.persistent_volume_claim, &volume.ephemeral) {
            (Some(claim), _) => claim.claim_name.clone(),
            // Kubernetes makes the claim, under this name.
            (None, Some(_)) => format!("{pod}-{}", volume.name),
            (None, None) => continue,
        };
        match volumes.get(&format!("{namespace}/{claim}")) {
            Some(Volume::Home(why)) => return Some(why.clone()),
            Some(Volume::Zones(zones)) => {
                let within =
                    Requirement { key: ZONE.to_owned(), operator: Operator::In, values: zones.clone() };
                if terms.is_empty() {
                    terms.push(Vec::new());
                }
                terms.iter_mut().for_each(|term| term.push(within.clone()));
            }
            Some(Volume::Anywhere) | None => {}
        }
    }
    None
}

/// What a persistent volume comes to.
pub fn volume(volume: &api::PersistentVolume) -> Volume {
    let name = volume.metadata.name.clone().unwrap_or_default();
    let Some(spec) = &volume.spec else { return Volume::Anywhere };
    if spec.local.is_some() || spec.host_path.is_some() {
        return Volume::Home(format!("its volume {name} is on the disk of one machine"));
    }
    if spec.csi.as_ref().is_some_and(|csi| csi.driver == "driver.longhorn.io") {
        return Volume::Home(format!("its volume {name} is Longhorn's"));
    }
    let required = spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref());
    let expressions = required.into_iter().flat_map(|selector| &selector.node_selector_terms);
    let zones = expressions
        .flat_map(|term| term.match_expressions.iter().flatten())
        .filter(|expression| expression.key == ZONE && expression.operator == "In");
    let zones: Vec<String> =
        zones.flat_map(|expression| expression.values.iter().flatten().cloned()).collect();
    match (required.is_some(), zones.is_empty()) {
        (_, false) => Volume::Zones(zones),
        (true, true) => Volume::Home(format!("its volume {name} is bound to certain nodes")),
        (false, true) => Volume::Anywhere,
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
