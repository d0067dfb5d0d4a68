//! The loop that turns decisions into rented nodes and back: look, decide, write down, act, write down.
//!
//! [`Controller::look`] and [`Controller::carry_out`] are one turn; between them the caller decides, on what was seen,
//! which nodes are wanted. A turn may end anywhere, by a kill or an error: whatever was asked of EC2 was written down
//! before, and the next turn, of this process or another, goes on from there.

mod blame;
mod caps;
mod collect;
mod disrupt;
mod drive;
mod lease;
mod look;
mod money;
mod nodes;
mod order;
mod plan;
mod vain;
mod window;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use miette::Diagnostic;

pub use caps::{Caps, MONTH};
pub(super) use collect::terminate;
pub use disrupt::{Policy, Unwanted};
pub use lease::{Candidate, LeaseStore, Record};
pub use look::View;
pub use nodes::{CertificateRequest, NodeError, Nodes, Work, may_sign, token_id};
pub use plan::{Decision, Waiter, Wanted};
pub use window::Batch;

use super::{
    claim::{Ledger, LedgerError, Limits},
    cloud::{Cloud, CloudError, Kind, Template},
    collect::Collection,
    offer::InstanceType,
    stray::Strays,
    time::Time,
};

/// What time it is, and waiting.
#[async_trait]
pub trait Clock: Send + Sync {
    fn now(&self) -> Time;
    async fn sleep(&self, duration: Duration);
}

/// Everything outside of the controller.
#[derive(Clone)]
pub struct Surroundings {
    pub cloud: Arc<dyn Cloud>,
    pub ledger: Arc<dyn Ledger>,
    pub lease: Arc<dyn LeaseStore>,
    pub nodes: Arc<dyn Nodes>,
    pub clock: Arc<dyn Clock>,
}

/// What the user has set.
#[derive(Debug, Clone)]
pub struct Settings {
    pub template: Template,
    /// Changes with everything that may cure a refusal, credentials too: launches that EC2 refused stay stopped until it
    /// does.
    pub configuration: String,
    pub limits: Limits,
    pub policy: Policy,
    pub caps: Caps,
    pub batch: Batch,
    /// By name.
    pub types: BTreeMap<String, InstanceType>,
}

/// Why a turn ended early. The next one goes on.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Nodes(#[from] NodeError),
}

/// What a turn did that somebody should know.
#[derive(Debug, Default)]
pub struct Report {
    /// Launches asked of EC2, repetitions included.
    pub launches: u32,
    /// Whether EC2 has left one unanswered: no other is asked for in this turn, for each may take half a minute.
    pub silent: bool,
    /// Claims made, by name.
    pub planned: Vec<String>,
    /// Claims of which nothing is left.
    pub gone: Vec<String>,
    /// What was found to belong to nobody, and is being ended.
    pub collected: Vec<String>,
    /// What failed and is tried again.
    pub troubles: Vec<String>,
    /// Why nothing is launched though nodes are wanted.
    pub held_back: Option<String>,
}

/// One controller. Keeps nothing that a restart may not lose.
pub struct Controller {
    around: Surroundings,
    settings: Settings,
    candidate: Candidate,
    /// When the lease was last taken or renewed.
    led: Time,
    collection: Collection,
    strays: Strays,
    window: window::Window,
    pace: Pace,
    /// Whether a claim was on its way when last seen, so that EC2 is looked at often.
    busy: bool,
    /// When it was looked at last.
    looked: Option<Time>,
    /// Since when EC2 has answered, and nothing was known to be wrong with the way to the nodes.
    clear_since: Option<Time>,
    /// The month's sum, as it was kept last.
    kept: Option<money::Kept>,
}

impl Controller {
    /// `identity` is this process' own.
    pub fn new(around: Surroundings, settings: Settings, identity: String) -> Self {
        Self {
            around,
            settings,
            candidate: Candidate::new(identity),
            led: Time(0),
            collection: Collection::default(),
            strays: Strays::default(),
            window: window::Window::default(),
            pace: Pace::default(),
            busy: true,
            looked: None,
            clear_since: None,
            kept: None,
        }
    }

    /// From now on these types can be rented, within these caps.
    pub fn know(&mut self, types: &BTreeMap<String, InstanceType>, caps: Caps) {
        self.settings.caps = caps;
        if self.settings.types != *types {
            self.settings.types.clone_from(types);
        }
    }

    /// Whether a claim is on its way, so that the next turn should come soon.
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// It could not; then it ends by itself after 15 s.
    pub async fn release(&mut self) -> Result<(), Error> {
        let now = self.around.clock.now();
        Ok(self.candidate.release(self.around.lease.as_ref(), now).await?)
    }

    async fn leads(&mut self) -> Result<bool, Error> {
        let now = self.around.clock.now();
        let leads = self.candidate.hold(self.around.lease.as_ref(), now).await?;
        if leads {
            self.led = now;
        }
        Ok(leads)
    }

    /// Whether we lead still: asked when that was known last a third of the lease ago. Who leads no more must not touch another's
    /// claims and tokens.
    async fn leads_still(&mut self) -> Result<bool, Error> {
        let now = self.around.clock.now();
        Ok(now.since(self.led) < Candidate::DURATION / 3 || self.leads().await?)
    }

    /// Waits for EC2, which may take half a minute, and keeps the lease meanwhile. Whether it was kept is asked before the
    /// next step that needs it.
    pub(in crate::burst) async fn holding<T>(&mut self, call: impl Future<Output = T>) -> T {
        let clock = self.around.clock.clone();
        let mut call = std::pin::pin!(call);
        loop {
            tokio::select! {
                biased;
                answer = &mut call => return answer,
                () = clock.sleep(Candidate::DURATION / 3) => drop(self.leads().await),
            }
        }
    }
}

/// Keeps away from EC2 while it throttles or does not answer: 2 s, then twice that each time, up to 60 s.
#[derive(Debug, Clone, Default)]
struct Pace {
    failures: u32,
    last: Option<Time>,
}

impl Pace {
    fn is_open(&self, now: Time) -> bool {
        let pause = Duration::from_secs(60.min(1 << self.failures.min(6)));
        self.failures == 0 || self.last.is_none_or(|last| now < last || now.since(last) >= pause)
    }

    fn take_in<T>(&mut self, answer: &Result<T, CloudError>, now: Time) {
        match answer.as_ref().map_err(|error| error.kind) {
            Err(Kind::Throttled | Kind::Expired | Kind::Ambiguous | Kind::Denied) => {
                self.failures += 1;
                self.last = Some(now);
            }
            _ => self.failures = 0,
        }
    }
}
