//! How soon a node that is gone is noticed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How soon a node that is gone is noticed, and its pods are made anew elsewhere. All times are seconds.
///
/// Together, after a node lost its power: `node_monitor_grace_period` and at most one `node_monitor_period` until it
/// counts as unreachable, then `toleration_seconds` until its pods are given up. With the defaults that is 75 s. If
/// the controller manager in charge was lost with the node, another one takes over within about 20 s and begins to
/// count from there. The new pods then have to start. Pods may have tolerations of their own, which go over
/// `toleration_seconds`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FailureDetection {
    /// The time between two looks of a kubelet at its own node. What it sees is reported at once when it has changed,
    /// else every five minutes; that it lives, it says every 10 s.
    #[schemars(range(min = 1, max = 300))]
    pub node_status_update_frequency: u32,
    /// The time between two looks of the controller manager at the nodes.
    #[schemars(range(min = 1, max = 300))]
    pub node_monitor_period: u32,
    /// The time without a sign of life after which a node counts as unreachable; at least 20, which is two signs of
    /// life.
    #[schemars(range(min = 20, max = 3600))]
    pub node_monitor_grace_period: u32,
    /// The time that pods stay on a node that is unreachable or not ready.
    #[schemars(range(max = 86400))]
    pub toleration_seconds: u32,
}

impl Default for FailureDetection {
    fn default() -> Self {
        FailureDetection {
            node_status_update_frequency: 5,
            node_monitor_period: 5,
            node_monitor_grace_period: 40,
            toleration_seconds: 30,
        }
    }
}
