//! Gates: proofs by use. An add-on whose pods are ready may still do nothing; a gate makes it do what it is for.

use std::sync::Arc;

use async_trait::async_trait;
use indexmap::IndexMap;
use miette::Diagnostic;
use serde_json::{Map, Value};

use crate::{
    inventory::Inventory,
    kube::{self, Api},
    transport::{self, Host},
};

/// What a gate works with. What it makes in the cluster carries the label `hoist.dev/gate` and is gone when it ends,
/// however it ends.
pub struct Bench<'a> {
    pub inventory: &'a Inventory,
    pub api: &'a Api,
    /// The hosts that answer, by name, each with a root shell.
    pub hosts: &'a IndexMap<String, Arc<dyn Host>>,
    /// The add-on's namespace.
    pub namespace: &'a str,
    /// What the inventory says of the add-on, with defaults.
    pub settings: &'a Map<String, Value>,
    /// Told what is waited for and why something is tried again.
    pub say: &'a (dyn Fn(&str) + Send + Sync),
}

/// A proof by use.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Its name in `addon.yaml`.
    fn name(&self) -> &'static str;

    /// What it proves, in one line.
    fn proves(&self) -> &'static str;

    /// Uses the add-on, and says what was seen.
    ///
    /// # Errors
    /// [`Closed`] when it does not do what it is for.
    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed>;
}

/// What was seen of an add-on at work: sentences with figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    pub seen: Vec<String>,
}

/// Why a gate stays closed.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Closed {
    /// The add-on was used, and did something else.
    #[error("{observed}; expected: {expected}")]
    #[diagnostic(help("{help}"))]
    Observed { observed: String, expected: String, help: String },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Api(#[from] kube::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Host(#[from] transport::Error),
}

/// All gates, each with a name of its own.
pub static GATES: &[&dyn Gate] = &[];

/// The gate of this name.
pub fn gate(name: &str) -> Option<&'static dyn Gate> {
    GATES.iter().copied().find(|gate| gate.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gate_has_a_name_of_its_own() {
        for (index, one) in GATES.iter().enumerate() {
            assert!(GATES[index + 1..].iter().all(|other| other.name() != one.name()), "{}", one.name());
        }
    }
}
