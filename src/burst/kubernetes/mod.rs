//! What the controller keeps in the cluster: claims, the book beside them, and the lease of whoever leads; and the rented
//! nodes there.
//!
//! Claims are Secrets, because the request in them holds a token to join with; every cluster has Secrets, and they can be
//! encrypted at rest. No CustomResourceDefinition has to be there before the first claim. Each write names the
//! `resourceVersion` that it changes. One whose answer is lost is sent again, and then refused as a conflict with itself:
//! the turn ends, and the next one reads what was written.

mod lease;
mod ledger;
mod nodes;

use serde_json::Value;

pub use nodes::{CLAIM, Joining, NOTICE, Workers, Writer};

use super::claim::{LedgerError, Version};
use crate::kube::{self, Api};

/// Where everything of burst is, but nodes.
pub const NAMESPACE: &str = "hoist-burst";
const RBAC: &str = "rbac.authorization.k8s.io";
/// Whom a token to join with makes its bearer. Without kubeadm's own groups, whose certificates are approved by themselves.
const GROUP: &str = "system:bootstrappers:hoist-burst";
/// The label that says what an object of burst is.
const PART: &str = "hoist.dev/burst";

/// The ledger and the lease of a cluster.
pub struct Store {
    api: Api,
}

impl Store {
    /// Makes the namespace, and what lets new nodes ask for certificates, where they are not.
    ///
    /// # Errors
    /// The API server does not answer, or refuses.
    pub async fn open(api: Api) -> Result<Store, LedgerError> {
        let metadata =
            serde_json::json!({"name": NAMESPACE, "labels": {"app.kubernetes.io/managed-by": "hoist"}});
        let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        // What a token's bearer may do: ask for a certificate, which is signed for open claims alone.
        let group = serde_json::json!({"apiGroup": RBAC, "kind": "Group", "name": GROUP});
        let role =
            serde_json::json!({"apiGroup": RBAC, "kind": "ClusterRole", "name": "system:node-bootstrapper"});
        let binding = serde_json::json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": "hoist-burst:node-bootstrapper", "labels": {"app.kubernetes.io/managed-by": "hoist"}},
            "roleRef": role, "subjects": [group],
        });
        for object in [namespace, binding] {
            match api.create(object).await {
                Ok(_) | Err(kube::Error::Refused { status: 409, .. }) => {}
                Err(error) => return Err(unavailable(&error)),
            }
        }
        Ok(Store { api })
    }
}

fn unavailable(error: &kube::Error) -> LedgerError {
    LedgerError::Unavailable { reason: error.to_string() }
}

/// What came of a write of `what`.
fn written(what: &str, done: Result<Value, kube::Error>) -> Result<Version, LedgerError> {
    match done {
        Ok(object) => version(&object),
        Err(error) => Err(refused(what, &error)),
    }
}

/// Of another version, or there already, or not there any more.
fn refused(what: &str, error: &kube::Error) -> LedgerError {
    match error {
        kube::Error::Refused { status: 404 | 409, .. } => LedgerError::Conflict { what: what.to_owned() },
        error => unavailable(error),
    }
}

fn version(object: &Value) -> Result<Version, LedgerError> {
    let version = object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
    version
        .ok_or_else(|| LedgerError::Unavailable { reason: "an object came without its version".to_owned() })
}
