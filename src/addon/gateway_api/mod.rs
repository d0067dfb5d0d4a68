//! The Gateway API that Cilium serves. Its [`definitions`] are not in Cilium's chart, which makes the GatewayClass
//! only where they are, and Cilium's operator looks for them only when it starts. So they come before the chart; and
//! where they came after Cilium, helm runs again and the operator is started again.
//!
//! Sources: Cilium 1.20 `install/kubernetes/cilium/templates/cilium-gateway-api-class.yaml`,
//! `operator/pkg/gateway-api/cell.go` (what it requires).

mod definitions;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

pub(super) use definitions::before;
pub use definitions::refuse;

use super::{Desired, install::Install, stop::Stop};
use crate::{
    kube::{self, Api, Kind},
    task::Change,
};

const CLASS: Kind = Kind::new("gateway.networking.k8s.io/v1", "GatewayClass");
const DEFINITION: Kind = Kind::new("apiextensions.k8s.io/v1", "CustomResourceDefinition");
const DEPLOYMENT: Kind = Kind::new("apps/v1", "Deployment");
/// What Cilium's chart calls its class, and its operator.
const NAME: &str = "cilium";
const OPERATOR: &str = "cilium-operator";
/// On the operator's pods, so that they are made anew.
const AGAIN: &str = "hoist.dev/started-for-gateway-api";
/// How long the operator may take to start and to take its class.
const TAKEN: Duration = Duration::from_secs(180);

/// Whether an add-on is Cilium, with the Gateway API and a class for it.
fn is_served(desired: &Desired) -> bool {
    let release = desired.release.as_ref().filter(|release| release.chart.name == NAME);
    let said = release.and_then(|release| release.values.get("gatewayAPI"));
    said.is_some_and(|said| said["enabled"] == true && said["gatewayClass"]["create"] != "false")
}

/// Whether the class that an add-on shall have is missing, or no operator has looked at it: the one that runs found no
/// definitions when it started, or those of another release.
///
/// # Errors
/// When the API server does not answer, or refuses to say.
pub(super) async fn lacks(api: &Api, desired: &Desired) -> Result<bool, kube::Error> {
    if !is_served(desired) {
        return Ok(false);
    }
    let class = api.object(CLASS, None, NAME).await?;
    Ok(class.is_none_or(|class| !matches!(accepted(&class)["status"].as_str(), Some("True" | "False"))))
}

/// What the operator says of a class; nothing where it has not said anything.
fn accepted(class: &Value) -> &Value {
    let conditions = class["status"]["conditions"].as_array().into_iter().flatten();
    { conditions }.find(|condition| condition["type"] == "Accepted").unwrap_or(&Value::Null)
}

/// What is done about that.
pub(super) fn change() -> Change {
    Change::new(format!(
        "have GatewayClass {NAME} made and served: helm runs again, and {OPERATOR} is started again, for both look for the \
         Gateway API only then"
    ))
}

impl Install<'_> {
    /// Starts the operator again, and waits until it has taken the class that helm has made.
    pub(super) async fn serve_gateways(&self, api: &Api) -> Result<(), Stop> {
        start_again(api, self.namespace()).await.map_err(|error| self.kube(error))?;
        let deadline = Instant::now() + TAKEN;
        loop {
            let class = api.object(CLASS, None, NAME).await.map_err(|error| self.kube(error))?;
            let Err(reason) = is_taken(class.as_ref()) else { return Ok(()) };
            if Instant::now() >= deadline {
                let what =
                    format!("Cilium does not serve the Gateway API after {} s: {reason}", TAKEN.as_secs());
                let next = "`kubectl -n kube-system logs deploy/cilium-operator` says what it misses, mostly a definition of \
                            another release of the Gateway API";
                return Err(self.stop(what, Vec::new(), None, next));
            }
            self.wait(reason).await;
        }
    }
}

/// What `kubectl rollout restart` does.
async fn start_again(api: &Api, namespace: &str) -> Result<(), kube::Error> {
    let annotations = json!({AGAIN: Timestamp::now().to_string()});
    let mark = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    api.merge(DEPLOYMENT, Some(namespace), OPERATOR, &mark).await.map(drop)
}

