//! Gates: proofs by use. An add-on whose pods are ready may still do nothing; a gate makes it do what it is for.
//!
//! A gate works with a namespace of its own ([`ground`]) and with pods of the image that every node has, because its
//! sandboxes run it ([`pods`]). That image does nothing; what asks and what answers is the host's own shell, which goes
//! into the pod's network ([`inside`]). So a gate needs no image, and nothing of it is left in the cluster or on a host.

mod backup;
mod certificate;
mod cilium;
mod dns;
mod from_node;
mod gateway;
mod ground;
mod http;
mod ingress;
mod inside;
mod login;
mod metallb;
mod metrics;
mod monitoring;
mod outside;
mod pods;
mod policy;
mod prometheus;
mod reach;
mod registry;
mod retry;
mod scaled;
mod secrets;
#[cfg(test)]
pub(super) mod testing;
mod volume;
mod ways;

use std::{sync::Arc, time::Duration};

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
    /// How long its chart may take to be ready; what comes after the chart, such as drivers of volumes, may take as long.
    pub timeout: Duration,
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

    /// Whether there is anything to prove with these settings of its add-on.
    fn applies(&self, _settings: &Map<String, Value>) -> bool {
        true
    }

    /// Uses the add-on, and says what was seen.
    ///
    /// # Errors
    /// [`Closed`] when it does not do what it is for.
    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed>;

    /// Whether it proves something of each node, so that a node that joins is a reason to pass it again.
    fn each_node(&self) -> bool {
        false
    }

    /// What [`Gate::disrupt`] breaks, in one line; nothing for a gate that breaks nothing.
    fn disrupts(&self) -> Option<&'static str> {
        None
    }

    /// Breaks something on purpose and measures how long it takes to work again. Never a part of an ordinary apply.
    ///
    /// # Errors
    /// [`Closed`] when it does not work again.
    async fn disrupt(&self, _bench: &Bench<'_>) -> Result<Proof, Closed> {
        Ok(Proof::default())
    }
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

impl Closed {
    fn observed(observed: impl Into<String>, expected: impl Into<String>, help: impl Into<String>) -> Closed {
        Closed::Observed { observed: observed.into(), expected: expected.into(), help: help.into() }
    }
}

/// All gates, each with a name of its own.
pub static GATES: &[&dyn Gate] = &[
    &backup::BackupWritten,
    &certificate::CertificateIssued,
    &cilium::CiliumAgents,
    &gateway::GatewayAnswers,
    &ingress::IngressAnswers,
    &metallb::MetallbAddress,
    &metrics::MetricsAnswered,
    &monitoring::ClientsMeasured,
    &policy::PolicyDrops,
    &prometheus::TargetsScraped,
    &reach::PodsReachEachOther,
    &registry::ImageKept,
    &scaled::ScaledByEvents,
    &secrets::SecretFetched,
    &volume::VolumeMoves,
];

/// The gate of this name.
pub fn gate(name: &str) -> Option<&'static dyn Gate> {
    GATES.iter().copied().find(|gate| gate.name() == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        addon::{Definition, definition},
        engine::Library,
    };

    #[test]
    fn each_gate_has_a_name_of_its_own() {
        for (index, one) in GATES.iter().enumerate() {
            assert!(GATES[index + 1..].iter().all(|other| other.name() != one.name()), "{}", one.name());
        }
    }

    #[test]
    fn each_gate_is_of_some_add_on() {
        let library = Library::default();
        let definitions: Vec<Definition> =
            library.addons().iter().map(|name| definition(&library, name).unwrap()).collect();
        assert!(definitions.len() > 5);
        let named: BTreeSet<&str> =
            definitions.iter().flat_map(|definition| &definition.gates).map(String::as_str).collect();
        let known: BTreeSet<&str> = GATES.iter().map(|gate| gate.name()).collect();
        assert_eq!(named, known);
    }
}
