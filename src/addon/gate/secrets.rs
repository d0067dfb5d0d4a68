//! External Secrets: what a store holds becomes a Secret, and what changes there changes it.
//!
//! The store is of the provider `fake`, which holds what stands in the store itself: it needs nothing outside of the cluster.
//! Sources: External Secrets' `apis/externalsecrets/v1` and `providers/v1/fake`.

use std::time::Duration;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    Bench, Closed, Gate, Proof,
    ground::Ground,
    retry::{Retry, condition, make, seconds, text},
};
use crate::kube::Kind;

const STORE: Kind = Kind::new("external-secrets.io/v1", "SecretStore");
const EXTERNAL: Kind = Kind::new("external-secrets.io/v1", "ExternalSecret");
const SECRET: Kind = Kind::new("v1", "Secret");
/// How often the store is looked into.
const EVERY: &str = "5s";
/// How long the webhook may take until it admits an object.
const WEBHOOK: Duration = Duration::from_secs(120);
const COMES: Duration = Duration::from_secs(90);

/// The gate `secret-fetched`.
pub(super) struct SecretFetched;

#[async_trait]
impl Gate for SecretFetched {
    fn name(&self) -> &'static str {
        "secret-fetched"
    }

    fn proves(&self) -> &'static str {
        "what a throw-away store holds becomes a Secret, and what is changed in the store changes it"
    }

    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        let ground = Ground::take(bench, self.name()).await?;
        let done = prove(bench, &ground).await;
        ground.leave(bench, done).await
    }
}

async fn prove(bench: &Bench<'_>, ground: &Ground) -> Result<Proof, Closed> {
    let metadata = json!({"name": "gate", "namespace": ground.namespace, "labels": ground.labels()});
    let object = |kind: Kind, spec: Value| json!({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec});
    make(bench, object(STORE, holds("first")), WEBHOOK).await?;
    let external = json!({
        "refreshInterval": EVERY, "secretStoreRef": {"name": "gate", "kind": STORE.kind}, "target": {"name": "gate"},
        "data": [{"secretKey": "value", "remoteRef": {"key": "/gate"}}],
    });
    make(bench, object(EXTERNAL, external), WEBHOOK).await?;
    let fetched = is(bench, ground, "first").await?;
    let patch = json!({"spec": holds("second")});
    bench.api.merge(STORE, Some(&ground.namespace), "gate", &patch).await?;
    let changed = is(bench, ground, "second").await?;
    Ok(Proof {
        seen: vec![
            format!("what a throw-away store holds was in a Secret after {fetched}"),
            format!("what was changed in the store was in it after {changed}"),
        ],
    })
}

fn holds(value: &str) -> Value {
    json!({"provider": {"fake": {"data": [{"key": "/gate", "value": value}]}}})
}

/// Waits until the Secret has this value; how long it took.
async fn is(bench: &Bench<'_>, ground: &Ground, wanted: &str) -> Result<String, Closed> {
    let place = Some(ground.namespace.as_str());
    let mut retry = Retry::new(bench, "the Secret", COMES);
    loop {
        let secret = bench.api.object(SECRET, place, "gate").await?;
        let value = secret.as_ref().map(|secret| text(&secret["data"]["value"]));
        let reason = match value {
            Some(value) if value == STANDARD.encode(wanted) => return Ok(seconds(retry.took())),
            Some(_) => "it has not what the store holds now".to_owned(),
            None => {
                let external = bench.api.object(EXTERNAL, place, "gate").await?.unwrap_or_default();
                format!("there is none: {}", condition(&external, "Ready").1)
            }
        };
        if !retry.again(&reason).await {
            let help = format!(
                "`kubectl -n {} logs deploy/external-secrets` says what it makes of stores",
                bench.namespace
            );
            let observed = format!("the Secret of a throw-away store after {} s: {reason}", COMES.as_secs());
            return Err(Closed::observed(observed, "one with what the store holds", help));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addon::gate::testing::Cluster;

    /// Fetches like the operator; later changes only if it is told to.
    fn fetch(cluster: &mut Cluster, refreshes: bool) {
        cluster.on_write(move |objects| {
            let Some(external) = objects.find_mut("ExternalSecret", "gate").cloned() else { return };
            let namespace = external["metadata"]["namespace"].clone();
            let key = external["spec"]["data"][0]["remoteRef"]["key"].clone();
            let Some(store) = objects.find_mut("SecretStore", "gate").cloned() else { return };
            let held = &store["spec"]["provider"]["fake"]["data"][0];
            assert_eq!(held["key"], key);
            let value = STANDARD.encode(held["value"].as_str().unwrap());
            if refreshes || objects.of("Secret").is_empty() {
                objects.put(json!({"apiVersion": "v1", "kind": "Secret", "data": {"value": value},
                                   "metadata": {"name": "gate", "namespace": namespace}}));
            }
        });
    }

    #[tokio::test]
    async fn a_secret_comes_and_follows_its_store() {
        let mut cluster = Cluster::new(&["w1"]).await;
        fetch(&mut cluster, true);
        cluster.refuse_once(
            "POST",
            "secretstores",
            500,
            "failed calling webhook \"validate.secretstore.external-secrets.io\": no endpoints available",
        );
        let proof = cluster.pass(&SecretFetched, "external-secrets").await.unwrap();
        assert!(proof.seen[1].starts_with("what was changed in the store was in it after"), "{proof:?}");
        assert!(cluster.said()[0].contains("failed calling webhook"), "{:?}", cluster.said());
        assert!(cluster.has_no("Namespace") && cluster.has_no("Secret"), "nothing is left");
    }

    #[tokio::test]
    async fn one_that_does_not_follow_closes_the_gate() {
        let mut cluster = Cluster::new(&["w1"]).await;
        fetch(&mut cluster, false);
        let words = cluster.pass(&SecretFetched, "external-secrets").await.unwrap_err().to_string();
        assert_eq!(
            words,
            "the Secret of a throw-away store after 90 s: it has not what the store holds now; expected: one with what the \
             store holds"
        );
        assert!(cluster.has_no("Namespace"), "nothing is left");
    }

    #[tokio::test]
    async fn why_none_comes_is_told() {
        let mut cluster = Cluster::new(&["w1"]).await;
        cluster.on_write(|objects| {
            if let Some(external) = objects.find_mut("ExternalSecret", "gate") {
                external["status"] = json!({"conditions": [{"type": "Ready", "status": "False",
                    "reason": "SecretSyncedError", "message": "could not get secret data from provider"}]});
            }
        });
        let words = cluster.pass(&SecretFetched, "external-secrets").await.unwrap_err().to_string();
        assert!(words.contains("there is none: SecretSyncedError: could not get secret data"), "{words}");
        let cluster = Cluster::new(&["w1"]).await.without("external-secrets.io/v1");
        let words = cluster.pass(&SecretFetched, "external-secrets").await.unwrap_err().to_string();
        assert!(words.contains("does not know SecretStore of external-secrets.io/v1"), "{words}");
    }
}
