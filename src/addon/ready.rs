//! Whether workloads have the pods that they want: those among an add-on's manifests, and those of its chart where helm
//! cannot wait for them.

use serde_json::Value;

use super::{Desired, pods};
use crate::kube::{self, Api, Kind};

const DAEMON_SET: Kind = Kind::new("apps/v1", "DaemonSet");
const DEPLOYMENT: Kind = Kind::new("apps/v1", "Deployment");
const JOB: Kind = Kind::new("batch/v1", "Job");
const STATEFUL_SET: Kind = Kind::new("apps/v1", "StatefulSet");
/// The taints of nodes that are not ready.
const ABSENT: [&str; 3] = ["", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// What is still waited for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// The workloads that have not all their pods, in words.
    pub workloads: Vec<String>,
    /// Why their pods are not ready.
    pub pods: Vec<String>,
    /// Whether waiting helps no more.
    pub over: bool,
}

/// The workloads among an add-on's manifests.
pub(super) fn of_manifests(desired: &Desired) -> Vec<(Kind, &Value)> {
    workloads(desired.before.objects.iter().chain(&desired.manifests.objects))
}

/// The workloads among objects: what makes pods that are ready, or done, some day.
pub(super) fn workloads<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Vec<(Kind, &'a Value)> {
    objects.into_iter().filter_map(|object| Some((kind(object)?, object))).collect()
}

fn kind(object: &Value) -> Option<Kind> {
    [DAEMON_SET, DEPLOYMENT, JOB, STATEFUL_SET]
        .into_iter()
        .find(|kind| object["kind"] == kind.kind && object["apiVersion"] == kind.api_version)
}

/// Looks at all of them. Those that do not say it are in `namespace`. Nobody waits for the pods of a DaemonSet on nodes that are
/// not ready: on `absent` alone where that is said, on all of them otherwise.
///
/// # Errors
/// When the API server does not answer.
pub(super) async fn left(
    api: &Api,
    namespace: &str,
    workloads: &[(Kind, &Value)],
    absent: Option<&[String]>,
) -> Result<Left, kube::Error> {
    let mut left = Left::default();
    let nodes = api.nodes().await?;
    let excused = nodes.iter().filter(|node| absent.is_none_or(|absent| absent.contains(&node.name)));
    let away = excused.filter(|node| !node.ready).count() as u64;
    for &(kind, declared) in workloads {
        let namespace = declared["metadata"]["namespace"].as_str().unwrap_or(namespace);
        let name = declared["metadata"]["name"].as_str().unwrap_or_default();
        let live = api.object(kind, Some(namespace), name).await?;
        let state = live.as_ref().map_or_else(|| gone(kind), |live| state(kind, live, away));
        let (said, over) = match state {
            State::Done => continue,
            State::Waits(said) => (said, false),
            State::Failed(said) => (said, true),
        };
        left.workloads.push(format!("{} {namespace}/{name} {said}", kind.kind));
        left.over |= over;
        left.pods.extend(pods::unready(api, live.as_ref(), namespace).await?);
    }
    Ok(left)
}

/// How far a workload is.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Done,
    Waits(String),
    /// It does not try again by itself.
    Failed(String),
}

/// A Job may be deleted when it is done (`ttlSecondsAfterFinished`).
fn gone(kind: Kind) -> State {
    if kind == JOB { State::Done } else { State::Waits(String::from("is not there")) }
}

/// `away` is how many nodes are not ready: the pods of a DaemonSet there are waited for by nobody.
fn state(kind: Kind, live: &Value, away: u64) -> State {
    let (spec, status) = (&live["spec"], &live["status"]);
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let wanted = spec["replicas"].as_u64().unwrap_or(1);
    let (wanted, ready) = match kind {
        JOB => return job(live),
        DEPLOYMENT => {
            let (all, updated) = (number(&status["replicas"]), number(&status["updatedReplicas"]));
            (wanted, number(&status["availableReplicas"]).min(updated).saturating_sub(all - updated.min(all)))
        }
        STATEFUL_SET => (wanted, number(&status["readyReplicas"])),
        _ => {
            let updated = match spec["updateStrategy"]["type"].as_str() {
                Some("OnDelete") => u64::MAX,
                _ => number(&status["updatedNumberScheduled"]),
            };
            let wanted = number(&status["desiredNumberScheduled"]);
            let away = if counts_absent(spec) { away } else { 0 };
            (wanted.saturating_sub(away), number(&status["numberReady"]).min(updated))
        }
    };
    if number(&status["observedGeneration"]) < number(&live["metadata"]["generation"]) {
        return State::Waits(String::from("was not looked at yet by kube-controller-manager"));
    }
    if ready < wanted {
        return State::Waits(format!("has {ready} of {wanted} pods ready"));
    }
    let rolling = kind == STATEFUL_SET
        && spec["updateStrategy"]["type"] != "OnDelete"
        && number(&spec["updateStrategy"]["rollingUpdate"]["partition"]) == 0;
    if rolling && status["updateRevision"] != status["currentRevision"] {
        return State::Waits(String::from("has pods of its former revision"));
    }
    State::Done
}

/// Whether a DaemonSet wants pods on nodes that are not ready, too. Most do not tolerate the taint of these (`NoSchedule`), and
/// then Kubernetes does not count them.
fn counts_absent(spec: &Value) -> bool {
    let tolerations = spec.pointer("/template/spec/tolerations").and_then(Value::as_array);
    tolerations.into_iter().flatten().any(|toleration| {
        let (key, effect) = (toleration["key"].as_str(), toleration["effect"].as_str());
        toleration["operator"] == "Exists"
            && key.is_none_or(|key| ABSENT.contains(&key))
            && effect.is_none_or(|effect| effect == "NoSchedule")
    })
}

