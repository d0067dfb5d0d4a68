//! The way out: pods are moved, the instance is terminated, and the claim stays until EC2 says that nothing is left.

use super::{
    Action, Claim, Limits, Phase, Seen, Why,
    machine::{end, go, hold, own_node, trouble},
};
use crate::burst::time::Time;

/// Moves pods away: as long as that takes, but not for ever.
pub(super) fn draining(claim: &mut Claim, seen: &Seen, limits: &Limits, now: Time) -> Vec<Action> {
    if let Some(why) = trouble(claim, seen, limits, now) {
        return end(claim, Phase::Terminating, why, now);
    }
    let Some(node) = own_node(claim, seen) else { return go(claim, Phase::Terminating, now) };
    if node.notice && claim.why != Some(Why::Notice) {
        return end(claim, Phase::Draining, Why::Notice, now);
    }
    // A pod may have been bound between a look and the cordon: then it is not empty, and the pod stays where it is.
    let has_pods = claim.why == Some(Why::Empty) && !node.pods.is_empty();
    let is_back = claim.why == Some(Why::Broken) && node.ready;
    if has_pods || is_back {
        return stay(claim, node.cordoned, now);
    }
    let notice = claim.why == Some(Why::Notice);
    let (budgets, whole) = match notice {
        true => (limits.notice_budgets, limits.notice_drain),
        false => (limits.budgets, limits.drain),
    };
    let elapsed = now.since(claim.since);
    // For the same reason empty counts only when cordoned.
    if node.cordoned && node.pods.is_empty() || elapsed >= whole {
        return go(claim, Phase::Terminating, now);
    }
    if !node.cordoned && !notice {
        return vec![Action::Cordon];
    }
    let grace = notice.then(|| limits.notice_grace.min(whole.saturating_sub(elapsed)));
    vec![Action::Cordon, Action::Evict { grace, respect_budgets: elapsed < budgets }]
}

/// Takes a drain back: first pods may come again, then it is ready as before.
fn stay(claim: &mut Claim, cordoned: bool, now: Time) -> Vec<Action> {
    if cordoned {
        return vec![Action::Uncordon];
    }
    (claim.why, claim.unready_since) = (None, None);
    (claim.idle_since, claim.unneeded_since) = (None, None);
    go(claim, Phase::Ready, now)
}

/// Ends what EC2 has, until EC2 says that nothing of it is left.
pub(super) fn terminating(claim: &mut Claim, seen: &Seen, limits: &Limits, now: Time) -> Vec<Action> {
    let alive: Vec<String> =
        claim.instances().filter(|id| !claim.dead.contains(*id)).map(str::to_owned).collect();
    // The answer to the launch that was refused after one which was not answered, or never came.
    let open = claim.launch.as_ref().is_some_and(|launch| launch.tries > 0 && launch.instance.is_none());
    // Never launched, or all launches refused: there is nothing for EC2 to tell.
    if !open && claim.instances().next().is_none() {
        return vec![Action::Finish];
    }
    // The first order does not wait for a look: the ids are known.
    if claim.asked.is_none() {
        return terminate(claim, alive, now);
    }
    let Some(sight) = &seen.cloud else { return Vec::new() };
    let shown = |id: &String| sight.instances.iter().find(|instance| instance.id == *id);
    let missing = open || alive.iter().any(|id| shown(id).is_none());
    hold(&mut claim.missing_since, missing, now);
    let forgotten = claim.missing_since.is_some_and(|since| now.since(since) >= limits.forget);
    let due = claim.asked.is_none_or(|asked| now < asked || now.since(asked) >= limits.repeat);
    if !alive.is_empty() && !forgotten {
        let running: Vec<String> = alive
            .into_iter()
            .filter(|id| shown(id).is_none_or(|instance| !instance.state.is_ending()))
            .collect();
        if running.is_empty() || !due {
            return Vec::new();
        }
        return terminate(claim, running, now);
    }
    if open && !forgotten {
        return Vec::new();
    }
    if !sight.leftovers.is_empty() {
        if !due {
            return Vec::new();
        }
        claim.asked = Some(now);
        return sight.leftovers.iter().cloned().map(Action::Delete).collect();
    }
    vec![Action::Finish]
}

fn terminate(claim: &mut Claim, ids: Vec<String>, now: Time) -> Vec<Action> {
    let first = claim.asked.is_none();
    claim.asked = Some(now);
    let mut actions = Vec::new();
    if let (true, Some(Why::TimeOut(_)), Some(id)) = (first, &claim.why, claim.instance()) {
        actions.push(Action::Console(id.to_owned()));
    }
    if !ids.is_empty() {
        actions.push(Action::Terminate(ids));
    }
    actions.push(Action::DropNode);
    actions
}
