//! Rented nodes as Kubernetes shows them, and what is done about them.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::GROUP;
pub use crate::burst::rented::CLAIM;
use crate::{
    burst::{
        claim::{Claim, NodeSeen},
        cloud::{TooLong, UserData},
        controller::{CertificateRequest, NodeError, Nodes, Work, token_id},
        offer::Offer,
    },
    kube::{self, Api, Evicted, Kind},
};

/// On a rented node that was told by EC2 that it is taken back: when.
pub const NOTICE: &str = "hoist.dev/notice";

const NODE: Kind = Kind::new("v1", "Node");
const SECRET: Kind = Kind::new("v1", "Secret");
const SYSTEM: &str = "kube-system";
/// How long a token is good for: longer than a node has to join.
const TOKEN: Duration = Duration::from_secs(20 * 60);
/// A node with one of these is not ready for pods, whatever its kubelet says.
const STARTING: [&str; 3] = [
    "node.cilium.io/agent-not-ready",
    "node.kubernetes.io/network-unavailable",
    "node.kubernetes.io/not-ready",
];

/// What a node joins with, for whoever writes its user data.
pub struct Joining<'a> {
    pub claim: &'a Claim,
    pub number: u32,
    pub offer: &'a Offer,
    /// `ID.SECRET`
    pub token: &'a str,
}

