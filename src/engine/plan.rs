//! What would change: steps and observations in, differences out.

use serde::{Deserialize, Serialize};

use super::compile::RoleSteps;
use crate::task::{Change, Observations};

/// Everything that would change, host by host in the order of the inventory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub hosts: Vec<HostPlan>,
}

/// Everything that would change on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPlan {
    pub host: String,
    /// How many statements were compared.
    pub statements: usize,
    pub changes: Vec<PlannedChange>,
}

/// One statement that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChange {
    pub role: String,
    pub step: String,
    pub change: Change,
}

impl Plan {
    /// How many statements do not hold.
    pub fn changes(&self) -> usize {
        self.hosts.iter().map(|host| host.changes.len()).sum()
    }
}

impl HostPlan {
    /// Compares all statements about a host with what was observed of it.
    pub fn new(host: &str, roles: &[RoleSteps], seen: &Observations) -> HostPlan {
        let steps = || roles.iter().flat_map(|role| role.steps.iter().map(move |step| (role, step)));
        let changes = steps()
            .filter_map(|(role, step)| {
                let change = step.task.diff(seen)?;
                Some(PlannedChange { role: role.role.clone(), step: step.name.clone(), change })
            })
            .collect();
        HostPlan { host: host.to_string(), statements: steps().count(), changes }
    }
}
