//! Reads what a decision needs.

use async_trait::async_trait;

use super::{Look, Seen};
use crate::kube::{Api, Error};

/// What is read, as permissions name it: group and plural.
pub const KINDS: [(&str, &str); 7] = [
    ("", "pods"),
    ("", "nodes"),
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumes"),
    ("apps", "daemonsets"),
    ("policy", "poddisruptionbudgets"),
    ("storage.k8s.io", "storageclasses"),
];

/// A cluster, by its API server.
pub struct Cluster {
    api: Api,
}

impl Cluster {
    pub fn new(api: Api) -> Cluster {
        Cluster { api }
    }
}

#[async_trait]
impl Look for Cluster {
    async fn look(&self) -> Result<Seen, Error> {
        let api = &self.api;
        // Nodes after pods: a pod on a node that is not known yet would count nowhere.
        let (pods, daemons, claims, volumes, classes, budgets) = tokio::try_join!(
            api.everything(),
            api.everything(),
            api.everything(),
            api.everything(),
            api.everything(),
            api.everything(),
        )?;
        let nodes = api.everything().await?;
        Ok(Seen { pods, nodes, daemons, claims, volumes, classes, budgets })
    }
}
