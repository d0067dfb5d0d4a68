//! The pods of an add-on, and of nobody else.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Desired, Installed, Observed};
use crate::kube::{self, Api, PodStatus};

/// The pods of an add-on as it is: all in its namespace, or, where others have pods there, too, those that its own workloads
/// select; and those of its workloads in other namespaces.
///
/// # Errors
/// When the API server does not answer.
pub async fn pods(api: &Api, desired: &Desired, observed: &Observed) -> Result<Vec<PodStatus>, kube::Error> {
    let (namespace, name) = (&desired.definition.namespace, &desired.name);
    let shared = observed.also_of(namespace, name).is_some();
    of(api, desired, observed.release(namespace, name), shared).await
}

/// The same, with what is known of its release and of its namespace.
pub(super) async fn of(
    api: &Api,
    desired: &Desired,
    installed: Option<&Installed>,
    shared: bool,
) -> Result<Vec<PodStatus>, kube::Error> {
    let objects = installed.into_iter().flat_map(|release| &release.objects);
    let objects = objects.chain(&desired.before.objects).chain(&desired.manifests.objects);
    let own = desired.definition.namespace.as_str();
    let workloads: Vec<Workload<'_>> = objects.filter_map(|object| Workload::of(object, own)).collect();
    let spaces: BTreeSet<&str> = workloads.iter().map(|workload| workload.namespace).chain([own]).collect();
    let mut found = Vec::new();
    for space in spaces {
        let mut pods = api.pods(Some(space)).await?;
        if shared || space != own {
            pods.retain(|pod| workloads.iter().any(|workload| workload.selects(pod)));
        }
        found.extend(pods);
    }
    Ok(found)
}

/// Why the pods of a workload that lives are not ready, each with its name.
pub(super) async fn unready(
    api: &Api,
    live: Option<&Value>,
    namespace: &str,
) -> Result<Vec<String>, kube::Error> {
    let Some(workload) = live.and_then(|live| Workload::of(live, namespace)) else { return Ok(Vec::new()) };
    let pods = api.pods(Some(namespace)).await?;
    let waits = pods.iter().filter(|pod| workload.selects(pod) && !pod.ready && pod.phase != "Succeeded");
    Ok(waits.map(|pod| format!("{}: {}", pod.name, pod.reason)).collect())
}

/// What makes pods, by the labels that they have.
struct Workload<'a> {
    namespace: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
}

impl<'a> Workload<'a> {
    /// Of a Deployment, DaemonSet, StatefulSet or Job; of nothing else.
    fn of(object: &'a Value, namespace: &'a str) -> Option<Workload<'a>> {
        let selector = object.pointer("/spec/selector/matchLabels");
        let labels = selector.or_else(|| object.pointer("/spec/template/metadata/labels"))?.as_object()?;
        let labels: BTreeMap<&str, &str> =
            labels.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect();
        let makes_pods = object.pointer("/spec/template/spec/containers").is_some();
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or(namespace);
        (makes_pods && !labels.is_empty()).then_some(Workload { namespace, labels })
    }

    fn selects(&self, pod: &PodStatus) -> bool {
        let has = |(key, value): (&&str, &&str)| pod.labels.get(*key).is_some_and(|it| it == value);
        pod.namespace == self.namespace && self.labels.iter().all(has)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::addon::{desired::tests::nothing, gate::testing::Cluster, release};

    fn pod(namespace: &str, name: &str, app: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": {"app": app, "hash": "1"}}})
    }

    fn workload(kind: &str, namespace: Option<&str>, app: &str) -> Value {
        json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": app, "namespace": namespace},
               "spec": {"selector": {"matchLabels": {"app": app}}, "template": {"spec": {"containers": [{}]}}}})
    }

    #[tokio::test]
    async fn among_others_only_those_that_its_workloads_select_are_its_own() {
        let mut cluster = Cluster::new(&[]).await;
        for (namespace, name, app) in [
            ("kube-system", "web-1", "web"),
            ("kube-system", "kube-apiserver-cp1", "api"),
            ("tig", "db-1", "db"),
            ("tig", "theirs", "x"),
        ] {
            cluster.put(pod(namespace, name, app));
        }
        let mut releases =
            release::releases(&[release::tests::stored("web", 1, "deployed", json!({}))]).unwrap();
        // A Service has a selector, too, and a policy one for pods.
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api"}, "spec": {"selector": {"app": "api"}}});
        releases[0].objects = vec![workload("DaemonSet", None, "web"), service];
        releases[0].namespace = "kube-system".into();
        let observed = Observed { releases, records: Vec::new() };
        let mut desired = nothing("web", "kube-system");
        desired.manifests.objects = vec![workload("Deployment", Some("tig"), "db")];
        let bench = cluster.bench("kube-system");
        let names = async |desired: &Desired, observed: &Observed| {
            let found = pods(bench.api, desired, observed).await.unwrap();
            found.into_iter().map(|pod| pod.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&desired, &observed).await, ["web-1", "db-1"]);
        // In a namespace of its own also those that an operator made are.
        let alone = nothing("web", "tig");
        assert_eq!(names(&alone, &Observed::default()).await, ["db-1", "theirs"]);
    }
}
