//! Since when pods have waited.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::Pod;

use crate::burst::time::Time;

/// When each pod that waits was first seen waiting, by our own clock.
#[derive(Debug, Clone, Default)]
pub struct Waits(BTreeMap<String, Time>);

impl Waits {
    /// How long each of these pods has waited: by what the scheduler wrote into it, or by our own clock, whichever is
    /// longer, so that no difference of the two clocks makes a pod wait for ever. Pods that wait no more are forgotten.
    pub fn so_long(&mut self, pods: &[&Pod], now: Time) -> Vec<Duration> {
        let uid = |pod: &Pod| pod.metadata.uid.clone().unwrap_or_default();
        let firsts = pods.iter().map(|pod| {
            let first = self.0.get(&uid(pod)).copied().unwrap_or(now);
            (uid(pod), first.min(now))
        });
        self.0 = firsts.collect();
        pods.iter()
            .map(|pod| {
                let seen = self.0.get(&uid(pod)).map(|first| now.since(*first)).unwrap_or_default();
                since(pod).map_or(seen, |since| now.since(since).max(seen))
            })
            .collect()
    }
}

/// Whether a new node may help it: the scheduler has found no room, and does not make any by ending other pods.
pub fn waits(pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let status = pod.status.as_ref();
    pod.metadata.deletion_timestamp.is_none()
        && spec.is_some_and(|spec| spec.node_name.is_none())
        && status.is_some_and(|status| status.nominated_node_name.as_deref().unwrap_or_default().is_empty())
        && condition(pod)
            .is_some_and(|it| it.status == "False" && it.reason.as_deref() == Some("Unschedulable"))
}

fn condition(pod: &Pod) -> Option<&k8s_openapi::api::core::v1::PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled")
}

fn since(pod: &Pod) -> Option<Time> {
    let time = condition(pod)?.last_transition_time.as_ref()?;
    u64::try_from(time.0.as_millisecond()).ok().map(Time)
}
