//! Which pods wait, since when, and for which of them nothing is rented all the same.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::Pod;

use super::Situation;
use crate::burst::{cloud::hex, time::Time};

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

/// Whose pods hoist counts. Other schedulers place pods by rules that the packer does not know, and may never take a node.
const SCHEDULER: &str = "default-scheduler";

/// What a pod is known by: another one when it is made anew, or changed in what decides on its place.
pub fn mark(pod: &Pod) -> String {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    // Lists and maps of plain values always become JSON.
    let spec = serde_json::to_string(&pod.spec).unwrap_or_default();
    hex(format!("{uid}\n{spec}").as_bytes()).chars().take(16).collect()
}

/// Why nothing is rented for a pod though it waits, whatever the packer would say.
pub fn no_reason(pod: &Pod, mark: &str, situation: &Situation<'_>) -> Option<String> {
    let scheduler = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref()).unwrap_or(SCHEDULER);
    if scheduler != SCHEDULER {
        return Some(format!("its scheduler is {scheduler}, whose rules hoist does not know"));
    }
    let pause = situation.in_vain.pause(mark, situation.now)?;
    let (namespace, name) = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref());
    let times = if pause.times == 1 { "once".to_owned() } else { format!("{} times", pause.times) };
    Some(format!(
        "a node was rented for it {times}, and nothing ever ran there: the scheduler refuses this pod for a reason that \
         hoist does not know. `kubectl describe pod -n {} {}` says which; nothing more is rented for it before {}",
        namespace.unwrap_or("default"),
        name.unwrap_or_default(),
        Time(pause.until.0 / 60_000 * 60_000),
    ))
}

fn condition(pod: &Pod) -> Option<&k8s_openapi::api::core::v1::PodCondition> {
    pod.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled")
}

fn since(pod: &Pod) -> Option<Time> {
    let time = condition(pod)?.last_transition_time.as_ref()?;
    u64::try_from(time.0.as_millisecond()).ok().map(Time)
}
