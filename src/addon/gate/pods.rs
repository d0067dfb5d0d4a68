//! Pods of a gate: of the sandbox image, which every node has, each on the node that the gate wants.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    Bench, Closed,
    ground::Ground,
    retry::{Retry, make, text},
};
use crate::{
    kube::Kind,
    transport::{Host, Script},
};

/// How long pods may take to run; a volume may have to be made first.
pub(super) const RUN: Duration = Duration::from_secs(180);
const GO: Duration = Duration::from_secs(120);

const POD: Kind = Kind::new("v1", "Pod");
const ACCOUNT: Kind = Kind::new("v1", "ServiceAccount");

/// Where a claim is in the pod that mounts it.
pub(super) const MOUNT: &str = "/gate";

/// The image of containerd's sandboxes on a host, as it is configured there.
const IMAGE: &str = r#"sed -n "s/^ *sandbox\(_image\)\{0,1\} *= *[\"']\(.*\)[\"'].*/\2/p" /etc/containerd/config.toml | head -n 1"#;

/// A pod to be made.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish<'a> {
    pub name: String,
    pub node: &'a str,
    /// Labels besides the gate's own.
    pub labels: Value,
    /// A claim to mount.
    pub claim: Option<&'a str>,
}

/// A pod that runs, and the host it runs on.
#[derive(Clone)]
pub(super) struct Pod {
    pub name: String,
    pub node: String,
    pub uid: String,
    pub address: Ipv4Addr,
    pub host: Arc<dyn Host>,
}

impl Pod {
    /// Where something is asked from or seen, for messages.
    pub fn place(&self) -> String {
        format!("the pod on {} ({})", self.node, self.address)
    }
}

/// The nodes that are ready and whose hosts answer, and, in words, those that are left out.
pub(super) async fn nodes(bench: &Bench<'_>) -> Result<(Vec<String>, Vec<String>), Closed> {
    let (mut usable, mut out) = (Vec::new(), Vec::new());
    for node in bench.api.nodes().await? {
        match (node.ready, bench.hosts.contains_key(&node.name)) {
            (true, true) => usable.push(node.name),
            (false, _) => out.push(format!("{} was left out: it is not ready", node.name)),
            (true, false) => out.push(format!("{} was left out: there is no connection to it", node.name)),
        }
    }
    if usable.is_empty() {
        let help = "`hoist status` shows the nodes and why they are not ready";
        return Err(Closed::observed("no node is ready and answers", "at least one that does", help));
    }
    Ok((usable, out))
}

/// Makes pods and waits until all of them run.
pub(super) async fn start(
    bench: &Bench<'_>,
    ground: &Ground,
    wishes: &[Wish<'_>],
) -> Result<Vec<Pod>, Closed> {
    start_within(bench, ground, wishes, RUN).await
}

/// The same for pods that may take longer.
pub(super) async fn start_within(
    bench: &Bench<'_>,
    ground: &Ground,
    wishes: &[Wish<'_>],
    patience: Duration,
) -> Result<Vec<Pod>, Closed> {
    account(bench, ground).await?;
    for wish in wishes {
        make(bench, pod(bench, ground, wish).await?, Duration::from_secs(30)).await?;
    }
    let mut running = Vec::new();
    let mut retry = Retry::new(bench, "pods", patience);
    loop {
        running.clear();
        let mut waiting = String::new();
        for wish in wishes {
            match bench.api.object(POD, Some(&ground.namespace), &wish.name).await?.map(|pod| runs(&pod)) {
                Some(Ok((uid, address))) => {
                    let (name, node) = (wish.name.clone(), wish.node.to_owned());
                    running.push(Pod { name, node, uid, address, host: host(bench, wish.node)? });
                }
                Some(Err(why)) => waiting = format!("the one on {} {why}", wish.node),
                None => waiting = format!("the one on {} is gone", wish.node),
            }
        }
        if running.len() == wishes.len() {
            return Ok(running);
        }
        if !retry.again(&waiting).await {
            let observed = format!(
                "{} of {} pods run after {} s: {waiting}",
                running.len(),
                wishes.len(),
                patience.as_secs()
            );
            let help = format!(
                "{}; the gate's pods are gone now, but others on that node will have the same trouble: \
                                `journalctl -u kubelet` there",
                events(bench, ground).await
            );
            return Err(Closed::observed(observed, "all of them", help));
        }
    }
}

/// A pod to be made, of the image that its node has: for who makes it, or has a controller make it.
pub(super) async fn pod(bench: &Bench<'_>, ground: &Ground, wish: &Wish<'_>) -> Result<Value, Closed> {
    let host = host(bench, wish.node)?;
    let image = String::from_utf8_lossy(&host.run(Script::new(IMAGE)).await?.stdout).trim().to_owned();
    if image.is_empty() {
        return Err(Closed::observed(
            format!("/etc/containerd/config.toml on {} names no sandbox image", wish.node),
            "the image that every node has for sandboxes",
            "`hoist apply` writes that file",
        ));
    }
    Ok(manifest(ground, wish, &image))
}

/// Deletes a pod and waits until it is gone.
pub(super) async fn stop(bench: &Bench<'_>, ground: &Ground, pod: &Pod) -> Result<(), Closed> {
    bench.api.delete(POD, Some(&ground.namespace), &pod.name).await?;
    Ok(bench.api.wait_until_gone(POD, Some(&ground.namespace), &pod.name, GO).await?)
}

/// A namespace that was made just now has no account for pods yet, and refuses them.
async fn account(bench: &Bench<'_>, ground: &Ground) -> Result<(), Closed> {
    let mut retry = Retry::new(bench, ground.namespace.clone(), Duration::from_secs(30));
    while bench.api.object(ACCOUNT, Some(&ground.namespace), "default").await?.is_none() {
        if !retry.again("it has no service account yet").await {
            return Err(Closed::observed(
                "a new namespace has no service account after 30 s",
                "the account `default`, made by kube-controller-manager",
                "see whether kube-controller-manager runs on the control planes: `crictl ps --name kube-controller`",
            ));
        }
    }
    Ok(())
}

fn host(bench: &Bench<'_>, node: &str) -> Result<Arc<dyn Host>, Closed> {
    let help = "`hoist status` shows which hosts answer";
    let missing = || Closed::observed(format!("there is no connection to {node}"), "one", help);
    bench.hosts.get(node).cloned().ok_or_else(missing)
}

/// A pod that does nothing, as the strictest of the Pod Security Standards wants it.
fn manifest(ground: &Ground, wish: &Wish<'_>, image: &str) -> Value {
    let mut labels = ground.labels();
    for (key, value) in wish.labels.as_object().into_iter().flatten() {
        labels[key] = value.clone();
    }
    let node = json!({"key": "metadata.name", "operator": "In", "values": [wish.node]});
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": wish.name, "namespace": ground.namespace, "labels": labels},
        "spec": {
            // Not `nodeName`: a volume may wait for the scheduler's choice.
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                {"nodeSelectorTerms": [{"matchFields": [node]}]}}},
            "tolerations": [{"operator": "Exists"}],
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65534, "runAsGroup": 65534,
                                "fsGroup": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "gate", "image": image, "imagePullPolicy": "IfNotPresent",
                "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"cpu": "100m", "memory": "32Mi"}},
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                                    "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    if let Some(claim) = wish.claim {
        pod["spec"]["volumes"] = json!([{"name": "gate", "persistentVolumeClaim": {"claimName": claim}}]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "gate", "mountPath": MOUNT}]);
    }
    pod
}

