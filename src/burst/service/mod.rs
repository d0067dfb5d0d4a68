//! The program that runs: look, decide, carry out, and again, until somebody ends it.
//!
//! What it talks to is given to it: [`Connect`] makes the way to the API server anew when it broke, a channel tells what
//! can be rented, and [`Line`]s are told to whoever reads them. Everything else that a person should know is kept in the
//! cluster, where `hoist burst status` finds it.

mod beside;
mod clock;
mod market;
mod place;
mod settings;
mod stop;
mod surroundings;
mod tell;
mod turn;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use beside::{Beside, Told};
pub use clock::SystemClock;
pub use market::{Known, ask, keep};
pub use place::{Moved, Place};
pub use settings::{Missing, rules, settings, zones};
pub use stop::Stop;
pub use surroundings::{Gateway, Parts, authority, surroundings, uid};
pub use tell::{Kind, Line, Memory};
pub use turn::{Done, Outcome};

use super::{
    claim::LedgerError,
    controller::{self, Clock, Controller},
    demand::{Explanation, Look, Rules, Waits, Wish},
    gateway::{Kept, Records},
    join, network,
    offer::Money,
    time::Time,
};
use crate::kube;

/// Between two turns while a claim is on its way or pods wait: what they wait for takes seconds.
const BUSY: Duration = Duration::from_secs(1);
/// Otherwise: what a pod waits for nothing.
const QUIET: Duration = Duration::from_secs(2);
/// Large clusters take longer to tell of themselves: they are left alone for as many times as long as that took, …
const REST: u32 = 9;
/// … and never for longer than this, a third of the lease. After a turn that failed, too.
const LONGEST: Duration = Duration::from_secs(5);
/// Turns that fail one after the other before the way to the API server is made anew: another control plane may answer.
const FAILURES: u32 = 3;

/// Why a turn ended early, or did not begin.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    #[error("no way to the API server: {reason}")]
    #[diagnostic(help("it is tried again; until then nothing is rented or given back"))]
    Away { reason: String },
    /// Trying again does not help.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Missing(#[from] Missing),
    /// Nor here, nor below.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Moved(#[from] Moved),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Join(#[from] join::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Network(#[from] network::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Stack(#[from] network::StackFailure),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Controller(#[from] controller::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Kube(#[from] kube::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Ledger(#[from] LedgerError),
}

/// What is made anew with each way to the API server.
pub struct Connection {
    pub controller: Controller,
    /// Of the gateway at which machines and workers meet, where hoist keeps one. None for who launches nothing.
    pub keeper: Option<Beside>,
    /// What is written down of the gateway, where there shall be one: for who only looks.
    pub written: Option<Arc<dyn Records>>,
    pub look: Box<dyn Look>,
    pub board: Box<dyn Board>,
}

impl Connection {
    /// What goes on beside the turns, and never ends.
    fn keeping(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let keeping = self.keeper.as_mut().map(Beside::keep);
        async move {
            match keeping {
                Some(keeping) => keeping.await,
                None => std::future::pending().await,
            }
        }
    }
}

/// The way to the API server.
#[async_trait]
pub trait Connect: Send + Sync {
    /// # Errors
    /// [`Error::Away`], or what else keeps the controller from beginning.
    async fn connect(&self) -> Result<Connection, Error>;
}

/// What persons and the controller tell each other, in the cluster.
#[async_trait]
pub trait Board: Send + Sync {
    /// What persons want; nothing at first.
    ///
    /// # Errors
    /// The API server did not answer, or what is there is not understood.
    async fn wish(&self) -> Result<Wish, LedgerError>;

    /// # Errors
    /// The API server did not answer.
    async fn show(&self, status: &Status) -> Result<(), LedgerError>;
}

/// What the controller knew in its last turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    pub at: Time,
    /// Who led.
    pub controller: String,
    /// This month, millionths of a dollar.
    pub spent: Money,
    pub gateway: Option<Kept>,
    /// What it costs in an hour, where there shall be one and that is known. So much of the limits is set aside for it.
    #[serde(default)]
    pub gateway_price: Option<Money>,
    pub explanation: Explanation,
    /// Why nothing is launched though nodes are wanted.
    pub held_back: Option<String>,
    /// What failed and is tried again.
    pub troubles: Vec<String>,
    /// What can be rented, in numbers, and what cannot, and why.
    pub offers: usize,
    pub remarks: Vec<String>,
}

