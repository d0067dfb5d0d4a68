//! Nodes and pods as a person asks about them.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::core::v1::{ContainerStatus, Node, Pod},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};

const ROLE_LABEL: &str = "node-role.kubernetes.io/";

/// A node, as its kubelet and the node controller report it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    pub name: String,
    pub ready: bool,
    /// Why it is not ready; empty when it is.
    pub reason: String,
    /// Whether new pods may be placed there; false once it is cordoned.
    pub schedulable: bool,
    /// From the `node-role.kubernetes.io/…` labels, in alphabetical order.
    pub roles: Vec<String>,
    /// The kubelet's version, such as `v1.20.2`.
    pub version: String,
    /// Internal addresses first, then external ones.
    pub addresses: Vec<String>,
    pub age: Duration,
}

impl NodeStatus {
    /// Whether kubeadm made it a control plane, by its label: `master` before 1.24.
    pub fn is_control_plane(&self) -> bool {
        self.roles.iter().any(|role| role == "control-plane" || role == "master")
    }

    /// Reads what the API server tells of a node; what it does not tell is empty.
    pub fn read(node: &Node, now: Timestamp) -> Self {
        let status = node.status.clone().unwrap_or_default();
        let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
        let ready = condition.is_some_and(|condition| condition.status == "True");
        let reason = match condition {
            _ if ready => String::new(),
            Some(condition) => {
                explained(condition.reason.as_deref(), condition.message.as_deref(), "NotReady")
            }
            None => "the kubelet has not reported yet".to_owned(),
        };
        let mut addresses = Vec::new();
        for kind in ["InternalIP", "ExternalIP"] {
            let of_kind = status.addresses.iter().flatten().filter(|address| address.type_ == kind);
            addresses.extend(of_kind.map(|address| address.address.clone()));
        }
        let labels = node.metadata.labels.iter().flatten();
        Self {
            name: node.metadata.name.clone().unwrap_or_default(),
            ready,
            reason,
            schedulable: !node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false),
            roles: labels.filter_map(|(key, _)| key.strip_prefix(ROLE_LABEL)).map(str::to_owned).collect(),
            version: status.node_info.map(|info| info.kubelet_version).unwrap_or_default(),
            addresses,
            age: age(&node.metadata, now),
        }
    }
}

/// A pod, as its kubelet reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodStatus {
    pub namespace: String,
    pub name: String,
    /// Where it runs; absent until it is placed.
    pub node: Option<String>,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// Whether Services send it traffic.
    pub ready: bool,
    /// Containers that are ready, and all of them.
    pub containers: (usize, usize),
    /// Of all its containers together.
    pub restarts: u32,
    /// Why it is not ready, most specific first: `CrashLoopBackOff`, `Unschedulable: 0/3 nodes …`. Empty
    /// when it is ready or has done its work.
    pub reason: String,
    pub age: Duration,
    /// By which workloads find it.
    pub labels: BTreeMap<String, String>,
}

impl PodStatus {
    /// Reads what the API server tells of a pod; what it does not tell is empty.
    pub fn read(pod: &Pod, now: Timestamp) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let containers = status.container_statuses.as_deref().unwrap_or_default();
        let wanted = pod.spec.as_ref().map_or(0, |spec| spec.containers.len());
        let ready = condition(pod, "Ready").is_some_and(|condition| condition.status == "True");
        let phase = status.phase.clone().unwrap_or_else(|| "Unknown".to_owned());
        Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            reason: if ready && pod.metadata.deletion_timestamp.is_none() || phase == "Succeeded" {
                String::new()
            } else {
                why_not_ready(pod)
            },
            phase,
            ready,
            containers: (containers.iter().filter(|container| container.ready).count(), wanted),
            restarts: containers
                .iter()
                .map(|container| u32::try_from(container.restart_count).unwrap_or(0))
                .sum(),
            age: age(&pod.metadata, now),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
        }
    }
}

/// The most specific cause that a pod's status names, with the kubelet's or scheduler's own message.
pub(super) fn why_not_ready(pod: &Pod) -> String {
    if pod.metadata.deletion_timestamp.is_some() {
        return "Terminating".to_owned();
    }
    let status = pod.status.clone().unwrap_or_default();
    if let Some(reason) = &status.reason {
        return explained(Some(reason), status.message.as_deref(), "");
    }
    let init = status.init_container_statuses.iter().flatten();
    let all: Vec<_> = init.chain(status.container_statuses.iter().flatten()).collect();
    if let Some(reason) = all.iter().find_map(|container| waiting(container)) {
        return reason;
    }
    if let Some(reason) = all.iter().find_map(|container| terminated(container)) {
        return reason;
    }
    let failed = |name| condition(pod, name).filter(|condition| condition.status == "False");
    match failed("PodScheduled").or_else(|| failed("ContainersReady")) {
        Some(condition) => {
            explained(condition.reason.as_deref(), condition.message.as_deref(), &condition.type_)
        }
        None => "not started yet".to_owned(),
    }
}