fn job(live: &Value) -> State {
    let conditions = live["status"]["conditions"].as_array();
    let holds =
        |kind: &str| conditions.into_iter().flatten().find(|it| it["type"] == kind && it["status"] == "True");
    if let Some(failed) = holds("Failed") {
        let said = |field: &str| failed[field].as_str().unwrap_or_default();
        return State::Failed(format!("has failed: {}: {}", said("reason"), said("message")));
    }
    match holds("Complete").is_some() || live["spec"]["suspend"] == true {
        true => State::Done,
        false => State::Waits(String::from("is not done")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::addon::gate::testing::Cluster;

    fn waits(kind: Kind, live: Value) -> String {
        match state(kind, &live, 1) {
            State::Done => String::new(),
            State::Waits(said) => said,
            State::Failed(said) => format!("over: {said}"),
        }
    }

    #[test]
    fn a_workload_is_done_when_all_its_new_pods_are_ready() {
        let of = |spec: Value, status: Value| json!({"spec": spec, "status": status});
        let everywhere = |toleration: Value| json!({"template": {"spec": {"tolerations": [toleration]}}});
        for (kind, live, said) in [
            (DEPLOYMENT, of(json!({"replicas": 2}), json!({})), "has 0 of 2 pods ready"),
            (
                DEPLOYMENT,
                of(json!({}), json!({"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1})),
                "",
            ),
            (DEPLOYMENT, of(json!({"replicas": 0}), json!({})), ""),
            // The old one serves, the new one does not get ready.
            (
                DEPLOYMENT,
                of(json!({}), json!({"replicas": 2, "updatedReplicas": 1, "availableReplicas": 1})),
                "has 0 of 1 pods ready",
            ),
            (STATEFUL_SET, of(json!({"replicas": 3}), json!({"readyReplicas": 1})), "has 1 of 3 pods ready"),
            (
                STATEFUL_SET,
                of(json!({}), json!({"readyReplicas": 1, "currentRevision": "a", "updateRevision": "b"})),
                "has pods of its former revision",
            ),
            (
                STATEFUL_SET,
                of(
                    json!({"updateStrategy": {"type": "OnDelete"}}),
                    json!({"readyReplicas": 1, "currentRevision": "a", "updateRevision": "b"}),
                ),
                "",
            ),
            // One node is not ready.
            (
                DAEMON_SET,
                of(
                    everywhere(json!({"operator": "Exists"})),
                    json!({"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberReady": 2}),
                ),
                "",
            ),
            (
                DAEMON_SET,
                of(
                    everywhere(json!({"operator": "Exists", "effect": "NoSchedule"})),
                    json!({"desiredNumberScheduled": 3, "updatedNumberScheduled": 1, "numberReady": 3}),
                ),
                "has 1 of 2 pods ready",
            ),
            // It wants no pod there, and has all others.
            (
                DAEMON_SET,
                of(
                    everywhere(json!({"operator": "Exists", "key": "gpu"})),
                    json!({"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberReady": 1}),
                ),
                "has 1 of 2 pods ready",
            ),
            (JOB, of(json!({}), json!({"active": 1})), "is not done"),
            (JOB, of(json!({"suspend": true}), json!({})), ""),
            (JOB, of(json!({}), json!({"conditions": [{"type": "Complete", "status": "True"}]})), ""),
            (
                JOB,
                of(
                    json!({}),
                    json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
                                           "message": "Job has reached the specified backoff limit"}]}),
                ),
                "over: has failed: BackoffLimitExceeded: Job has reached the specified backoff limit",
            ),
            (
                DEPLOYMENT,
                json!({"metadata": {"generation": 2}, "spec": {},
                       "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}}),
                "was not looked at yet by kube-controller-manager",
            ),
        ] {
            assert_eq!(waits(kind, live.clone()), said, "{live}");
        }
        assert_eq!((gone(JOB), gone(DEPLOYMENT)), (State::Done, State::Waits("is not there".into())));
    }

    #[tokio::test]
    async fn what_is_left_is_told_with_the_reasons_of_its_own_pods() {
        let mut cluster = Cluster::new(&["w1"]).await;
        let deployment = |name: &str, namespace: Option<&str>| {
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
                   "spec": {"selector": {"matchLabels": {"app": name}}, "template": {"spec": {"containers": [{}]}}}})
        };
        let notes = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "notes"}});
        let objects = vec![deployment("web", None), deployment("api", Some("other")), notes];
        cluster.put(deployment("web", Some("demo")));
        for app in ["web", "theirs"] {
            cluster.put(json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("{app}-1"), "namespace": "demo", "labels": {"app": app}},
                "status": {"phase": "Pending", "containerStatuses": [{"name": "a", "ready": false, "image": "", "imageID": "",
                    "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]}}));
        }
        let found = left(cluster.bench("demo").api, "demo", &workloads(&objects), None).await.unwrap();
        assert_eq!(
            found.workloads,
            ["Deployment demo/web has 0 of 1 pods ready", "Deployment other/api is not there"]
        );
        assert_eq!((found.pods, found.over), (vec!["web-1: ErrImagePull: no such image".to_owned()], false));
    }
}
