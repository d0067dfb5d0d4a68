//! What hoist cannot make true, and a host must have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, Change, Kind, Observations, Probe};

/// Something that a host must have and that hoist cannot give it, such as a kernel that is new enough. Where it
/// is missing, the host is refused before anything after it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Require {
    /// What the host must have, in words that fit after "the host lacks".
    pub what: String,
    /// A check (POSIX sh) that succeeds where the host has it.
    pub check: String,
    /// What to do about it.
    pub fix: String,
}

impl Kind for Require {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Check(self.check.clone())]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        let refused = || Change::new(format!("refuse: the host lacks {}: {}", self.what, self.fix));
        (!seen.passed.contains(&self.check)).then(refused)
    }

    fn acts(&self, _: &Observations) -> Vec<Act> {
        vec![Act::refuse(&format!("the host lacks {}: {}", self.what, self.fix))]
    }
}
