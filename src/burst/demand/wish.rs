//! Workers that a person wants, whether pods wait or not, and nodes that a person does not want any more.
//!
//! A wanted worker has a name. It is in the list of pods of the claim that stands for it, like a pod that always needs a
//! node of its own: so it is served once, by whichever controller, and again when its node is lost.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::burst::claim::Claim;

/// What persons want, as it is kept in the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    pub workers: Vec<Worker>,
    /// Claims that shall end, by name.
    pub removed: BTreeSet<String>,
}

/// A worker that stays until a person removes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Without a slash, which every pod's full name has.
    pub name: String,
    /// None: the cheapest there is.
    pub instance_type: Option<String>,
}

impl Wish {
    /// So many workers more.
    pub fn add(&mut self, number: usize, instance_type: Option<&str>) {
        let taken: BTreeSet<String> = self.workers.iter().map(|worker| worker.name.clone()).collect();
        let free = (1..).map(|number| format!("worker-{number}")).filter(|name| !taken.contains(name));
        let instance_type = instance_type.map(str::to_owned);
        let new = free.take(number).map(|name| Worker { name, instance_type: instance_type.clone() });
        self.workers.extend(new.collect::<Vec<_>>());
    }

    /// Gives one back: a worker by its name or by that of the node which stands for it, or any other rented node. Whether
    /// there is any such.
    pub fn remove(&mut self, name: &str, claims: &[Claim]) -> bool {
        let claim = claims.iter().find(|claim| claim.name == name);
        let named = |worker: &Worker| {
            worker.name == name || claim.is_some_and(|claim| claim.workers().any(|it| *it == worker.name))
        };
        let before = self.workers.len();
        self.workers.retain(|worker| !named(worker));
        if let Some(claim) = claim {
            self.removed.insert(claim.name.clone());
        }
        claim.is_some() || self.workers.len() < before
    }
}
