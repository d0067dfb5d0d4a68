//! Why something is not ready: from the objects of the API server to sentences with a fix. Pure.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Event, Pod},
};

use super::{
    error::Error,
    status::{NodeStatus, why_not_ready},
    wait::Rollout,
};

/// How many warnings are told; the newest ones.
const EVENTS: usize = 3;

/// What is known to cure a cause, found by a word in it.
const CURES: &[(&str, &str)] = &[
    ("ErrImageNeverPull", "the image is not on the node and must not be pulled: import it there"),
    ("ErrImagePull", "the node cannot fetch the image: check its name, or import it there"),
    ("ImagePullBackOff", "the node cannot fetch the image: check its name, or import it there"),
    ("CrashLoopBackOff", "the container starts and ends: its own words are in `kubectl logs --previous`"),
    ("CreateContainerConfigError", "a ConfigMap or Secret that the pod names does not exist"),
    ("Insufficient", "the nodes have less left than the pod requests: request less, or add a worker"),
    ("taint", "no node accepts the pod: add a worker, a toleration, or remove the taint"),
    ("Unschedulable", "no node fits what the pod asks for: see the scheduler's words above"),
    (
        "FailedCreatePodSandBox",
        "the network plugin or containerd on that node fails: see `journalctl -u kubelet`",
    ),
    ("FailedMount", "a volume cannot be mounted: see that what it names exists"),
    ("quota", "the namespace's quota is used up"),
    (
        "Unhealthy",
        "the container runs and its probe fails: see `kubectl logs`, and the probe's path and port",
    ),
];

const NODE_CURE: &str = "on that node, `journalctl -u kubelet -n 50` and `crictl ps -a` say more; a network plugin \
                         that is not set up keeps a node from being ready";

/// The error of a wait for nodes.
pub(super) fn nodes(names: &[String], found: &[NodeStatus], after: Duration) -> Error {
    let reasons: Vec<String> = names
        .iter()
        .filter_map(|name| match found.iter().find(|node| node.name == *name) {
            None => Some(format!("{name}: has not joined")),
            Some(node) if node.ready => None,
            Some(node) => Some(format!("{name}: {}", node.reason)),
        })
        .collect();
    let what = format!("{} of {} nodes are not ready", reasons.len(), names.len());
    Error::NotReady { what, after, reasons, help: NODE_CURE.to_owned() }
}

/// The error of a wait for a Deployment.
pub(super) fn deployment(
    deployment: &Deployment,
    rollout: &Rollout,
    pods: &[Pod],
    events: &[Event],
    after: Duration,
) -> Error {
    let namespace = deployment.metadata.namespace.as_deref().unwrap_or("default");
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let mut reasons = complaints(deployment);
    if !rollout.observed {
        reasons.push(
            "the deployment controller has not looked at it: kube-controller-manager may be down".into(),
        );
    }
    let unready: Vec<&Pod> = pods.iter().filter(|pod| !is_ready(pod)).collect();
    reasons.extend(unready.iter().map(|pod| {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let place = node.map_or_else(String::new, |node| format!(" on {node}"));
        format!("pod {}{place}: {}", pod.metadata.name.as_deref().unwrap_or("?"), why_not_ready(pod))
    }));
    reasons.extend(warnings(name, &unready, events));
    if reasons.is_empty() {
        reasons.push("no pod exists, and nobody says why".to_owned());
    }
    let all = reasons.join("\n");
    let cures: Vec<_> = CURES.iter().filter(|(word, _)| all.contains(word)).map(|(_, cure)| *cure).collect();
    let unique: BTreeSet<_> = cures.into_iter().collect();
    let mut help: Vec<String> = unique.into_iter().map(str::to_owned).collect();
    help.push(format!("`kubectl -n {namespace} describe pods` shows everything"));
    let what = format!("deployment {namespace}/{name} has {rollout}");
    Error::NotReady { what, after, reasons, help: help.join("; ") }
}

/// What the Deployment says about itself: a quota, a refused pod, a deadline that has passed.
fn complaints(deployment: &Deployment) -> Vec<String> {
    let conditions = deployment.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .filter(|condition| match condition.type_.as_str() {
            "ReplicaFailure" => condition.status == "True",
            "Progressing" => condition.status == "False",
            _ => false,
        })
        .map(|condition| {
            let reason = condition.reason.as_deref().unwrap_or(&condition.type_);
            format!("{reason}: {}", condition.message.as_deref().unwrap_or_default())
        })
        .collect()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The newest warnings about these pods, or about the Deployment and its ReplicaSets, each text once.
fn warnings(deployment: &str, pods: &[&Pod], events: &[Event]) -> Vec<String> {
    let concerns = |event: &&Event| {
        let object = event.involved_object.name.as_deref().unwrap_or_default();
        let kind = event.involved_object.kind.as_deref().unwrap_or_default();
        match kind {
            "Pod" => pods.iter().any(|pod| pod.metadata.name.as_deref() == Some(object)),
            "ReplicaSet" => object.strip_prefix(deployment).is_some_and(|rest| rest.starts_with('-')),
            "Deployment" => object == deployment,
            _ => false,
        }
    };
    let mut about: Vec<_> = events.iter().filter(concerns).collect();
    let when = |event: &Event| {
        let time = event.last_timestamp.as_ref().or(event.metadata.creation_timestamp.as_ref());
        time.map(|time| time.0)
    };
    about.sort_by_key(|event| std::cmp::Reverse(when(event)));
    let mut seen = BTreeSet::new();
    about
        .into_iter()
        .map(|event| {
            let text = |text: &Option<String>| text.as_deref().unwrap_or_default().trim().to_owned();
            format!("event {}: {}", text(&event.reason), text(&event.message))
        })
        .filter(|text| seen.insert(text.clone()))
        .take(EVENTS)
        .collect()
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
