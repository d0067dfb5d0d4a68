//! What the controller may do in Kubernetes: the least that works.
//!
//! What it could do with more is what an attacker could who takes it over. It reads Secrets in its own namespace alone. In
//! `kube-system` it makes, changes and deletes them, for that is where tokens to join with are, and Kubernetes knows no
//! rights on names that are not known before.

use serde::Serialize;

use crate::burst::{
    demand,
    kubernetes::{JOIN_READS, NAMESPACE, SPENT},
};

/// A rule of a Role, or of a ClusterRole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Right {
    /// None: in all of the cluster.
    pub namespace: Option<&'static str>,
    pub group: &'static str,
    pub resource: &'static str,
    /// Only these; all when empty.
    pub names: &'static [&'static str],
    pub verbs: Vec<&'static str>,
}

const CSR: &str = "certificates.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

/// All of them.
pub fn rights() -> Vec<Right> {
    let right = |namespace, group, resource, names, verbs: &[&'static str]| Right {
        namespace,
        group,
        resource,
        names,
        verbs: verbs.to_vec(),
    };
    let own = Some(NAMESPACE);
    let mut all: Vec<Right> =
        demand::KINDS.into_iter().map(|(group, kind)| right(None, group, kind, &[], &["list"])).collect();
    all.extend([
        // Rented nodes: cordoned, deleted, and what runs on them moved away.
        right(None, "", "nodes", &[], &["get", "patch", "delete"]),
        right(None, "", "pods", &[], &["delete"]),
        right(None, "", "pods/eviction", &[], &["create"]),
        // Whom the cluster is, and where claims are; made again when somebody deletes it.
        right(None, "", "namespaces", &["kube-system", NAMESPACE], &["get"]),
        right(None, "", "namespaces", &[], &["create"]),
        // What new nodes know the cluster by.
        right(Some("kube-public"), "", "configmaps", &["cluster-info"], &["get"]),
        // What lets new nodes ask for certificates and join. Kubernetes refuses roles and bindings that give more than this.
        right(None, RBAC, "clusterrolebindings", &[], &["create"]),
        right(None, RBAC, "clusterroles", &[], &["create"]),
        right(Some("kube-system"), RBAC, "roles", &[], &["create"]),
        right(Some("kube-system"), RBAC, "rolebindings", &[], &["create"]),
        right(Some("kube-system"), "", "configmaps", JOIN_READS, &["get"]),
        // What lets machines find the gateway.
        right(own, RBAC, "roles", &[], &["create"]),
        right(own, RBAC, "rolebindings", &[], &["create"]),
        right(None, RBAC, "clusterroles", &["system:node-bootstrapper"], &["bind"]),
        // Certificates of rented nodes.
        right(None, CSR, "certificatesigningrequests", &[], &["get", "list", "delete"]),
        right(None, CSR, "certificatesigningrequests/approval", &[], &["patch"]),
        right(
            None,
            CSR,
            "signers",
            &["kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"],
            &["approve"],
        ),
        // Tokens to join with.
        right(Some("kube-system"), "", "secrets", &[], &["create", "patch", "delete"]),
        // What the month has cost, and in which region and stack workers are, where it outlives the namespace of the claims. Kubernetes knows no names when something is made.
        right(Some("kube-system"), "", "configmaps", &[SPENT], &["get", "patch"]),
        right(Some("kube-system"), "", "configmaps", &[], &["create"]),
        // Claims, the book, consoles; the lease; what persons want, and the status.
        right(own, "", "secrets", &[], &["get", "list", "create", "update", "delete"]),
        right(own, "coordination.k8s.io", "leases", &[], &["get", "create", "update"]),
        right(own, "", "configmaps", &[], &["get", "create", "patch", "delete"]),
    ]);
    all
}
