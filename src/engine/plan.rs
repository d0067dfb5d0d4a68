//! What would change: steps and observations in, differences out.

use serde::{Deserialize, Serialize};

use super::compile::{RoleSteps, Step};
use crate::task::{Change, Observations};

/// Everything that would change, host by host in the order of the inventory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub hosts: Vec<HostPlan>,
    /// Hosts about which nothing can be said.
    #[serde(default)]
    pub unread: Vec<Unread>,
    /// The nodes whose labels or taints differ in the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodePlan>,
    /// The add-ons with changes, in the order in which they are installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addons: Vec<AddonPlan>,
    /// The add-ons that hoist installed and that nobody wants any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unwanted: Vec<String>,
}

/// What would change of a node, which is an object in the cluster and not on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodePlan {
    pub node: String,
    pub change: Change,
}

/// Everything that would change of an add-on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddonPlan {
    pub addon: String,
    pub changes: Vec<Change>,
}

/// A host that could not be reached or used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    pub host: String,
    pub reason: String,
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
    /// How many statements about hosts do not hold.
    pub fn changes(&self) -> usize {
        self.hosts.iter().map(|host| host.changes.len()).sum()
    }

    /// Whether nothing would change, neither on hosts nor of nodes and add-ons.
    pub fn is_empty(&self) -> bool {
        self.changes() == 0 && self.nodes.is_empty() && self.addons.is_empty()
    }
}

impl HostPlan {
    /// Compares all statements about a host with what was observed of it.
    pub fn new(host: &str, roles: &[RoleSteps], seen: &Observations) -> HostPlan {
        let steps = || roles.iter().flat_map(|role| role.steps.iter().map(move |step| (role, step)));
        let mut seen = seen.clone();
        let mut changes = Vec::new();
        for (role, step) in steps() {
            if let Some(change) = step.task.diff(&seen) {
                changes.push(PlannedChange { role: role.role.clone(), step: step.name.clone(), change });
                // A file that will be written makes its units restart: a plan that is silent about it lies.
                step.task.foresee(&mut seen);
            }
        }
        HostPlan { host: host.to_string(), statements: steps().count(), changes }
    }

    /// Whether a statement is to be made true.
    pub(super) fn changes(&self, role: &RoleSteps, step: &Step) -> bool {
        let mut changes = self.changes.iter();
        changes.any(|change| (&change.role, &change.step) == (&role.role, &step.name))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        engine::Context,
        task::{Absent, Service, Task, UnitState},
    };

    fn step(name: &str, task: Task) -> Step {
        Step { name: name.to_string(), task, late: BTreeSet::new(), item: None }
    }

    #[test]
    fn a_plan_names_the_restart_that_its_own_change_will_cause() {
        let file = r#"{"path": "/etc/app.conf", "content": "new"}"#;
        let service = r#"{"unit": "app.service", "restart_after": ["/etc/app.conf"]}"#;
        let service: Service = serde_json::from_str(service).unwrap();
        let steps = vec![
            step("the file", Task::File(serde_json::from_str(file).unwrap())),
            step("the unit", Task::Service(service)),
            step("nothing", Task::Absent(Absent { path: "/none".to_string() })),
        ];
        let roles = [RoleSteps { role: "app".to_string(), steps, context: Context::default() }];
        let mut seen = Observations::default();
        let running = UnitState {
            load: "loaded".to_string(),
            active: "active".to_string(),
            file: "enabled".to_string(),
            stale: false,
            started: Some("100.5".to_string()),
        };
        seen.units.insert("app.service".to_string(), running);
        let plan = HostPlan::new("w1", &roles, &seen);
        let summaries: Vec<&str> =
            plan.changes.iter().map(|planned| planned.change.summary.as_str()).collect();
        assert_eq!(summaries, ["create /etc/app.conf (0644)", "restart app.service"]);
        assert_eq!(plan.changes[1].change.disrupts.as_deref(), Some("app.service"));
    }
}
