//! What the controller keeps in the cluster: claims, the book beside them, and the lease of whoever leads; and the rented
//! nodes there.
//!
//! Claims are Secrets, because the request in them holds a token to join with; every cluster has Secrets, and they can be
//! encrypted at rest. No CustomResourceDefinition has to be there before the first claim. Each write names the
//! `resourceVersion` that it changes. One whose answer is lost is sent again, and then refused as a conflict with itself:
//! the turn ends, and the next one reads what was written.

mod board;
mod gateway;
mod joining;
mod lease;
mod ledger;
mod machines;
mod nodes;
mod place;

use gateway::GATEWAY;
use serde_json::{Value, json};

pub use board::Boards;
pub use joining::{Joining, Unwritten, Writer};
pub use ledger::SPENT;
pub use machines::{TUNNEL_ANSWERED, TUNNEL_KEY};
pub use nodes::{CLAIM, NOTICE, Workers};

use super::claim::{LedgerError, Version};
use crate::kube::{self, Api};

/// Where everything of burst is, but nodes.
pub const NAMESPACE: &str = "hoist-burst";
const RBAC: &str = "rbac.authorization.k8s.io";
/// Whom a token to join with makes its bearer. Without kubeadm's own groups, whose certificates are approved by themselves.
const GROUP: &str = "system:bootstrappers:hoist-burst";
const SYSTEM: &str = "kube-system";
/// The ConfigMaps that `kubeadm join` reads there; before 1.24 the second has the minor in its name.
pub const JOIN_READS: &[&str] = &[
    "kubeadm-config",
    "kubelet-config",
    "kubelet-config-1.20",
    "kubelet-config-1.21",
    "kubelet-config-1.22",
    "kubelet-config-1.23",
];
/// The label that says what an object of burst is.
const PART: &str = "hoist.dev/burst";

/// The ledger and the lease of a cluster.
pub struct Store {
    api: Api,
    /// What is not there is not made, and is nothing.
    only_reads: bool,
}

impl Store {
    /// For who only reads: what is not there is not made.
    pub fn reader(api: Api) -> Store {
        Store { api, only_reads: true }
    }

    /// Makes the namespace, what lets new nodes ask for certificates, and nodes find the gateway, where they are not.
    ///
    /// # Errors
    /// The API server does not answer, or refuses.
    pub async fn open(api: Api) -> Result<Store, LedgerError> {
        let metadata = json!({"name": NAMESPACE, "labels": {"app.kubernetes.io/managed-by": "hoist"}});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        for object in std::iter::once(namespace).chain(rights()) {
            match api.create(object).await {
                Ok(_) | Err(kube::Error::Refused { status: 409, .. }) => {}
                Err(error) => return Err(unavailable(&error)),
            }
        }
        Ok(Store { api, only_reads: false })
    }
}

/// What others may do. A token's bearer: ask for a certificate, which is signed for open claims alone, and read what
/// `kubeadm join` reads; kubeadm's own roles for that have other names in other versions. Nodes: read where the gateway is.
fn rights() -> Vec<Value> {
    let group = json!({"apiGroup": RBAC, "kind": "Group", "name": GROUP});
    let object = |kind: &str, name: &str, namespace: Option<&str>, more: Value| {
        let labels = json!({"app.kubernetes.io/managed-by": "hoist"});
        let mut metadata = json!({"name": format!("hoist-burst:{name}"), "labels": labels});
        if let Some(namespace) = namespace {
            metadata["namespace"] = namespace.into();
        }
        let mut object = json!({"apiVersion": format!("{RBAC}/v1"), "kind": kind, "metadata": metadata});
        if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
            object.extend(more);
        }
        object
    };
    let bound = |kind: &str, role: &str, group: &Value| json!({"roleRef": {"apiGroup": RBAC, "kind": kind, "name": role}, "subjects": [group]});
    let to = |kind: &str, role: &str| bound(kind, role, &group);
    let machines = json!({"apiGroup": RBAC, "kind": "Group", "name": "system:nodes"});
    let gateway =
        json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [GATEWAY], "verbs": ["get"]});
    let maps = json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": JOIN_READS, "verbs": ["get"]});
    let nodes = json!({"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]});
    vec![
        object(
            "ClusterRoleBinding",
            "node-bootstrapper",
            None,
            to("ClusterRole", "system:node-bootstrapper"),
        ),
        object("ClusterRole", "join", None, json!({"rules": [nodes]})),
        object("ClusterRoleBinding", "join", None, to("ClusterRole", "hoist-burst:join")),
        object("Role", "join", Some(SYSTEM), json!({"rules": [maps]})),
        object("RoleBinding", "join", Some(SYSTEM), to("Role", "hoist-burst:join")),
        object("Role", "gateway", Some(NAMESPACE), json!({"rules": [gateway]})),
        object("RoleBinding", "gateway", Some(NAMESPACE), bound("Role", "hoist-burst:gateway", &machines)),
    ]
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
