//! What is written down of the gateway, and where.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::NAME;
use crate::burst::{
    claim::{LedgerError, Version},
    cloud::{RunInstances, client_token},
    time::Time,
};

/// The gateway as it should be: a launch, all but its client token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The uid of the cluster's `kube-system` namespace.
    pub cluster: String,
    /// Tells its attempts from those of a gateway that was forgotten, which EC2 still knows: its public key, for example.
    pub series: String,
    request: RunInstances,
}

impl Wanted {
    /// `request.client_token` does not count.
    pub fn new(cluster: String, series: String, request: RunInstances) -> Wanted {
        Wanted { cluster, series, request: RunInstances { client_token: String::new(), ..request } }
    }

    /// Changes with everything that makes another gateway of it.
    pub fn configuration(&self) -> String {
        self.request.digest()
    }

    /// The same bytes for the same attempt.
    pub fn request(&self, attempt: u32) -> RunInstances {
        let client_token = client_token(&self.cluster, &format!("{NAME} {}", self.series), attempt);
        RunInstances { client_token, ..self.request.clone() }
    }
}

/// An attempt to launch it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Sent as it is here, every time.
    pub request: RunInstances,
    /// [`Wanted::configuration`] that it is of.
    pub configuration: String,
    /// How often EC2 was asked, and when last. Counted before it is asked.
    pub tries: u32,
    pub asked: Option<Time>,
    /// What EC2 gave.
    pub instance: Option<String>,
}

/// Everything that is known of the gateway, from one turn to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The number of the present or last attempt.
    pub attempt: u32,
    pub launch: Option<Launch>,
    /// Instances that have to end, and since when that is known.
    pub ending: BTreeMap<String, Time>,
    /// When ending them was asked for last.
    pub asked: Option<Time>,
    /// Since when EC2 does not show the instance.
    pub missing_since: Option<Time>,
    /// Since when its checks fail.
    pub impaired_since: Option<Time>,
    /// No launch before this.
    pub pause: Option<Time>,
    /// What EC2 refused last, and nothing that waiting for a moment cures.
    pub refused: Option<Refusal>,
    /// How many in a row ended soon after they were launched.
    pub short: u32,
    /// Why the last one ended, in EC2's words.
    pub ended: Option<String>,
}

/// A launch that EC2 refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// [`Wanted::configuration`] that it was of.
    pub configuration: String,
    pub reason: String,
    pub since: Time,
}

impl Record {
    /// The instance that is the gateway.
    pub fn instance(&self) -> Option<&str> {
        self.launch.as_ref()?.instance.as_deref()
    }

    /// Whether nothing of it is left, as far as is known.
    pub fn is_nothing(&self) -> bool {
        self.launch.is_none() && self.ending.is_empty()
    }
}

/// Keeps the record. A write that returns is durable; one that fails may have happened.
#[async_trait]
pub trait Records: Send + Sync {
    /// The default at first.
    ///
    /// # Errors
    /// It cannot be read, or not be understood.
    async fn gateway(&self) -> Result<(Record, Option<Version>), LedgerError>;

    /// # Errors
    /// [`LedgerError::Conflict`] if there is another version by now.
    async fn keep_gateway(&self, record: &Record, version: Option<&Version>) -> Result<Version, LedgerError>;
}