/// Its uid and address when it runs, or else how far it is.
fn runs(pod: &Value) -> Result<(String, Ipv4Addr), String> {
    let container = &pod["status"]["containerStatuses"][0]["state"];
    let ready =
        container["running"].is_object().then(|| text(&pod["status"]["podIP"]).parse().ok()).flatten();
    if let Some(address) = ready {
        return Ok((text(&pod["metadata"]["uid"]).to_owned(), address));
    }
    let placed = pod["status"]["conditions"].as_array().into_iter().flatten();
    let refused = placed
        .into_iter()
        .find(|condition| condition["status"] == "False" && condition["type"] == "PodScheduled");
    Err(match (refused, text(&container["waiting"]["reason"])) {
        (Some(condition), _) => format!("has no place: {}", text(&condition["message"])),
        (None, "") => format!("is {}", text(&pod["status"]["phase"])),
        (None, reason) => {
            format!("is waiting: {reason} {}", text(&container["waiting"]["message"])).trim_end().to_owned()
        }
    })
}

/// The last warning in the gate's namespace, in words.
async fn events(bench: &Bench<'_>, ground: &Ground) -> String {
    let events =
        bench.api.objects(Kind::new("v1", "Event"), Some(&ground.namespace), "").await.unwrap_or_default();
    let warning = events.iter().rfind(|event| event["type"] == "Warning");
    match warning {
        Some(event) => format!("the cluster says {}: {}", text(&event["reason"]), text(&event["message"])),
        None => "the cluster gives no reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_runs_or_says_how_far_it_is() {
        let running = json!({"metadata": {"uid": "u"}, "status": {"phase": "Running", "podIP": "10.244.1.2",
                             "containerStatuses": [{"state": {"running": {}}}]}});
        assert_eq!(runs(&running), Ok(("u".to_owned(), "10.244.1.2".parse().unwrap())));
        let pulled = json!({"status": {"phase": "Pending", "containerStatuses":
                            [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no route"}}}]}});
        assert_eq!(runs(&pulled).unwrap_err(), "is waiting: ErrImagePull no route");
        let refused = json!({"status": {"phase": "Pending", "conditions":
                             [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]}});
        assert_eq!(runs(&refused).unwrap_err(), "has no place: 0/3 nodes");
        assert_eq!(runs(&json!({"status": {"phase": "Pending"}})).unwrap_err(), "is Pending");
    }

    #[test]
    fn a_pod_is_what_the_restricted_standard_allows() {
        let ground = Ground { gate: "g", namespace: "n".to_owned() };
        let wish = Wish { name: "a".to_owned(), node: "w1", labels: json!({"app": "x"}), claim: Some("c") };
        let pod = manifest(&ground, &wish, "registry.example/pause:3");
        assert_eq!(pod["metadata"]["labels"], json!({"hoist.dev/gate": "g", "app": "x"}));
        let (spec, container) = (&pod["spec"], &pod["spec"]["containers"][0]);
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
        assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(container["volumeMounts"][0]["mountPath"], MOUNT);
        assert_eq!(container["imagePullPolicy"], "IfNotPresent", "nothing is pulled");
    }
}
