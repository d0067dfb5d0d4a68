//! Whether a node that is not ready has only itself to blame.

use super::{Controller, View};
use crate::burst::{
    claim::{Phase, Why},
    time::Time,
};

impl Controller {
    /// Takes in whether everything works that lies between nodes and whoever judges them.
    pub(super) fn look_at_way(&mut self, is_cut: bool, now: Time) {
        let is_clear = !is_cut && self.pace.failures == 0;
        self.clear_since = is_clear.then(|| self.clear_since.unwrap_or(now).min(now));
    }

    /// Whether the node of this claim counts as broken when it has not been ready for long. One after the other: what keeps
    /// several away at the same time is seldom their own fault, and its end shows it.
    pub(super) fn blames(&self, view: &View, index: usize, now: Time) -> bool {
        let is_clear = self.clear_since.is_some_and(|since| now.since(since) >= self.settings.limits.settled);
        let mut others = view.claims().enumerate().filter(|(other, _)| *other != index);
        is_clear && !others.any(|(_, it)| it.phase == Phase::Draining && it.why == Some(Why::Broken))
    }
}
