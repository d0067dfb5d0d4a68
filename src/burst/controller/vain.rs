//! Whom a node that is given back was of no use to. Pure.

use std::collections::BTreeMap;

use super::Waiter;
use crate::burst::claim::{Claim, Phase, Seen, Why};

/// The marks of pods that this node was rented for, when it is given back because nothing has ever run on it, though it took
/// pods: those that wait since before it was ready. Nobody else may be blamed: a pod that came later, or was changed by being
/// made anew, had no part in it.
pub(super) fn unhelped(
    before: &Claim,
    after: &Claim,
    seen: &Seen,
    waiting: &BTreeMap<String, Waiter>,
) -> Vec<String> {
    let given_back = after.phase == Phase::Draining && after.why == Some(Why::Empty);
    let takes_pods = seen.node.as_ref().is_some_and(|node| node.ready && !node.cordoned);
    if !(before.is_unused() && given_back && takes_pods) {
        return Vec::new();
    }
    let waiters = before.pods.iter().filter_map(|pod| waiting.get(pod));
    waiters.filter(|waiter| waiter.since <= before.since).map(|waiter| waiter.mark.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::burst::{claim::NodeSeen, time::Time};

    fn given_back(change: impl FnOnce(&mut Claim, &mut NodeSeen, &mut Claim)) -> Vec<String> {
        let pods = ["web/a", "web/late", "web/runs"].map(str::to_owned).to_vec();
        let mut before = Claim::new("burst-1".into(), vec![], pods, Time(0));
        (before.phase, before.since, before.idle_since) = (Phase::Ready, Time(1000), Some(Time(1000)));
        let mut after = before.clone();
        (after.phase, after.why) = (Phase::Draining, Some(Why::Empty));
        let mut node = NodeSeen {
            name: "burst-1".into(),
            provider_id: "aws:///a/i-1".into(),
            ready: true,
            cordoned: false,
            pods: vec![],
            notice: false,
            labelled: true,
        };
        change(&mut before, &mut node, &mut after);
        let waiter = |mark: &str, since: u64| Waiter { mark: mark.into(), since: Time(since) };
        let waiting = [
            ("web/a".to_owned(), waiter("a", 900)),
            ("web/late".to_owned(), waiter("late", 1001)),
            ("web/other".to_owned(), waiter("other", 0)),
        ];
        unhelped(&before, &after, &Seen { node: Some(node), ..Seen::default() }, &waiting.into())
    }

    #[test]
    fn who_waits_since_before_an_unused_node_was_ready_was_not_helped_by_it() {
        assert_eq!(given_back(|_, _, _| ()), ["a"]);
        assert_eq!(given_back(|before, _, _| before.idle_since = Some(Time(1001))), [""; 0], "it was used");
        assert_eq!(given_back(|_, node, _| node.cordoned = true), [""; 0], "somebody keeps pods away");
        assert_eq!(given_back(|_, node, _| node.ready = false), [""; 0]);
        assert_eq!(given_back(|_, _, after| after.why = Some(Why::Removed)), [""; 0]);
        assert_eq!(given_back(|_, _, after| after.phase = Phase::Ready), [""; 0]);
    }
}
