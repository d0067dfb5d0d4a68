//! All add-ons made as they shall be, each through a control plane that answers.

use std::{sync::Arc, time::Instant};

use super::{Desired, install::Install, stop::Stop, turns};
use crate::{
    artifact::File,
    cluster::{Session, ways},
    engine::{Event, Events, Failure, Journal, Outcome},
    inventory::Inventory,
};

/// Who installs add-ons, and with what.
pub struct Crew<'a> {
    pub inventory: &'a Inventory,
    pub session: &'a Session,
    /// All add-ons that are wanted, not only those that are made now.
    pub wanted: &'a [Desired],
    /// Helm's program among the artifacts.
    pub helm: Option<File>,
    pub journal: Arc<Journal>,
    pub events: Events,
    /// How many are installed at the same time.
    pub forks: usize,
}

/// How each add-on ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    pub outcomes: Vec<(String, Outcome)>,
}

impl Ended {
    /// The add-ons that did not get to their end.
    pub fn unfinished(&self) -> Vec<String> {
        let others =
            self.outcomes.iter().filter(|(_, outcome)| !matches!(outcome, Outcome::Converged { .. }));
        others.map(|(name, _)| name.clone()).collect()
    }

    /// How much was changed of those that did.
    pub fn changes(&self) -> usize {
        let changes = |(_, outcome): &(String, Outcome)| match outcome {
            Outcome::Converged { changes } => *changes,
            _ => 0,
        };
        self.outcomes.iter().map(changes).sum()
    }
}

impl Crew<'_> {
    /// Makes each of these as it shall be. One that fails stops only those that need it; `ended` has those that went
    /// before, and gets these.
    pub async fn carry_out(&self, addons: &[&Desired], ended: &mut Ended) {
        turns::take(addons, self.forks, &self.events, ended, |addon| self.one(addon)).await;
        if ended.unfinished().is_empty() && ended.changes() > 0 {
            self.tidy().await;
        }
    }

    async fn one(&self, desired: &Desired) -> Outcome {
        let begun = Instant::now();
        let mut last = String::from("no control plane lives");
        let mut through = String::from("the cluster");
        let mut lost = Vec::new();
        for way in ways(self.inventory, self.session) {
            through = way.host.name().to_owned();
            let install = Install { crew: self, desired, way, lost: &lost };
            match install.carry_out().await {
                Ok(changes) => {
                    let (addon, seconds) = (desired.name.clone(), begun.elapsed().as_secs_f64());
                    if changes > 0 {
                        self.events.send(Event::AddonDone { addon, changes, seconds });
                    }
                    return Outcome::Converged { changes };
                }
                Err(Stop::Failed(failure)) => return self.failed(desired, *failure),
                Err(Stop::Away(reason)) => {
                    let addon = desired.name.clone();
                    self.events.send(Event::AddonWaits {
                        addon,
                        reason: format!("for another control plane: {reason}"),
                    });
                    last = reason;
                    lost.push(through.clone());
                }
            }
        }
        let failure = Failure {
            host: through,
            role: format!("addon {}", desired.name),
            step: String::from("install it"),
            what: last,
            output: Vec::new(),
            cause: Some(String::from("no control plane has an API server that answers")),
            next: String::from("bring one back, then run the same again: it goes on from there"),
        };
        self.failed(desired, failure)
    }

    fn failed(&self, desired: &Desired, failure: Failure) -> Outcome {
        self.events.send(Event::AddonFailed { addon: desired.name.clone(), failure: failure.clone() });
        Outcome::Failed(failure)
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
pub(super) mod tests;
