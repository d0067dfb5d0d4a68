//! Pods whose node is there and has not got them: another one of the same kind would not help them either.

use std::collections::BTreeMap;

use super::Situation;
use crate::burst::controller::Waiter;

/// Waiting pods for which a node stands ready and unused that is open to pods, each with that node's name. Only those that
/// have waited since before it was ready: a pod that was made anew may need another one.
pub fn stood_by(situation: &Situation<'_>, waiting: &BTreeMap<String, Waiter>) -> BTreeMap<String, String> {
    let is_open = |name: &str| {
        let mut nodes = situation.seen.nodes.iter();
        let node = nodes.find(|node| node.metadata.name.as_deref() == Some(name));
        node.is_some_and(|node| node.spec.as_ref().is_none_or(|spec| spec.unschedulable != Some(true)))
    };
    let unused = situation.claims.iter().filter(|claim| claim.is_unused() && is_open(&claim.name));
    let pods = unused.flat_map(|claim| {
        let had = |pod: &&String| waiting.get(*pod).is_some_and(|waiter| waiter.since <= claim.since);
        claim.pods.iter().filter(had).map(|pod| (pod.clone(), claim.name.clone()))
    });
    pods.collect()
}
