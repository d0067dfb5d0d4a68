//! The virtual address of the API server: whether the control planes can have it, who has it, and whether they would hear
//! from one another.
//!
//! Two clusters in one network with the same virtual router ID do each other no harm: adverts go to the control planes
//! alone, others' are not listened to, and no virtual MAC address is made of the ID. So that is not looked for.

mod ask;
mod network;
mod owner;
#[cfg(test)]
mod tests;
mod vrrp;

use std::collections::BTreeMap;

pub use ask::{Answer, ask, ask_quickly};
pub use network::{moved, network};
pub use owner::held_by_others;
pub use vrrp::is_deaf;

use super::finding::Finding;
use crate::{
    facts::Facts,
    inventory::{Host, Inventory, Role},
};

/// Whether a host can have the virtual address.
pub fn can_hold(host: &Host) -> bool {
    host.has(Role::ControlPlane)
}

/// Judges all answers together, with the facts of all hosts that were asked anything.
pub fn judge(inventory: &Inventory, facts: &BTreeMap<&str, &Facts>, answers: &[Answer]) -> Vec<Finding> {
    let mut findings = owner::judge(inventory, facts, answers);
    findings.extend(vrrp::judge(answers));
    findings
}
