//! What is wanted: what the API server shows, turned into the packer's question, and its answer into a decision.
//!
//! `look` reads; everything behind it is pure. [`decide`] is asked in every turn, on what was seen in that turn: nothing
//! is remembered here but since when a pod has waited.

mod budgets;
mod decide;
mod idle;
mod look;
mod rows;
mod volumes;
mod waits;
mod wish;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod},
    policy::v1::PodDisruptionBudget,
    storage::v1::StorageClass,
};

pub use decide::{Explanation, Rules, Situation, Unneeded, Waiting, decide};
pub use look::{Cluster, KINDS};
pub use waits::Waits;
pub use wish::{Wish, Worker};

use crate::kube;

/// What the API server shows, all of it in one turn.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub pods: Vec<Pod>,
    pub nodes: Vec<Node>,
    pub daemons: Vec<DaemonSet>,
    pub claims: Vec<PersistentVolumeClaim>,
    pub volumes: Vec<PersistentVolume>,
    pub classes: Vec<StorageClass>,
    pub budgets: Vec<PodDisruptionBudget>,
}

/// Who shows it.
#[async_trait]
pub trait Look: Send + Sync {
    /// # Errors
    /// The API server did not answer. What was seen is whole or an error.
    async fn look(&self) -> Result<Seen, kube::Error>;
}
