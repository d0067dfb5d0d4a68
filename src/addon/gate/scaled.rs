//! KEDA: a deployment gets replicas because there is work, through an HPA, and loses them all when there is none.
//!
//! The work is pods, which the trigger `kubernetes-workload` counts: it needs nothing outside of the cluster. Sources: KEDA's
//! `apis/keda/v1alpha1/scaledobject_types.go` and `pkg/scalers/kubernetes_workload_scaler.go`.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    Bench, Closed, Gate, Proof,
    ground::Ground,
    pods::{self, Wish},
    retry::{Retry, condition, make, seconds, text},
};
use crate::kube::Kind;

const DEPLOYMENT: Kind = Kind::new("apps/v1", "Deployment");
const SCALED: Kind = Kind::new("keda.sh/v1alpha1", "ScaledObject");
/// In the version that every cluster serves, which has conditions as a text.
const SCALER: Kind = Kind::new("autoscaling/v1", "HorizontalPodAutoscaler");
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
/// Pods that are work, and so replicas that there shall be.
const WORK: [&str; 2] = ["work-one", "work-two"];
/// Seconds between two questions of KEDA, and without work until there is no replica.
const EVERY: u32 = 5;
/// How long the webhook may take until it admits an object.
const WEBHOOK: Duration = Duration::from_secs(120);
/// The HPA looks every 15 s.
const GROWS: Duration = Duration::from_secs(120);
const SHRINKS: Duration = Duration::from_secs(90);

/// The gate `scaled-by-events`.
pub(super) struct ScaledByEvents;

#[async_trait]
impl Gate for ScaledByEvents {
    fn name(&self) -> &'static str {
        "scaled-by-events"
    }

    fn proves(&self) -> &'static str {
        "KEDA gives a deployment as many replicas as there is work, through an HPA, and none when there is none"
    }

    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        let ground = Ground::take(bench, self.name()).await?;
        let done = prove(bench, &ground).await;
        ground.leave(bench, done).await
    }
}

async fn prove(bench: &Bench<'_>, ground: &Ground) -> Result<Proof, Closed> {
    let (nodes, _) = pods::nodes(bench).await?;
    let node = nodes[nodes.len() - 1].as_str();
    let wish = |name: &str, app: &str| Wish {
        name: name.to_owned(),
        node,
        labels: json!({"app": app}),
        ..Wish::default()
    };
    let pod = pods::pod(bench, ground, &wish("scaled", "scaled")).await?;
    make(bench, deployment(ground, &pod), WEBHOOK).await?;
    make(bench, scaled(ground), WEBHOOK).await?;
    let work = pods::start(bench, ground, &WORK.map(|name| wish(name, "work"))).await?;
    let grown = replicas(bench, ground, WORK.len(), GROWS).await?;
    for pod in &work {
        pods::stop(bench, ground, pod).await?;
    }
    let shrunk = replicas(bench, ground, 0, SHRINKS).await?;
    Ok(Proof {
        seen: vec![
            format!(
                "a deployment without replicas got {} for as many pods of work, after {grown}",
                WORK.len()
            ),
            format!("its HPA was made by KEDA; without work it had none again after {shrunk}"),
        ],
    })
}

fn deployment(ground: &Ground, pod: &Value) -> Value {
    let mut spec = pod["spec"].clone();
    // In a template it is the only policy that there may be.
    spec["restartPolicy"] = json!("Always");
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "scaled", "namespace": ground.namespace, "labels": ground.labels()},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "scaled"}},
                 "template": {"metadata": {"labels": pod["metadata"]["labels"]}, "spec": spec}},
    })
}

fn scaled(ground: &Ground) -> Value {
    let metadata = json!({"podSelector": "app=work", "value": "1"});
    json!({
        "apiVersion": SCALED.api_version, "kind": SCALED.kind,
        "metadata": {"name": "gate", "namespace": ground.namespace, "labels": ground.labels()},
        "spec": {"scaleTargetRef": {"name": "scaled"}, "pollingInterval": EVERY, "cooldownPeriod": EVERY,
                 "minReplicaCount": 0, "maxReplicaCount": WORK.len(),
                 "triggers": [{"type": "kubernetes-workload", "metadata": metadata}]},
    })
}

