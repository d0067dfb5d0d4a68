//! Where claims are written down, and what is written beside them.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Claim, InVain, Market};
use crate::burst::{offer::Money, time::Time};

/// The ledger's own mark of what it holds, which a change has to name. Kubernetes calls it resourceVersion.
pub type Version = String;

/// Why something was not written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LedgerError {
    #[error("somebody else has changed {what} since it was read")]
    #[diagnostic(help("another controller leads now: nothing to do"))]
    Conflict { what: String },
    #[error("the ledger of claims cannot be read or written: {reason}")]
    #[diagnostic(help("without it nothing is launched; it is tried again"))]
    Unavailable { reason: String },
    #[error("{what} in the ledger of claims cannot be understood: {reason}")]
    #[diagnostic(help(
        "it was changed by hand or written by a newer hoist. Launches and collection pause, because it may stand for an instance: mend it, or delete it and let collection end its instance"
    ))]
    Unreadable { what: String, reason: String },
}

/// Keeps claims. A write that returns is durable; one that fails may have happened.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// All claims.
    ///
    /// # Errors
    /// One claim that cannot be understood fails all: a claim that is overlooked is an instance that is collected.
    async fn claims(&self) -> Result<Vec<(Claim, Version)>, LedgerError>;

    /// # Errors
    /// [`LedgerError::Conflict`] if there is one of this name.
    async fn create(&self, claim: &Claim) -> Result<Version, LedgerError>;

    /// Writes a claim in place of that `version`.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] if the ledger has another version, or none.
    async fn update(&self, claim: &Claim, version: &Version) -> Result<Version, LedgerError>;

    /// # Errors
    /// [`LedgerError::Conflict`] if the ledger has another version. None is no error.
    async fn delete(&self, claim: &str, version: &Version) -> Result<(), LedgerError>;

    /// What is kept beside the claims; the default at first.
    ///
    /// # Errors
    /// As for claims.
    async fn book(&self) -> Result<(Book, Option<Version>), LedgerError>;

    /// # Errors
    /// [`LedgerError::Conflict`] if the ledger has another version.
    async fn save(&self, book: &Book, version: Option<&Version>) -> Result<Version, LedgerError>;

    /// This month's sum as it was kept last, with the month: outside of what holds the rest, which somebody may delete.
    ///
    /// # Errors
    /// As for claims.
    async fn kept_sum(&self) -> Result<Option<(String, Money)>, LedgerError>;

    /// Keeps it there.
    ///
    /// # Errors
    /// As for claims.
    async fn keep_sum(&self, month: &str, sum: Money) -> Result<(), LedgerError>;

    /// Keeps what a node that did not join wrote on its console.
    ///
    /// # Errors
    /// As for claims; losing it does no harm.
    async fn keep_console(&self, claim: &str, output: &str) -> Result<(), LedgerError>;
}

/// What outlives claims.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    pub market: Market,
    pub spent: Spent,
    /// When EC2 last gave an instance for a claim.
    pub added: Option<Time>,
    #[serde(default, skip_serializing_if = "InVain::is_empty")]
    pub in_vain: InVain,
}

/// What claims that are gone have cost, by month.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// The last two months.
    months: BTreeMap<String, Money>,
    /// Claims that are counted here and still in the ledger, so that a restart in between counts none twice.
    closed: BTreeSet<String>,
}

impl Spent {
    /// So much, in this month.
    pub fn of(month: String, sum: Money) -> Spent {
        Spent { months: [(month, sum)].into(), closed: BTreeSet::new() }
    }

    /// Counts a claim that is gone. Repeating it changes nothing.
    pub fn close(&mut self, claim: &Claim, now: Time) {
        if self.closed.insert(claim.name.clone()) {
            let sum = self.months.entry(now.month()).or_default();
            sum.0 = sum.0.saturating_add(cost(claim, now).0);
            while self.months.len() > 2 {
                self.months.pop_first();
            }
        }
    }

    /// Forgets the names of claims that the ledger does not have any more.
    pub fn prune(&mut self, open: &BTreeSet<String>) {
        self.closed.retain(|name| open.contains(name));
    }

    /// This month's sum, with what open claims have cost until now.
    pub fn total(&self, open: &[&Claim], now: Time) -> Money {
        let closed = self.months.get(&now.month()).copied().unwrap_or_default();
        let open = open.iter().filter(|claim| !self.closed.contains(&claim.name));
        Money(open.fold(closed.0, |sum, claim| sum.saturating_add(cost(claim, now).0)))
    }
}

/// What a claim has cost by the prices of its offers: by the second and at least a minute, as EC2 bills. A claim that
/// lives across the end of a month counts in the second, so that a cap errs on the cheap side.
fn cost(claim: &Claim, now: Time) -> Money {
    let (Some(launched), Some(launch)) = (claim.launched, &claim.launch) else { return Money(0) };
    let seconds = now.since(launched).as_secs().max(60);
    Money(launch.offer.price.0.saturating_mul(seconds).div_ceil(3600))
}