fn waiting(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    // The start of every pod looks like this; it says nothing yet.
    if matches!(reason, "ContainerCreating" | "PodInitializing") {
        return Some(reason.to_owned());
    }
    let mut text = explained(Some(reason), waiting.message.as_deref(), "");
    if let Some(last) = container.last_state.as_ref().and_then(|state| state.terminated.as_ref()) {
        text.push_str(&format!(" (last exit code {})", last.exit_code));
    }
    Some(text)
}

fn terminated(container: &ContainerStatus) -> Option<String> {
    let ended = container.state.as_ref()?.terminated.as_ref().filter(|ended| ended.exit_code != 0)?;
    let reason = explained(ended.reason.as_deref(), ended.message.as_deref(), "Error");
    Some(format!("{reason} (exit code {})", ended.exit_code))
}

fn condition<'a>(pod: &'a Pod, name: &str) -> Option<&'a k8s_openapi::api::core::v1::PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == name)
}

fn explained(reason: Option<&str>, message: Option<&str>, otherwise: &str) -> String {
    let reason = reason.filter(|reason| !reason.is_empty()).unwrap_or(otherwise);
    match message.map(str::trim).filter(|message| !message.is_empty()) {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    }
}

/// Clocks differ: what was made in our future is new.
fn age(metadata: &ObjectMeta, now: Timestamp) -> Duration {
    let Some(Time(created)) = metadata.creation_timestamp.as_ref() else { return Duration::ZERO };
    Duration::try_from(now.duration_since(*created)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:02:00Z".parse().unwrap()
    }

    fn node(value: Value) -> NodeStatus {
        NodeStatus::read(&serde_json::from_value(value).unwrap(), now())
    }

    fn pod(status: Value) -> PodStatus {
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "creationTimestamp": "2026-01-01T00:00:30Z"},
                         "spec": {"nodeName": "w1", "containers": [{"name": "a"}, {"name": "b"}]}, "status": status});
        PodStatus::read(&serde_json::from_value(pod).unwrap(), now())
    }

    #[test]
    fn a_control_plane_of_an_old_cluster() {
        let status = node(json!({
            "metadata": {"name": "cp1", "creationTimestamp": "2026-01-01T00:00:30Z", "labels": {
                "kubernetes.io/os": "linux",
                "node-role.kubernetes.io/control-plane": "", "node-role.kubernetes.io/master": ""}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "MemoryPressure", "status": "False"},
                                      {"type": "Ready", "status": "True", "reason": "KubeletReady"}],
                       "addresses": [{"type": "Hostname", "address": "cp1"},
                                     {"type": "ExternalIP", "address": "203.0.113.9"},
                                     {"type": "InternalIP", "address": "10.0.0.1"}]}}));
        assert_eq!((status.ready, status.schedulable, status.reason.as_str()), (true, false, ""));
        assert_eq!(status.roles, ["control-plane", "master"]);
        assert_eq!(status.addresses, ["10.0.0.1", "203.0.113.9"]);
        assert_eq!(status.age, Duration::from_secs(90));
    }

    #[test]
    fn a_node_that_is_silent_and_one_that_has_said_nothing_yet() {
        let silent = json!({"metadata": {"name": "w"}, "status": {"conditions": [{"type": "Ready",
            "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}]}});
        let silent = node(silent);
        assert_eq!(silent.reason, "NodeStatusUnknown: Kubelet stopped posting node status.");
        assert!(!silent.ready);
        assert_eq!(node(json!({"metadata": {"name": "w"}})).reason, "the kubelet has not reported yet");
        let future = json!({"metadata": {"name": "w", "creationTimestamp": "2027-01-01T00:00:00Z"}});
        assert_eq!(node(future).age, Duration::ZERO);
    }

    #[test]
    fn pods_in_every_state() {
        let container = |ready: bool, restarts: u32, state: Value| json!({"name": "a", "image": "", "imageID": "", "ready": ready, "restartCount": restarts, "state": state});
        let running = || container(true, 2, json!({"running": {}}));
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let unready = json!([{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "False",
            "reason": "ContainersNotReady", "message": "containers with unready status: [b]"}]);
        let killed = container(false, 1, json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}));
        for (status, reason) in [
            (
                json!({"phase": "Running", "conditions": ready, "containerStatuses": [running(), running()]}),
                "",
            ),
            (json!({"phase": "Succeeded"}), ""),
            (
                json!({"phase": "Running", "conditions": unready, "containerStatuses": [running()]}),
                "ContainersNotReady: containers with unready status: [b]",
            ),
            (
                json!({"phase": "Running", "containerStatuses": [running(), killed]}),
                "OOMKilled (exit code 137)",
            ),
            (
                json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}),
                "Evicted: low on memory",
            ),
            (json!({"phase": "Pending"}), "not started yet"),
        ] {
            assert_eq!(pod(status.clone()).reason, reason, "{status}");
        }
        let status = pod(json!({"phase": "Running", "containerStatuses": [running(), running()]}));
        assert_eq!((status.containers, status.restarts, status.ready), ((2, 2), 4, false));
    }
}