/// Writes what cloud-init runs on a new node.
pub type Writer = Box<dyn Fn(&Joining<'_>) -> Result<UserData, Unwritten> + Send + Sync>;

/// Why a node has no user data. No value is quoted: one of them is a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum Unwritten {
    #[error(transparent)]
    #[diagnostic(transparent)]
    TooLong(#[from] TooLong),
    #[error("the {what} of the node has characters that no script takes")]
    #[diagnostic(help("lower-case letters, digits, dots and hyphens are taken"))]
    Odd { what: &'static str },
}

/// The nodes of claims.
pub struct Workers {
    api: Api,
    writer: Writer,
}

impl Workers {
    pub fn new(api: Api, writer: Writer) -> Workers {
        Workers { api, writer }
    }

    /// Makes the token, or gives the one that there is a new secret and a new end.
    async fn token(&self, claim: &str) -> Result<String, NodeError> {
        let action = "make a token to join with";
        let id = token_id(claim);
        let mut bytes = [0; 10];
        getrandom::fill(&mut bytes).map_err(|error| failed(action, &error))?;
        // Sixteen letters and digits, as a token's secret has.
        let secret = data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
        let expires = Timestamp::now().checked_add(TOKEN).map_err(|error| failed(action, &error))?;
        let data = json!({
            "description": format!("hoist: joins {claim}"),
            "token-id": id, "token-secret": secret, "expiration": format!("{expires:.0}"),
            "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
            "auth-extra-groups": GROUP,
        });
        let name = token_name(claim);
        let patched = self.api.merge(SECRET, Some(SYSTEM), &name, &json!({"stringData": data})).await;
        match patched {
            Err(kube::Error::Refused { status: 404, .. }) => {
                let metadata = json!({"name": name, "namespace": SYSTEM, "labels": {CLAIM: claim}});
                let made = json!({"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
                                  "metadata": metadata, "stringData": data});
                self.api.create(made).await.map_err(|error| failed(action, &error))?;
            }
            done => drop(done.map_err(|error| failed(action, &error))?),
        }
        Ok(format!("{id}.{secret}"))
    }

    async fn drop_token(&self, claim: &str) -> Result<(), kube::Error> {
        self.api.delete(SECRET, Some(SYSTEM), &token_name(claim)).await.map(drop)
    }

    async fn evict(
        &self,
        claim: &str,
        grace: Option<Duration>,
        respect_budgets: bool,
    ) -> Result<(), kube::Error> {
        let mut first = Ok(());
        for pod in self.api.movable(Some(claim)).await? {
            let done = match respect_budgets {
                // What a budget does not allow now is asked for again in the next turn.
                true => self.api.evict(&pod, grace).await.map(|_: Evicted| ()),
                false => self.api.delete_pod(&pod, grace).await,
            };
            first = first.and(done);
        }
        first
    }

    async fn drop_node(&self, claim: &str, instances: &[String]) -> Result<(), kube::Error> {
        // Somebody else's node of that name is not for us to delete.
        let is_ours = |node: &Value| {
            let instance = node["spec"]["providerID"].as_str().and_then(|id| id.rsplit('/').next());
            let is_known = instance.is_some_and(|id| instances.iter().any(|known| known == id));
            is_known || node["metadata"]["labels"][CLAIM] == claim
        };
        if self.api.object(NODE, None, claim).await?.as_ref().is_some_and(is_ours) {
            self.api.delete(NODE, None, claim).await?;
            self.api.wait_until_gone(NODE, None, claim, Duration::from_secs(10)).await?;
        }
        self.drop_token(claim).await?;
        let kind = Kind::new("certificates.k8s.io/v1", "CertificateSigningRequest");
        let common_name = format!("system:node:{claim}");
        for request in self.api.pending_requests().await? {
            if request.common_name.as_deref() == Some(&common_name) {
                self.api.delete(kind, None, &request.name).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Nodes for Workers {
    async fn nodes(&self, claims: &[&Claim]) -> Result<Vec<NodeSeen>, NodeError> {
        let action = "list the rented nodes";
        let mut nodes = self.api.objects(NODE, None, "").await.map_err(|error| failed(action, &error))?;
        nodes.retain(|node| {
            let name = node["metadata"]["name"].as_str().unwrap_or_default();
            let provider_id = node["spec"]["providerID"].as_str().unwrap_or_default();
            node["metadata"]["labels"][CLAIM].is_string()
                || claims.iter().any(|claim| claim.owns(name, provider_id))
        });
        if nodes.is_empty() {
            return Ok(Vec::new());
        }
        let pods = self.api.movable(None).await.map_err(|error| failed(action, &error))?;
        let mut on: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pod in pods {
            on.entry(pod.node).or_default().push(format!("{}/{}", pod.namespace, pod.name));
        }
        Ok(nodes.iter().map(|node| seen(node, &mut on)).collect())
    }

    async fn requests(&self) -> Result<Vec<CertificateRequest>, NodeError> {
        let pending = self.api.pending_requests().await;
        let pending = pending.map_err(|error| failed("list the requests for certificates", &error))?;
        let read = |request: kube::Pending| {
            let common_name = request.common_name?;
            Some(CertificateRequest {
                name: request.name,
                user: request.user,
                signer: request.signer,
                common_name,
                alternatives: request.alternatives,
            })
        };
        Ok(pending.into_iter().filter_map(read).collect())
    }

    async fn prepare(&self, claim: &Claim, number: u32, offer: &Offer) -> Result<UserData, NodeError> {
        let token = self.token(&claim.name).await?;
        let joining = Joining { claim, number, offer, token: &token };
        (self.writer)(&joining).map_err(|error| failed("write the user data", &error))
    }

    async fn work(&self, claim: &str, work: &Work) -> Result<(), NodeError> {
        let (action, done) = match work {
            Work::Approve(request) => {
                let message = format!("of the open claim {claim}");
                ("approve a certificate", self.api.approve(request, "HoistBurstClaim", &message).await)
            }
            Work::Cordon => {
                let patch = json!({"spec": {"unschedulable": true}});
                ("cordon the node", self.api.merge(NODE, None, claim, &patch).await.map(drop))
            }
            Work::Uncordon => {
                let patch = json!({"spec": {"unschedulable": null}});
                ("uncordon the node", self.api.merge(NODE, None, claim, &patch).await.map(drop))
            }
            Work::Evict { grace, respect_budgets } => {
                ("move its pods", self.evict(claim, *grace, *respect_budgets).await)
            }
            Work::DropToken => ("delete its token", self.drop_token(claim).await),
            Work::Label => {
                let patch = json!({"metadata": {"labels": {CLAIM: claim}}});
                ("label the node", self.api.merge(NODE, None, claim, &patch).await.map(drop))
            }
            Work::DropNode(instances) => ("delete the node", self.drop_node(claim, instances).await),
        };
        match done {
            // A node that is gone needs no cordon.
            Ok(()) | Err(kube::Error::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(failed(&format!("{action} of {claim}"), &error)),
        }
    }
}

fn seen(node: &Value, on: &mut BTreeMap<String, Vec<String>>) -> NodeSeen {
    let text = |pointer: &str| node.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |pointer: &str| node.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    let starts = |taint: &Value| STARTING.iter().any(|key| taint["key"] == *key);
    let name = text("/metadata/name");
    NodeSeen {
        provider_id: text("/spec/providerID"),
        ready: list("/status/conditions").iter().any(is_ready) && !list("/spec/taints").iter().any(starts),
        cordoned: node["spec"]["unschedulable"] == true,
        pods: on.remove(&name).unwrap_or_default(),
        notice: node["metadata"]["annotations"][NOTICE].is_string(),
        labelled: node["metadata"]["labels"][CLAIM] == name.as_str(),
        name,
    }
}

fn token_name(claim: &str) -> String {
    format!("bootstrap-token-{}", token_id(claim))
}

fn failed(action: &str, reason: &dyn std::fmt::Display) -> NodeError {
    NodeError { action: action.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        burst::{
            offer::{Capacity, Money},
            time::Time,
        },
        kube::{
            fake::{Fake, SERVER},
            memory::Memory,
        },
    };

    async fn workers(memory: Memory) -> (Workers, Arc<Mutex<Memory>>) {
        let memory = Arc::new(Mutex::new(memory));
        let kept = memory.clone();
        let fake =
            Fake::serve(SERVER, move |_, request, body| kept.lock().unwrap().answer(request, body)).await;
        let api = kube::connect(fake.host(), &Fake::kubeconfig(&fake.ca)).await.unwrap();
        let writer = |joining: &Joining<'_>| {
            Ok(UserData::new(format!("{} {}", joining.claim.name, joining.token).into())?)
        };
        (Workers::new(api, Box::new(writer)), memory)
    }

    fn node(name: &str, more: &Value) -> Value {
        let mut node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {CLAIM: name}},
            "spec": {"providerID": "aws:///eu-central-1a/i-1"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        for (key, value) in more.as_object().unwrap() {
            for (inner, value) in value.as_object().unwrap() {
                node[key][inner] = value.clone();
            }
        }
        node
    }

    fn pod(name: &str, node: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "web"},
               "spec": {"nodeName": node, "containers": []}, "status": {"phase": "Running"}})
    }

    fn offer() -> Offer {
        let (instance_type, zone) = ("m7g.large".to_owned(), "eu-central-1a".to_owned());
        Offer { instance_type, zone, capacity: Capacity::Spot, price: Money(30_000) }
    }

    #[tokio::test]
    async fn a_node_is_ready_without_the_taints_that_it_starts_with() {
        let mut memory = Memory::default();
        memory.objects.put(node("burst-1", &json!({})));
        let starting = json!([{"key": "node.cilium.io/agent-not-ready", "effect": "NoSchedule"}]);
        memory.objects.put(node("burst-2", &json!({"spec": {"taints": starting, "unschedulable": true}})));
        memory.objects.put(node("burst-3", &json!({"metadata": {"annotations": {NOTICE: "now"}}})));
        memory.objects.put(node("cp1", &json!({"metadata": {"labels": {}}})));
        memory.objects.put(pod("a", "burst-1"));
        let (workers, _) = workers(memory).await;
        let found = workers.nodes(&[]).await.unwrap();
        let names: Vec<&str> = found.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["burst-1", "burst-2", "burst-3"]);
        assert!(found[0].ready && !found[0].cordoned && !found[0].notice);
        assert_eq!(
            (found[0].pods.as_slice(), found[0].provider_id.as_str()),
            (&["web/a".to_owned()][..], "aws:///eu-central-1a/i-1")
        );
        assert!(!found[1].ready && found[1].cordoned);
        assert!(found[2].notice);
    }

    #[tokio::test]
    async fn a_token_is_made_anew_for_each_attempt_and_dropped() {
        let (workers, memory) = workers(Memory::default()).await;
        let claim = Claim::new("burst-1".into(), vec![], vec![], Time(0));
        let first = workers.prepare(&claim, 1, &offer()).await.unwrap();
        let second = workers.prepare(&claim, 2, &offer()).await.unwrap();
        assert_ne!(first, second);
        let token = std::str::from_utf8(second.expose()).unwrap().strip_prefix("burst-1 ").unwrap();
        let (id, secret) = token.split_once('.').unwrap();
        assert_eq!((id, secret.len()), (token_id("burst-1").as_str(), 16));
        assert!(secret.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit()), "{secret}");
        let secrets = || memory.lock().unwrap().objects.of("Secret").len();
        assert_eq!(secrets(), 1);
        let kept = memory.lock().unwrap().objects.of("Secret")[0].clone();
        assert_eq!(
            (&kept["stringData"]["token-secret"], &kept["type"]),
            (&json!(secret), &json!("bootstrap.kubernetes.io/token"))
        );
        workers.work("burst-1", &Work::DropToken).await.unwrap();
        workers.work("burst-1", &Work::DropToken).await.unwrap();
        assert_eq!(secrets(), 0);
    }

    #[tokio::test]
    async fn its_own_node_is_cordoned_drained_and_deleted_and_no_other() {
        let mut memory = Memory::default();
        memory.objects.put(node("burst-1", &json!({})));
        memory.objects.put(node("cp1", &json!({"metadata": {"labels": {}}})));
        memory.objects.put(pod("a", "burst-1"));
        let (workers, memory) = workers(memory).await;
        let count = |kind: &str| memory.lock().unwrap().objects.of(kind).len();
        workers.work("burst-1", &Work::Cordon).await.unwrap();
        assert!(workers.nodes(&[]).await.unwrap()[0].cordoned);
        workers.work("burst-1", &Work::Uncordon).await.unwrap();
        assert!(!workers.nodes(&[]).await.unwrap()[0].cordoned);
        let evict = Work::Evict { grace: Some(Duration::from_secs(90)), respect_budgets: true };
        workers.work("burst-1", &evict).await.unwrap();
        assert_eq!(count("Pod"), 0);
        workers.work("cp1", &Work::DropNode(vec![])).await.unwrap();
        assert_eq!(count("Node"), 2, "nobody claims it");
        for _ in 0..2 {
            workers.work("burst-1", &Work::DropNode(vec![])).await.unwrap();
            workers.work("burst-1", &Work::Cordon).await.unwrap();
        }
        assert_eq!(count("Node"), 1);
    }

    #[tokio::test]
    async fn a_node_without_its_label_is_known_by_its_instance_and_somebody_elses_of_that_name_is_not() {
        let bare = |name: &str, provider_id: Value| {
            node(name, &json!({"metadata": {"labels": {}}, "spec": {"providerID": provider_id}}))
        };
        let mut memory = Memory::default();
        memory.objects.put(bare("burst-1", json!("aws:///eu-central-1a/i-1")));
        memory.objects.put(bare("burst-2", json!("aws:///eu-central-1a/i-9")));
        memory.objects.put(bare("burst-3", json!("")));
        memory.objects.put(bare("cp1", json!("aws:///eu-central-1a/i-1")));
        let (workers, memory) = workers(memory).await;
        let claims = ["burst-1", "burst-2", "burst-3"].map(|name| {
            let mut claim = Claim::new(name.into(), vec![], vec![], Time(0));
            claim.former.extend(["i-1".to_owned(), String::new()]);
            claim
        });
        let own: Vec<&Claim> = claims.iter().collect();
        let found = workers.nodes(&own).await.unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].name.as_str(), found[0].labelled), ("burst-1", false));
        workers.work("burst-1", &Work::Label).await.unwrap();
        assert!(workers.nodes(&own).await.unwrap()[0].labelled);
        memory.lock().unwrap().objects.put(bare("burst-1", json!("aws:///eu-central-1a/i-1")));
        for claim in ["burst-1", "burst-2", "burst-3"] {
            workers.work(claim, &Work::DropNode(vec!["i-1".to_owned()])).await.unwrap();
        }
        let left: Vec<Value> = memory
            .lock()
            .unwrap()
            .objects
            .of("Node")
            .iter()
            .map(|it| it["metadata"]["name"].clone())
            .collect();
        assert_eq!(left, ["burst-2", "burst-3", "cp1"]);
    }
}