/// Whether the operator has taken a class; in words, why not.
fn is_taken(class: Option<&Value>) -> Result<(), String> {
    let class = class.ok_or_else(|| format!("there is no GatewayClass {NAME}"))?;
    match accepted(class) {
        said if said["status"] == "True" => Ok(()),
        Value::Null => Err(format!("nobody has said yet whether GatewayClass {NAME} is accepted")),
        said => Err(format!(
            "GatewayClass {NAME} is not accepted: {}",
            said["message"].as_str().unwrap_or_default()
        )),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::addon::{
        Difference, Observed,
        desired::tests::{chart, nothing},
        gate::testing::Cluster,
        upgrade::tests::installed,
    };

    pub fn cilium(values: Value) -> Desired {
        let mut desired = nothing("cilium", "kube-system");
        desired.release = Some(chart("cilium", "1.20.0", values));
        desired
    }

    pub fn on() -> Value {
        json!({"gatewayAPI": {"enabled": true}})
    }

    #[tokio::test]
    async fn a_class_that_is_missing_or_that_nobody_serves_is_a_difference() {
        let mut cluster = Cluster::new(&[]).await;
        let api = cluster.bench("kube-system").api.clone();
        let desired = cilium(on());
        let mut release = installed("deployed", on());
        release.name = "cilium".into();
        release.namespace = "kube-system".into();
        release.chart = "cilium".into();
        release.version = "1.20.0".into();
        release.digest = Some("a".repeat(32));
        release.objects.clear();
        let observed = Observed { releases: vec![release], records: Vec::new() };
        let find = async || {
            let found = Difference::find(&api, &desired, &observed).await.unwrap();
            (found.release, found.changes.into_iter().map(|change| change.summary).collect::<Vec<_>>())
        };
        assert_eq!(find().await, (true, vec![change().summary]));
        let mut class = |status: &str| {
            // The definition's own default is `Unknown`.
            let accepted = json!({"type": "Accepted", "status": status, "message": "Waiting for controller"});
            cluster.put(
                json!({"apiVersion": CLASS.api_version, "kind": CLASS.kind, "metadata": {"name": "cilium"},
                               "status": {"conditions": [accepted]}}),
            );
        };
        class("Unknown");
        assert_eq!(find().await, (true, vec![change().summary]));
        class("True");
        assert_eq!(find().await, (false, vec![]));
    }

    #[tokio::test]
    async fn the_operator_is_started_again_and_nothing_else_of_it_changes() {
        let mut cluster = Cluster::new(&[]).await;
        let spec = json!({"replicas": 2, "template": {"metadata": {"annotations": {"a": "b"}}, "spec": {"containers": []}}});
        cluster.put(json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec,
                           "metadata": {"name": OPERATOR, "namespace": "kube-system"}}));
        start_again(cluster.bench("n").api, "kube-system").await.unwrap();
        let mut after = cluster.object("Deployment", OPERATOR)["spec"].clone();
        let annotations = after["template"]["metadata"]["annotations"].as_object_mut().unwrap();
        assert!(
            annotations.remove(AGAIN).is_some_and(|at| at.as_str().unwrap().parse::<Timestamp>().is_ok())
        );
        assert_eq!(after, spec);
    }

    #[test]
    fn a_class_is_taken_when_it_is_accepted() {
        let class = |status: &str| json!({"status": {"conditions": [{"type": "Accepted", "status": status, "message": "Valid"}]}});
        assert_eq!(is_taken(Some(&class("True"))), Ok(()));
        assert_eq!(
            is_taken(Some(&class("False"))).unwrap_err(),
            "GatewayClass cilium is not accepted: Valid"
        );
        assert!(is_taken(Some(&json!({}))).unwrap_err().starts_with("nobody has said yet"));
        assert_eq!(is_taken(None).unwrap_err(), "there is no GatewayClass cilium");
    }
}
