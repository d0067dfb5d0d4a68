//! How long each thing may take.

use std::time::Duration;

/// Times after which something is given up, repeated or believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the first question to EC2 until it gave an instance.
    pub launch: Duration,
    /// From there until it runs.
    pub pending: Duration,
    /// From there until its Node exists.
    pub join: Duration,
    /// From the instance until its Node is ready.
    pub ready: Duration,
    /// Ready once and not since: as long as the node itself waits before it powers off would be too long.
    pub unready: Duration,
    /// For how long EC2 must have answered, and the way to the nodes been there, before a node is blamed for not being
    /// ready: nodes that a cut line kept away need a moment to come back.
    pub settled: Duration,
    /// How long evictions respect budgets (PodDisruptionBudget); after that, pods are deleted.
    pub budgets: Duration,
    /// How long a drain takes at most.
    pub drain: Duration,
    /// The same two after a notice, for EC2 gives two minutes and the notice is some seconds old when it is read.
    pub notice_budgets: Duration,
    pub notice_drain: Duration,
    /// The longest grace that a pod gets after a notice.
    pub notice_grace: Duration,
    /// Between two looks that have to miss an instance, or a Node that was ready, before it counts as lost.
    pub missing: Duration,
    /// How long EC2 has to show nothing before a claim whose instance it never called terminated is dropped: as long as
    /// EC2 shows terminated instances. Collection still finds whatever appears later.
    pub forget: Duration,
    /// Between two orders to terminate or delete the same.
    pub repeat: Duration,
    /// The longest between two tries of the same launch; they begin at 2 s and double.
    pub retry: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (seconds, minutes) = (Duration::from_secs, |minutes: u64| Duration::from_secs(60 * minutes));
        Self {
            launch: minutes(5),
            pending: minutes(3),
            join: minutes(6),
            ready: minutes(10),
            unready: minutes(30),
            settled: minutes(5),
            budgets: minutes(15),
            drain: minutes(30),
            notice_budgets: seconds(20),
            notice_drain: seconds(110),
            notice_grace: seconds(90),
            missing: seconds(60),
            forget: minutes(60),
            repeat: seconds(30),
            retry: seconds(60),
        }
    }
}

impl Limits {
    /// How long to wait before the try that follows `tries` others.
    pub fn pause(&self, tries: u32) -> Duration {
        match tries {
            0 => Duration::ZERO,
            tries => Duration::from_secs(1 << tries.min(16)).min(self.retry),
        }
    }
}
