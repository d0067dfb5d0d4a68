//! Rented nodes as Kubernetes shows them, and what is done about them.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::joining::{Joining, Writer, drop_token, make_token};
pub use crate::burst::rented::CLAIM;
use crate::{
    burst::{
        claim::{Claim, NodeSeen},
        cloud::UserData,
        controller::{CertificateRequest, NodeError, Nodes, Work},
        offer::Offer,
    },
    kube::{self, Api, Evicted, Kind},
};

/// On a rented node that was told by EC2 that it is taken back: when.
pub const NOTICE: &str = "hoist.dev/notice";

const NODE: Kind = Kind::new("v1", "Node");
/// A node with one of these is not ready for pods, whatever its kubelet says.
const STARTING: [&str; 3] = [
    "node.cilium.io/agent-not-ready",
    "node.kubernetes.io/network-unavailable",
    "node.kubernetes.io/not-ready",
];

/// The nodes of claims.
pub struct Workers {
    api: Api,
    writer: Writer,
}

impl Workers {
    pub fn new(api: Api, writer: Writer) -> Workers {
        Workers { api, writer }
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
        drop_token(&self.api, claim).await?;
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
        let token = make_token(&self.api, &claim.name).await?;
        let joining = Joining { claim, number, offer, token: &token };
        match (self.writer)(&joining) {
            Ok(user_data) => Ok(user_data),
            Err(error) => {
                // Nobody joins with it. Should this fail, it ends by itself.
                let _ = drop_token(&self.api, &claim.name).await;
                Err(NodeError { lasts: true, ..failed("write the user data", &error) })
            }
        }
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
            Work::DropToken => ("delete its token", drop_token(&self.api, claim).await),
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

pub(super) fn failed(action: &str, reason: &dyn std::fmt::Display) -> NodeError {
    NodeError { action: action.to_owned(), reason: reason.to_string(), lasts: false }
}

#[cfg(test)]
#[path = "nodes_tests.rs"]
mod tests;