/// Waits until the deployment is told to have so many replicas, and has them; how long it took.
async fn replicas(
    bench: &Bench<'_>,
    ground: &Ground,
    wanted: usize,
    patience: Duration,
) -> Result<String, Closed> {
    let place = Some(ground.namespace.as_str());
    let mut retry = Retry::new(bench, "KEDA", patience);
    loop {
        let deployment = bench.api.object(DEPLOYMENT, place, "scaled").await?.unwrap_or_default();
        let object = bench.api.object(SCALED, place, "gate").await?.unwrap_or_default();
        let scalers = bench.api.objects(SCALER, place, "").await?;
        let Some((reason, help)) = short(&deployment, &object, scalers.first(), wanted as u64) else {
            return Ok(seconds(retry.took()));
        };
        if !retry.again(&reason).await {
            let observed = format!("after {} s of {wanted} pods of work: {reason}", patience.as_secs());
            let expected = format!("{wanted} replicas, and an HPA that KEDA has made");
            return Err(Closed::observed(observed, expected, help));
        }
    }
}

const OPERATOR: &str = "`kubectl -n keda logs deploy/keda-operator` says what it makes of ScaledObjects";
const METRICS: &str = "`kubectl get apiservice v1beta1.external.metrics.k8s.io` must be `True`, and served by KEDA: only one \
                       program can; `kubectl -n keda logs deploy/keda-operator-metrics-apiserver` says more";
const PODS: &str = "kube-controller-manager makes the pods of deployments: `crictl ps --name kube-controller` on control planes";

