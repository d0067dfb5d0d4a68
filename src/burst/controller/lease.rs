//! Who leads: the rules of Kubernetes' Lease objects, over any store that compares before it writes.
//!
//! Another's lease is over when it has not changed for its duration *by our own clock*, so that clocks of two machines
//! are never compared. A clock that jumps can still make two lead for a moment; what they do is then decided by the
//! ledger, which takes one writer's change of a claim and refuses the other's.

use std::time::Duration;

use async_trait::async_trait;

use crate::burst::{
    claim::{LedgerError, Version},
    time::Time,
};

/// The lease as it is written (`coordination.k8s.io/v1`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Nobody, after it was given back.
    pub holder: Option<String>,
    pub renewed: Time,
    pub transitions: u32,
}

/// Where the lease is.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// # Errors
    /// It cannot be read.
    async fn read(&self) -> Result<Option<(Record, Version)>, LedgerError>;

    /// # Errors
    /// [`LedgerError::Conflict`] if the store has another version.
    async fn write(&self, record: &Record, version: Option<&Version>) -> Result<(), LedgerError>;
}

/// One who would lead.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Different for each process.
    pub identity: String,
    /// What another holds, and since when we have seen it unchanged.
    observed: Option<(Record, Time)>,
}

impl Candidate {
    /// How long a lease lasts without being renewed.
    pub const DURATION: Duration = Duration::from_secs(15);

    pub fn new(identity: String) -> Self {
        Self { identity, observed: None }
    }

    /// Takes or renews the lease; whether we lead now.
    ///
    /// # Errors
    /// The store did not answer. Then we do not lead.
    pub async fn hold(&mut self, store: &dyn LeaseStore, now: Time) -> Result<bool, LedgerError> {
        let found = store.read().await?;
        let record = found.as_ref().map(|(record, _)| record.clone());
        let Some(next) = self.decide(record, now) else { return Ok(false) };
        match store.write(&next, found.as_ref().map(|(_, version)| version)).await {
            Ok(()) => Ok(true),
            Err(LedgerError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the lease back, if it is ours, so that the next does not wait.
    ///
    /// # Errors
    /// The store did not answer: then it ends by itself.
    pub async fn release(&mut self, store: &dyn LeaseStore, now: Time) -> Result<(), LedgerError> {
        match store.read().await? {
            Some((record, version)) if record.holder.as_ref() == Some(&self.identity) => {
                store.write(&Record { holder: None, renewed: now, ..record }, Some(&version)).await
            }
            _ => Ok(()),
        }
    }

    /// The lease as we would write it; nothing while it is another's.
    fn decide(&mut self, found: Option<Record>, now: Time) -> Option<Record> {
        let Some(record) = found else {
            return Some(Record { holder: Some(self.identity.clone()), renewed: now, transitions: 0 });
        };
        let ours = record.holder.as_ref() == Some(&self.identity);
        if !ours && record.holder.is_some() {
            let since = match &self.observed {
                Some((observed, since)) if *observed == record => (*since).min(now),
                _ => now,
            };
            self.observed = Some((record.clone(), since));
            if now.since(since) < Self::DURATION {
                return None;
            }
        }
        let transitions = record.transitions + u32::from(!ours);
        Some(Record { holder: Some(self.identity.clone()), renewed: now, transitions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(candidate: &mut Candidate, record: &mut Option<Record>, seconds: u64) -> bool {
        let next = candidate.decide(record.clone(), Time(seconds * 1000));
        let leads = next.is_some();
        *record = next.or(record.take());
        leads
    }

    #[test]
    fn another_leads_only_after_the_lease_stood_still_for_its_duration() {
        let (mut a, mut b, mut record) = (Candidate::new("a".into()), Candidate::new("b".into()), None);
        assert!(lead(&mut a, &mut record, 0));
        assert!(!lead(&mut b, &mut record, 1));
        assert!(lead(&mut a, &mut record, 14));
        assert!(!lead(&mut b, &mut record, 16), "it was renewed");
        assert!(!lead(&mut b, &mut record, 30), "15 s after b saw the renewal, not after a made it");
        assert!(lead(&mut b, &mut record, 31));
        assert_eq!(record.as_ref().unwrap().transitions, 1);
        assert!(!lead(&mut a, &mut record, 32));
    }

    #[test]
    fn a_lease_that_was_given_back_is_free() {
        let mut b = Candidate::new("b".into());
        let mut record = Some(Record { holder: None, renewed: Time(0), transitions: 4 });
        assert!(lead(&mut b, &mut record, 1));
        assert_eq!(record.unwrap().transitions, 5);
    }

    #[test]
    fn clocks_of_two_machines_are_not_compared() {
        let mut b = Candidate::new("b".into());
        let mut record = Some(Record { holder: Some("a".into()), renewed: Time(0), transitions: 0 });
        assert!(!lead(&mut b, &mut record, 1_000_000), "a's clock may be far behind");
    }
}
