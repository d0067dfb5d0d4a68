//! Policies: traffic that a NetworkPolicy forbids is dropped, and the rest passes.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::{
    Bench, Closed, Gate, Proof, cilium,
    ground::Ground,
    http::{self, Answer, Question},
    inside::{self, Ask, PORT},
    pods::{self, Pod, Wish},
    reach::page,
    retry::{Retry, make, seconds},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// The gate `policy-drops`.
pub(super) struct PolicyDrops;

#[async_trait]
impl Gate for PolicyDrops {
    fn name(&self) -> &'static str {
        "policy-drops"
    }

    fn proves(&self) -> &'static str {
        "a network policy drops what it must, lets through what it allows, and Hubble shows the drop"
    }

    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        let ground = Ground::take(bench, self.name()).await?;
        let done = prove(bench, &ground).await;
        ground.leave(bench, done).await
    }
}

async fn prove(bench: &Bench<'_>, ground: &Ground) -> Result<Proof, Closed> {
    let (nodes, _) = pods::nodes(bench).await?;
    // A server on one node and who asks on another, where there is another.
    let (near, far) = (&nodes[nodes.len() - 1], &nodes[0]);
    let wish =
        |name: &str, node| Wish { name: name.to_owned(), node, labels: json!({"app": name}), claim: None };
    let wishes = [wish("server", near), wish("allowed", far), wish("stranger", far)];
    let pods = pods::start(bench, ground, &wishes).await?;
    let (server, clients) = (&pods[0], &pods[1..]);
    let _server = inside::serve(server, &page(ground, server)).await?;
    let mut retry = Retry::new(bench, "before there is a policy", PATIENCE);
    while let Some(closed) = before(&asked(ground, server, clients).await?, server, clients) {
        if !retry.again(&closed.to_string()).await {
            return Err(closed);
        }
    }
    make(bench, policy(ground), PATIENCE).await?;
    let mut retry = Retry::new(bench, "the policy", PATIENCE);
    while let Some(closed) = after(&asked(ground, server, clients).await?, server, clients) {
        if !retry.again(&closed.to_string()).await {
            return Err(closed);
        }
    }
    let mut seen = vec![format!(
        "a policy that lets one pod in dropped another's packets ({} to {}) after {}, and the allowed one still passed",
        clients[1].node,
        server.node,
        seconds(retry.took())
    )];
    seen.push(cilium::drop_is_seen(bench, &ground.namespace, server, &clients[1].name).await?);
    Ok(Proof { seen })
}

fn policy(ground: &Ground) -> Value {
    let allowed = json!({"podSelector": {"matchLabels": {"app": "allowed"}}});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "allowed-only", "namespace": ground.namespace, "labels": ground.labels()},
        "spec": {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"],
                 "ingress": [{"from": [allowed], "ports": [{"port": PORT, "protocol": "TCP"}]}]},
    })
}

/// What came back to each client: its page, or in words what else.
async fn asked(ground: &Ground, server: &Pod, clients: &[Pod]) -> Result<Vec<Result<(), String>>, Closed> {
    let ask = [Ask { to: server.address, port: PORT, question: Question::new("server", "/") }];
    let all = try_join_all(clients.iter().map(|pod| inside::ask(pod, &ask))).await?;
    let page = page(ground, server);
    let ours =
        |came: &Result<Answer, String>| came.as_ref().is_ok_and(|it| it.status == 200 && it.body == page);
    Ok(all.iter().flatten().map(|came| if ours(came) { Ok(()) } else { Err(http::told(came)) }).collect())
}

/// Without a policy both must pass, or nothing that follows proves anything.
fn before(came: &[Result<(), String>], server: &Pod, clients: &[Pod]) -> Option<Closed> {
    let (pod, reason) = clients.iter().zip(came).find_map(|(pod, came)| Some((pod, came.as_ref().err()?)))?;
    let observed = format!("without any policy, {} asked {}: {reason}", pod.place(), server.place());
    let help = "the pod network does not carry this, or a policy for the whole cluster forbids it already \
                (`kubectl get ciliumclusterwidenetworkpolicies`)";
    Some(Closed::observed(observed, "an answer", help))
}

fn after(came: &[Result<(), String>], server: &Pod, clients: &[Pod]) -> Option<Closed> {
    let [allowed, stranger] = [(&clients[0], &came[0]), (&clients[1], &came[1])];
    if let (pod, Ok(())) = stranger {
        let observed = format!(
            "{} still gets an answer of {}, {} s after a NetworkPolicy that allows another pod alone",
            pod.place(),
            server.place(),
            PATIENCE.as_secs()
        );
        let help = "the network plugin does not enforce NetworkPolicy: with the plugin `bridge` policies are kept and \
                    ignored, Cilium enforces them; with Cilium, see `enable-policy` in the ConfigMap cilium-config";
        return Some(Closed::observed(observed, "no answer", help));
    }
    let (pod, Err(reason)) = allowed else { return None };
    let observed =
        format!("{} is allowed by the NetworkPolicy and asked {}: {reason}", pod.place(), server.place());
    let help = "the plugin drops what the policy allows: it may not know the pod's identity (yet); \
                `cilium-dbg endpoint list` in the agent's pod on that node shows the identities";
    Some(Closed::observed(observed, "an answer", help))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addon::gate::testing::pod;

    #[test]
    fn what_a_policy_did_is_told_apart() {
        let server = pod("server", "w2", "10.244.2.2");
        let clients = [pod("allowed", "w1", "10.244.1.2"), pod("stranger", "w1", "10.244.1.3")];
        let (passed, dropped) = (Ok(()), Err("no answer within 5 s".to_owned()));
        let words = |closed: Option<Closed>| closed.map(|closed| closed.to_string()).unwrap_or_default();
        assert_eq!(words(before(&[passed.clone(), passed.clone()], &server, &clients)), "");
        assert_eq!(
            words(before(&[passed.clone(), dropped.clone()], &server, &clients)),
            "without any policy, the pod on w1 (10.244.1.3) asked the pod on w2 (10.244.2.2): no answer within 5 s; \
             expected: an answer"
        );
        assert_eq!(words(after(&[passed.clone(), dropped.clone()], &server, &clients)), "");
        assert_eq!(
            words(after(&[passed.clone(), passed], &server, &clients)),
            "the pod on w1 (10.244.1.3) still gets an answer of the pod on w2 (10.244.2.2), 30 s after a NetworkPolicy that \
             allows another pod alone; expected: no answer"
        );
        assert_eq!(
            words(after(&[dropped.clone(), dropped], &server, &clients)),
            "the pod on w1 (10.244.1.2) is allowed by the NetworkPolicy and asked the pod on w2 (10.244.2.2): no answer \
             within 5 s; expected: an answer"
        );
    }
}
