//! Waits until no more pods come, so that one node is rented for all of them.

use std::{collections::BTreeSet, time::Duration};

use crate::burst::time::Time;

/// How long to wait for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Since the last pod that came.
    pub idle: Duration,
    /// Since the first.
    pub longest: Duration,
}

impl Default for Batch {
    fn default() -> Self {
        Self { idle: Duration::from_secs(2), longest: Duration::from_secs(15) }
    }
}

/// The pods that wait.
#[derive(Debug, Clone, Default)]
pub struct Window {
    pods: BTreeSet<String>,
    first: Option<Time>,
    last: Option<Time>,
}

impl Window {
    /// Takes in the pods that wait now; whether it is time to act. The window begins anew when nobody waits.
    pub fn is_over(&mut self, pods: BTreeSet<String>, batch: &Batch, now: Time) -> bool {
        if pods.is_empty() {
            *self = Self::default();
            return false;
        }
        if !pods.is_subset(&self.pods) {
            self.last = Some(now);
        }
        self.pods = pods;
        let first = *self.first.get_or_insert(now);
        let last = *self.last.get_or_insert(now);
        // A clock that was set back ends the window.
        now < last || now.since(last) >= batch.idle || now.since(first) >= batch.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(count: u32) -> BTreeSet<String> {
        (0..count).map(|n| format!("default/p{n}")).collect()
    }

    #[test]
    fn pods_that_come_together_are_served_together() {
        let (mut window, batch) = (Window::default(), Batch::default());
        assert!(!window.is_over(pods(1), &batch, Time(0)));
        assert!(!window.is_over(pods(2), &batch, Time(1_900)));
        assert!(!window.is_over(pods(2), &batch, Time(3_800)));
        assert!(window.is_over(pods(2), &batch, Time(3_900)));
        assert!(!window.is_over(pods(0), &batch, Time(4_000)));
        assert!(!window.is_over(pods(1), &batch, Time(5_000)), "a new window");
    }

    #[test]
    fn pods_that_keep_coming_hold_it_up_for_fifteen_seconds_at_most() {
        let (mut window, batch) = (Window::default(), Batch::default());
        let over = |second: u64| {
            window.is_over(pods(u32::try_from(second).unwrap() + 1), &batch, Time(second * 1000))
        };
        assert_eq!(
            (0..=20).find({
                let mut over = over;
                move |second| over(*second)
            }),
            Some(15)
        );
    }
}
