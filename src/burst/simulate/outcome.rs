//! What a simulation found.

use serde::Serialize;

use crate::burst::offer::Money;

/// What would have happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Pods that came.
    pub pods: usize,
    /// Those that ran.
    pub ran: usize,
    /// Those that ended before there was a place for them.
    pub gave_up: usize,
    /// Pods that were evicted because their node was not needed any more.
    pub moved: usize,
    /// Those that still waited at the end, and why.
    pub refused: Vec<Refused>,
    /// From creation to a node, in seconds, of those that ran.
    pub pending: Pending,
    /// The same, of those that ran on a rented node.
    pub pending_for_rented: Pending,
    /// Nodes that were rented in all.
    pub rented: usize,
    pub most_at_once: usize,
    /// US dollars, billed by the second and at least a minute, as EC2 does.
    #[serde(serialize_with = "dollars")]
    pub cost: Money,
    pub hours: Vec<Hour>,
    /// What was at each change, for charts.
    #[serde(skip)]
    pub points: Vec<Point>,
}

/// A pod without a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    pub pod: String,
    pub because: String,
}

/// Seconds that pods waited for a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Pending {
    pub p50: f64,
    pub p95: f64,
    pub max: f64,
}

/// An hour of the simulation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hour {
    pub hour: u64,
    /// Pods that came.
    pub created: usize,
    pub most_pending: usize,
    /// Most nodes rented at once.
    pub most_nodes: usize,
    /// Hours of all rented nodes together.
    pub node_hours: f64,
    /// US dollars.
    #[serde(serialize_with = "dollars")]
    pub cost: Money,
}

/// Numbers that hold from this time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Milliseconds since the beginning.
    pub at: u64,
    pub pending: usize,
    pub nodes: usize,
}

fn dollars<S: serde::Serializer>(money: &Money, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(money.0 as f64 / 1e6)
}

impl Pending {
    /// Of so many milliseconds each; the nearest rank.
    pub(super) fn of(mut waits: Vec<u64>) -> Pending {
        waits.sort_unstable();
        let rank = |part: f64| {
            let rank = (part * waits.len() as f64).ceil() as usize;
            waits.get(rank.max(1) - 1).map_or(0.0, |milliseconds| *milliseconds as f64 / 1000.0)
        };
        Pending { p50: rank(0.5), p95: rank(0.95), max: rank(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let pending = Pending::of((1..=20).map(|n| n * 1000).collect());
        assert_eq!(pending, Pending { p50: 10.0, p95: 19.0, max: 20.0 });
        assert_eq!(Pending::of(vec![]), Pending::default());
        assert_eq!(Pending::of(vec![500]), Pending { p50: 0.5, p95: 0.5, max: 0.5 });
    }
}
