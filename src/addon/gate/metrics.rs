//! The metrics API: what `kubectl top` and autoscaling ask.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{
    Bench, Closed, Gate, Proof,
    retry::{Retry, once, seconds, text},
};

const PATH: &str = "/apis/metrics.k8s.io/v1beta1/nodes";
/// Kubelets are asked every 15 s, and a rate needs two answers.
const PATIENCE: Duration = Duration::from_secs(150);
const HELP: &str = "`kubectl -n kube-system logs deploy/metrics-server` names the kubelets that it cannot ask: a certificate \
                    that is not signed by the cluster (`hoist apply` approves those), or port 10250 closed";

/// The gate `metrics-answered`.
pub(super) struct MetricsAnswered;

#[async_trait]
impl Gate for MetricsAnswered {
    fn name(&self) -> &'static str {
        "metrics-answered"
    }

    fn proves(&self) -> &'static str {
        "the metrics API tells processor and memory of every node"
    }

    fn each_node(&self) -> bool {
        true
    }

    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        let nodes = bench.api.nodes().await?;
        let nodes: Vec<&str> =
            nodes.iter().filter(|node| node.ready).map(|node| node.name.as_str()).collect();
        let api = once(bench.api);
        let mut retry = Retry::new(bench, "the metrics API", PATIENCE);
        loop {
            let reason = match api.get(PATH).await {
                Ok(text) => match unknown(&nodes, &text) {
                    None => break,
                    Some(reason) => reason,
                },
                // Another control plane may be asked.
                Err(error) if error.is_lost() => return Err(error.into()),
                Err(error) => error.to_string(),
            };
            if !retry.again(&reason).await {
                return Err(Closed::observed(
                    reason,
                    "processor and memory of every node that is ready",
                    HELP,
                ));
            }
        }
        let seen = format!(
            "the metrics API told processor and memory of {} nodes after {}",
            nodes.len(),
            seconds(retry.took())
        );
        Ok(Proof { seen: vec![seen] })
    }
}

/// The nodes that nothing is told of.
fn unknown(nodes: &[&str], answer: &str) -> Option<String> {
    let list: Value = serde_json::from_str(answer).unwrap_or_default();
    let told = |node: &&&str| {
        let items = list["items"].as_array().into_iter().flatten();
        let usage = |it: &Value, what: &str| !text(&it["usage"][what]).is_empty();
        let mut of_it = items.filter(|it| text(&it["metadata"]["name"]) == **node);
        !of_it.any(|it| usage(it, "cpu") && usage(it, "memory"))
    };
    let missing: Vec<&str> = nodes.iter().filter(told).copied().collect();
    (!missing.is_empty()).then(|| format!("the metrics API tells nothing of {}", missing.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::addon::gate::testing::Cluster;

    fn usage(nodes: &[&str]) -> String {
        let item =
            |node: &&str| json!({"metadata": {"name": node}, "usage": {"cpu": "10m", "memory": "1Gi"}});
        json!({"items": nodes.iter().map(item).collect::<Vec<_>>()}).to_string()
    }

    #[tokio::test]
    async fn it_is_asked_again_until_every_node_is_in_it() {
        let mut cluster = Cluster::new(&["cp1", "w1"]).await;
        cluster.answers(PATH, |turn| match turn {
            0 => (503, json!({"kind": "Status", "status": "Failure", "code": 503, "message": "no endpoints", "reason": "x"}).to_string()),
            1 => (200, usage(&["w1"])),
            _ => (200, usage(&["w1", "cp1"])),
        });
        let proof = cluster.pass(&MetricsAnswered, "kube-system").await.unwrap();
        assert!(
            proof.seen[0].starts_with("the metrics API told processor and memory of 2 nodes"),
            "{proof:?}"
        );
        let said = cluster.said();
        assert!(said[0].contains("no endpoints") && said[0].ends_with("trying again"), "{said:?}");
        assert_eq!(said[1], "the metrics API: the metrics API tells nothing of cp1; trying again");
    }

    #[test]
    fn nodes_without_figures_are_named() {
        assert_eq!(unknown(&["cp1", "w1"], &usage(&["w1", "cp1"])), None);
        assert_eq!(
            unknown(&["cp1", "w1", "w2"], &usage(&["w1"])).unwrap(),
            "the metrics API tells nothing of cp1, w2"
        );
        let empty = json!({"items": [{"metadata": {"name": "w1"}, "usage": {"cpu": "1m"}}]}).to_string();
        assert!(unknown(&["w1"], &empty).is_some(), "no memory");
    }
}