/// What is missing, and what to do about it.
fn short(
    deployment: &Value,
    object: &Value,
    scaler: Option<&Value>,
    wanted: u64,
) -> Option<(String, &'static str)> {
    let told = deployment["spec"]["replicas"].as_u64().unwrap_or(0);
    let has = if wanted == 0 { "replicas" } else { "readyReplicas" };
    let has = deployment["status"][has].as_u64().unwrap_or(0);
    let Some(scaler) = scaler else {
        let (ready, said) = condition(object, "Ready");
        let why = if ready { "KEDA finds the ScaledObject ready all the same".to_owned() } else { said };
        return Some((format!("there is no HPA: {why}"), OPERATOR));
    };
    if told == wanted {
        return (has != wanted).then(|| (format!("the deployment has {has} of {wanted} replicas"), PODS));
    }
    let conditions: Value =
        serde_json::from_str(text(&scaler["metadata"]["annotations"][CONDITIONS])).unwrap_or_default();
    let conditions = conditions.as_array().into_iter().flatten();
    let inactive = |it: &&Value| it["type"] == "ScalingActive" && it["status"] == "False";
    // With no replicas it is off, and that is as it shall be.
    let refused = { conditions }.find(inactive).filter(|it| it["reason"] != "ScalingDisabled");
    let reason = format!("the deployment shall have {told} replicas, not {wanted}");
    Some(match refused.filter(|_| wanted > 0) {
        Some(why) => {
            (format!("{reason}; its HPA says {}: {}", text(&why["reason"]), text(&why["message"])), METRICS)
        }
        None => (reason, OPERATOR),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addon::gate::testing::Cluster;

    /// What KEDA, the HPA and the controller of deployments do, all at once.
    fn scale(cluster: &mut Cluster, shrinks: bool) {
        cluster.runs_pods();
        cluster.on_write(move |objects| {
            let Some(object) = objects.find_mut("ScaledObject", "gate") else { return };
            let namespace = object["metadata"]["namespace"].clone();
            object["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
            assert_eq!(object["spec"]["triggers"][0]["metadata"]["podSelector"], "app=work");
            let work =
                objects.of("Pod").iter().filter(|pod| pod["metadata"]["labels"]["app"] == "work").count();
            objects.put(json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
                               "metadata": {"name": "keda-hpa-gate", "namespace": namespace}}));
            let deployment = objects.find_mut("Deployment", "scaled").unwrap();
            let now = deployment["spec"]["replicas"].as_u64().unwrap() as usize;
            let then = if shrinks { work } else { work.max(now) };
            deployment["spec"]["replicas"] = json!(then);
            deployment["status"] = json!({"replicas": then, "readyReplicas": then});
        });
    }

    #[tokio::test]
    async fn work_brings_replicas_and_no_work_none() {
        let mut cluster = Cluster::new(&["w1"]).await;
        scale(&mut cluster, true);
        cluster.refuse_once(
            "POST",
            "scaledobjects",
            500,
            "failed calling webhook \"vscaledobject.kb.io\": connection refused",
        );
        let proof = cluster.pass(&ScaledByEvents, "keda").await.unwrap();
        assert!(
            proof.seen[0].starts_with("a deployment without replicas got 2 for as many pods of work, after"),
            "{proof:?}"
        );
        assert!(cluster.said()[0].contains("failed calling webhook"), "{:?}", cluster.said());
        assert!(cluster.has_no("Namespace") && cluster.has_no("ScaledObject"), "nothing is left");
    }

    #[tokio::test]
    async fn replicas_that_stay_close_the_gate_and_nothing_is_left() {
        let mut cluster = Cluster::new(&["w1"]).await;
        scale(&mut cluster, false);
        let words = cluster.pass(&ScaledByEvents, "keda").await.unwrap_err().to_string();
        assert_eq!(
            words,
            "after 90 s of 0 pods of work: the deployment shall have 2 replicas, not 0; expected: 0 replicas, and an HPA that \
             KEDA has made"
        );
        assert!(cluster.has_no("Namespace"), "nothing is left");
    }

    #[tokio::test]
    async fn a_cluster_without_it_is_told() {
        let cluster = Cluster::new(&["w1"]).await.without("keda.sh/v1alpha1");
        let closed = cluster.pass(&ScaledByEvents, "keda").await.unwrap_err();
        assert!(closed.to_string().contains("does not know ScaledObject of keda.sh/v1alpha1"), "{closed}");
    }

    #[test]
    fn what_stands_in_the_way_is_named() {
        let deployment = |told: u64, has: u64| json!({"spec": {"replicas": told}, "status": {"replicas": told, "readyReplicas": has}});
        let object = |status: &str| {
            json!({"status": {"conditions": [{"type": "Ready", "status": status,
            "reason": "ScaledObjectCheckFailed", "message": "ScaledObject doesn't have correct triggers specification"}]}})
        };
        let scaler = |status: &str, reason: &str| {
            let said = json!([{"type": "AbleToScale", "status": "True"}, {"type": "ScalingActive", "status": status,
                               "reason": reason, "message": "unable to get external metric"}]);
            json!({"metadata": {"annotations": {CONDITIONS: said.to_string()}}})
        };
        let (ready, fine) = (object("True"), scaler("True", "ValidMetricFound"));
        assert_eq!(short(&deployment(2, 2), &ready, Some(&fine), 2), None);
        let says = |deployment: &Value, object: &Value, scaler: Option<&Value>, wanted: u64| {
            short(deployment, object, scaler, wanted).unwrap()
        };
        let (reason, help) = says(&deployment(0, 0), &object("False"), None, 2);
        assert!(
            reason.starts_with("there is no HPA: ScaledObjectCheckFailed: ScaledObject doesn't"),
            "{reason}"
        );
        assert_eq!(help, OPERATOR);
        // Without an HPA nothing is proven, whoever scaled.
        assert!(says(&deployment(2, 2), &ready, None, 2).0.starts_with("there is no HPA"));
        let broken = scaler("False", "FailedGetExternalMetric");
        let (reason, help) = says(&deployment(1, 1), &ready, Some(&broken), 2);
        assert!(
            reason.ends_with("its HPA says FailedGetExternalMetric: unable to get external metric"),
            "{reason}"
        );
        assert_eq!(help, METRICS);
        assert_eq!(says(&deployment(2, 0), &ready, Some(&fine), 2).1, PODS);
        let off = scaler("False", "ScalingDisabled");
        assert_eq!(says(&deployment(1, 1), &ready, Some(&off), 0).1, OPERATOR);
    }
}
