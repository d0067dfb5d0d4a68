//! EC2 as the controller sees it: few questions, few orders, and errors sorted by what has to be done about them.
//!
//! Names are those of EC2's API. An implementation switches every retry of its client library off: only the controller
//! knows which orders may be repeated, and how.

mod error;
mod launch;

use async_trait::async_trait;

pub use error::{CloudError, Kind, NO_CREDENTIALS, Order};
pub(super) use launch::hex;
pub use launch::{RunInstances, Template, TooLong, UserData, client_token, tag};

use super::time::Time;

/// The life of an instance by EC2's own names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Pending,
    Running,
    ShuttingDown,
    Terminated,
    Stopping,
    Stopped,
}

impl State {
    /// Whether it computes nothing any more and never will again. (A stopped one can be started, and its disk costs.)
    pub fn is_ending(self) -> bool {
        matches!(self, State::ShuttingDown | State::Terminated)
    }
}

/// An instance, as `DescribeInstances` and `RunInstances` tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub id: String,
    pub state: State,
    /// `StateReason.Code`, such as `Server.SpotInstanceTermination`.
    pub reason: Option<String>,
    /// By EC2's clock.
    pub launched: Time,
    pub client_token: String,
    /// `PrivateIpAddress`
    pub address: Option<String>,
    /// From its tag; nothing if it has none.
    pub claim: Option<String>,
}

/// What a leftover is, for who has to delete it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    Volume,
    NetworkInterface,
}

/// A volume or a network interface with the cluster's tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub id: String,
    pub resource: Resource,
    pub claim: Option<String>,
    /// Whether it is attached to an instance, and goes with it or after it.
    pub in_use: bool,
}

/// EC2 in one region, for one cluster. Every call is bounded in time by the implementation: no answer in time is
/// [`Kind::Ambiguous`].
#[async_trait]
pub trait Cloud: Send + Sync {
    /// `RunInstances` for exactly one instance, sent as it is.
    ///
    /// # Errors
    /// By [`CloudError::kind`]. Only [`Kind::Ambiguous`] leaves open whether there is an instance now.
    async fn launch(&self, request: &RunInstances) -> Result<Instance, CloudError>;

    /// `DescribeInstances` by the cluster's tag, all pages, terminated ones too.
    ///
    /// # Errors
    /// An answer is whole or an error: half a list would be taken for all of it.
    async fn instances(&self) -> Result<Vec<Instance>, CloudError>;

    /// `DescribeInstances` with the filter `instance-id`, which leaves out what it does not know instead of failing.
    ///
    /// # Errors
    /// As above.
    async fn instances_by_id(&self, ids: &[String]) -> Result<Vec<Instance>, CloudError>;

    /// `DescribeVolumes` and `DescribeNetworkInterfaces` by the cluster's tag.
    ///
    /// # Errors
    /// As above.
    async fn leftovers(&self) -> Result<Vec<Leftover>, CloudError>;

    /// `TerminateInstances`: all or, on an error, perhaps none. Safe to repeat.
    ///
    /// # Errors
    /// One instance that EC2 does not know, or that is not ours, fails the whole call.
    async fn terminate(&self, ids: &[String]) -> Result<(), CloudError>;

    /// `DeleteVolume` or `DeleteNetworkInterface`. What is gone already is no error.
    ///
    /// # Errors
    /// It is in use, or EC2 does not answer.
    async fn delete(&self, leftover: &Leftover) -> Result<(), CloudError>;

    /// `GetConsoleOutput`, the latest that there is.
    ///
    /// # Errors
    /// As above.
    async fn console_output(&self, id: &str) -> Result<String, CloudError>;
}