/// The program.
pub struct Service {
    pub connect: Box<dyn Connect>,
    pub rules: Rules,
    pub clock: Arc<dyn Clock>,
    pub known: watch::Receiver<Known>,
    /// This process' own, as in the lease.
    pub identity: String,
    pub tell: Box<dyn FnMut(&Line) + Send>,
    pub memory: Memory,
    pub waits: Waits,
    /// What persons wanted when that was last understood.
    pub wish: Option<Wish>,
    /// What was shown last.
    pub shown: Option<Status>,
    /// One turn has to do: it waits until it is known whether the gateway is there.
    pub once: bool,
}

impl Service {
    pub fn new(
        connect: Box<dyn Connect>,
        rules: Rules,
        clock: Arc<dyn Clock>,
        known: watch::Receiver<Known>,
        identity: String,
        tell: Box<dyn FnMut(&Line) + Send>,
    ) -> Service {
        let (memory, waits) = (Memory::default(), Waits::default());
        let (wish, shown, once) = (None, None, false);
        Service { connect, rules, clock, known, identity, tell, memory, waits, wish, shown, once }
    }

    /// Turns until somebody ends it; then gives the lease back. While the API server is away it goes on trying.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Moved`] and [`Error::Join`]: something that trying again does not bring.
    pub async fn run(&mut self, stop: &mut Stop) -> Result<(), Error> {
        while !stop.is_asked() {
            // To connect may take a minute, and leaves nothing behind.
            let connected = tokio::select! {
                connected = self.connect.connect() => connected,
                () = stop.asked() => return Ok(()),
            };
            match connected {
                Ok(mut connection) => self.serve(&mut connection, stop).await,
                Err(error @ (Error::Missing(_) | Error::Join(_) | Error::Network(_) | Error::Moved(_))) => {
                    return Err(error);
                }
                Err(error) => {
                    self.standing(Kind::Trouble, "api", &error.to_string());
                    stop.wait(self.clock.as_ref(), LONGEST).await;
                }
            }
        }
        Ok(())
    }

    /// One turn and no more; the lease is given back. With `only_look`, as [`Service::turn`].
    ///
    /// # Errors
    /// As [`Service::turn`].
    pub async fn once(&mut self, connection: &mut Connection, only_look: bool) -> Result<Outcome, Error> {
        self.once = true;
        let keeping = connection.keeping();
        let outcome = tokio::select! {
            // It never ends.
            () = keeping => return Ok(Outcome::Standby),
            outcome = self.turn(connection, only_look) => outcome?,
        };
        if !only_look {
            connection.controller.release().await?;
        }
        Ok(outcome)
    }

    /// Turns over one way to the API server, until it breaks or somebody ends it; and the gateway beside them.
    async fn serve(&mut self, connection: &mut Connection, stop: &mut Stop) {
        let keeping = connection.keeping();
        tokio::select! {
            () = keeping => {}
            () = self.turns(connection, stop) => {}
        }
    }

    async fn turns(&mut self, connection: &mut Connection, stop: &mut Stop) {
        let mut failures = 0;
        while !stop.is_asked() {
            let begun = self.clock.now();
            let pause = match self.turn(connection, false).await {
                Ok(outcome) => {
                    failures = 0;
                    let rest = self.clock.now().since(begun).saturating_mul(REST).min(LONGEST);
                    rest.max(if outcome.is_busy(&connection.controller) { BUSY } else { QUIET })
                }
                Err(error) => {
                    self.standing(Kind::Trouble, "turn", &error.to_string());
                    failures += 1;
                    if failures >= FAILURES {
                        return;
                    }
                    LONGEST
                }
            };
            stop.wait(self.clock.as_ref(), pause).await;
        }
        if let Err(error) = connection.controller.release().await {
            self.standing(Kind::Trouble, "lease", &error.to_string());
        }
    }
}
