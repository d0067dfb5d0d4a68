//! Where a workload is replayed, and how long things take there.

use crate::burst::{
    offer::Money,
    pack::{Limits, Market, Node, Settings},
};

/// Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// How long a pod waits before anything is rented for it.
    pub before: u64,
    /// A batch of pods is closed when none came for so long, or when it is open for the second time.
    pub idle: u64,
    pub batch: u64,
    /// From the launch of an instance until its node is ready.
    pub ready: u64,
    /// How long pods take to end on a node that is drained.
    pub drain: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Delays { before: 15_000, idle: 2_000, batch: 15_000, ready: 90_000, drain: 30_000 }
    }
}

/// Where a workload is replayed.
#[derive(Debug, Clone)]
pub struct Site {
    pub metal: Vec<Node>,
    pub market: Market,
    /// Without the month's.
    pub limits: Limits,
    /// For 30 days from the beginning.
    pub monthly_budget: Option<Money>,
    pub delays: Delays,
    pub settings: Settings,
}
