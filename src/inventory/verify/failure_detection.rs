//! Times of failure detection that fit together.

use crate::{
    inventory::Inventory,
    yaml::{Document, Problem},
};

/// How many signs of life may be lost before a node counts as unreachable. The kubelet's own reference asks for
/// "several": https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
const SEVERAL: u32 = 4;

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let times = &document.value.cluster.failure_detection;
    let at = |key| document.tree.at(&["cluster", "failure_detection", key]);
    let grace = times.node_monitor_grace_period;
    for (key, seconds, most) in [
        ("node_status_update_frequency", times.node_status_update_frequency, grace / SEVERAL),
        ("node_monitor_period", times.node_monitor_period, grace / 2),
    ] {
        if seconds > most {
            problems.push(
                Problem::new(
                    at(key),
                    format!("{seconds} s are too long for nodes that are given up after {grace} s"),
                )
                .label(format!("more than {most}"))
                .also(at("node_monitor_grace_period"), format!("{grace} s"))
                .help(format!("write {most} or less, or a longer `node_monitor_grace_period`")),
            );
        }
    }
}
