//! How soon a node that is gone is noticed, and its pods are made anew elsewhere.

use serde_json::json;

use super::Components;
use crate::inventory::Inventory;

/// The time after which a kubelet reports a status that has not changed: the kubelet's own default, which it forgets
/// when `nodeStatusUpdateFrequency` is set. https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
const REPORT: &str = "5m";

pub(super) fn add(inventory: &Inventory, all: &mut Components) {
    let times = &inventory.cluster.failure_detection;
    let seconds = |seconds: u32| format!("{seconds}s");
    all.kubelet
        .insert("nodeStatusUpdateFrequency".to_string(), json!(seconds(times.node_status_update_frequency)));
    all.kubelet.insert("nodeStatusReportFrequency".to_string(), json!(REPORT));
    all.controller_manager.arg("node-monitor-period", seconds(times.node_monitor_period));
    all.controller_manager.arg("node-monitor-grace-period", seconds(times.node_monitor_grace_period));
    for condition in ["not-ready", "unreachable"] {
        let flag = format!("default-{condition}-toleration-seconds");
        all.api_server.arg(&flag, times.toleration_seconds.to_string());
    }
}

#[cfg(test)]
mod tests {
    use crate::{cluster::components::components, inventory};

    /// What a stack on a dead node may take until it is available again, in seconds.
    const PROMISED: u32 = 150;
    /// What leader election and the start of new pods take at most of that.
    const REST: u32 = 20 + 45;

    #[test]
    fn the_defaults_keep_the_promise() {
        let times = inventory::FailureDetection::default();
        let noticed = times.node_monitor_grace_period + times.node_monitor_period + times.toleration_seconds;
        assert!(noticed + REST <= PROMISED, "{noticed} s");
    }

    #[test]
    fn every_time_of_the_inventory_arrives() {
        let text = include_str!("../../../inventory/single.yaml").replace(
            "  kubernetes:",
            "  failure_detection: {node_status_update_frequency: 7, node_monitor_period: 8, \
             node_monitor_grace_period: 90, toleration_seconds: 6}\n  kubernetes:",
        );
        let inventory = inventory::parse("t.yaml", &text).unwrap().inventory;
        let all = components(&inventory);
        assert_eq!(all.kubelet["nodeStatusUpdateFrequency"], "7s");
        assert_eq!(all.controller_manager.args["node-monitor-period"], "8s");
        assert_eq!(all.controller_manager.args["node-monitor-grace-period"], "90s");
        assert_eq!(all.api_server.args["default-not-ready-toleration-seconds"], "6");
        assert_eq!(all.api_server.args["default-unreachable-toleration-seconds"], "6");
    }
}
