//! What happens to a claim next. Pure.
//!
//! [`next`] either moves one edge, or says what is to be done where the claim is; never both, so that each edge is
//! written down before anything is done because of it. [`answered`] takes in what EC2 said.

use super::{
    Action, Answer, Claim, Launch, Limits, NodeSeen, Phase, Seen, Sight, Why,
    ending::{draining, terminating},
};
use crate::burst::{
    cloud::{CloudError, Instance, Kind, State},
    time::Time,
};

/// A claim's next state, or what to do in this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    pub claim: Claim,
    pub actions: Vec<Action>,
}

/// Decides. Without an answer of EC2 (`seen.cloud`) nothing is decided that needs one.
pub fn next(claim: &Claim, seen: &Seen, limits: &Limits, now: Time) -> Next {
    let mut claim = claim.clone();
    // A clock that was set back would hold all limits up for as long.
    claim.since = claim.since.min(now);
    claim.launched = claim.launched.map(|launched| launched.min(now));
    if let Some(sight) = &seen.cloud {
        take_in(&mut claim, sight);
    }
    let actions = match claim.phase {
        Phase::Planned => planned(&mut claim, seen, limits, now),
        Phase::Launching => launching(&mut claim, seen, limits, now),
        Phase::Launched | Phase::Running | Phase::Registered => joining(&mut claim, seen, limits, now),
        Phase::Ready => ready(&mut claim, seen, limits, now),
        Phase::Draining => draining(&mut claim, seen, limits, now),
        Phase::Terminating => terminating(&mut claim, seen, limits, now),
        Phase::Gone => Vec::new(),
    };
    Next { claim, actions }
}

/// Knows instances again: by the client token that of the present attempt, by the tag all others.
fn take_in(claim: &mut Claim, sight: &Sight) {
    for instance in &sight.instances {
        if instance.state == State::Terminated {
            claim.dead.insert(instance.id.clone());
        }
        let launch =
            claim.launch.as_mut().filter(|launch| launch.request.client_token == instance.client_token);
        match launch {
            Some(launch) if launch.instance.as_ref().is_none_or(|id| *id == instance.id) => {
                claim.address = instance.address.clone().or(claim.address.take());
                // While an answer is awaited `launching` takes it.
                if claim.phase != Phase::Launching {
                    launch.instance = Some(instance.id.clone());
                }
            }
            _ => {
                claim.former.insert(instance.id.clone());
            }
        }
    }
}

pub(super) fn go(claim: &mut Claim, phase: Phase, now: Time) -> Vec<Action> {
    claim.phase = phase;
    claim.since = now;
    claim.missing_since = None;
    claim.asked = None;
    Vec::new()
}

pub(super) fn end(claim: &mut Claim, phase: Phase, why: Why, now: Time) -> Vec<Action> {
    claim.why = Some(why);
    go(claim, phase, now)
}

fn planned(claim: &mut Claim, seen: &Seen, limits: &Limits, now: Time) -> Vec<Action> {
    let late = now.since(claim.since) >= limits.launch;
    let why = seen.end.clone().or(late.then_some(Why::TimeOut(Phase::Planned)));
    match (why, &seen.offer) {
        (Some(why), _) => end(claim, Phase::Terminating, why, now),
        (None, Some(offer)) if !seen.silent => vec![Action::Prepare(offer.clone())],
        (None, _) => Vec::new(),
    }
}

/// A launch that was asked for is asked for again until EC2 has answered, even if nobody wants it any more: only so is
/// it known what has to be terminated.
fn launching(claim: &mut Claim, seen: &Seen, limits: &Limits, now: Time) -> Vec<Action> {
    let Some(launch) = claim.launch.as_mut() else { return go(claim, Phase::Planned, now) };
    let token = &launch.request.client_token;
    let shown = seen.cloud.iter().flat_map(|sight| &sight.instances);
    if let Some(instance) = shown.into_iter().find(|instance| instance.client_token == *token) {
        return take_instance(claim, &instance.clone(), now);
    }
    if claim.why.is_none() {
        let late = now.since(claim.since) >= limits.launch;
        claim.why = seen.end.clone().or(late.then_some(Why::TimeOut(Phase::Launching)));
    }
    if launch.tries == 0 && claim.why.is_some() {
        return go(claim, Phase::Terminating, now);
    }
    // Other bytes under the same token could make a second instance, or hide the first.
    if launch.request.digest() != launch.digest {
        let why = "the request was changed after it was written down";
        return end(claim, Phase::Terminating, Why::Refused(why.to_owned()), now);
    }
    let due = launch.asked.is_none_or(|asked| now < asked || now.since(asked) >= limits.pause(launch.tries));
    if !due || seen.silent {
        return Vec::new();
    }
    launch.tries += 1;
    launch.asked = Some(now);
    vec![Action::Launch(Box::new(launch.request.clone()))]
}

fn joining(claim: &mut Claim, seen: &Seen, limits: &Limits, now: Time) -> Vec<Action> {
    if let Some(why) = claim.why.clone().or(seen.end.clone()).or(trouble(claim, seen, limits, now)) {
        return end(claim, Phase::Terminating, why, now);
    }
    if let Some(node) = own_node(claim, seen) {
        if node.ready {
            // The same moment as `since`, for as long as nothing has run there: `Claim::is_unused`.
            claim.idle_since = node.pods.is_empty().then_some(now);
            return go(claim, Phase::Ready, now);
        }
        if claim.phase != Phase::Registered {
            return go(claim, Phase::Registered, now);
        }
    } else if claim.phase == Phase::Launched && state(claim, seen) == Some(State::Running) {
        return go(claim, Phase::Running, now);
    }
    let in_phase = match claim.phase {
        Phase::Launched => now.since(claim.since) >= limits.pending,
        Phase::Running => now.since(claim.since) >= limits.join,
        _ => false,
    };
    let in_all = claim.launched.is_some_and(|launched| now.since(launched) >= limits.ready);
    // Only somebody who sees both EC2 and Kubernetes may judge; without EC2 the time-out waits for the next look.
    if seen.cloud.is_some() && (in_phase || in_all) {
        let phase = claim.phase;
        return end(claim, Phase::Terminating, Why::TimeOut(phase), now);
    }
    Vec::new()
}

fn ready(claim: &mut Claim, seen: &Seen, limits: &Limits, now: Time) -> Vec<Action> {
    if let Some(why) = trouble(claim, seen, limits, now) {
        return end(claim, Phase::Terminating, why, now);
    }
    let node = own_node(claim, seen);
    if node.is_some_and(|node| node.notice) {
        return end(claim, Phase::Draining, Why::Notice, now);
    }
    let is_ready = node.is_some_and(|node| node.ready);
    let is_idle = node.is_some_and(|node| node.pods.is_empty());
    hold(&mut claim.unready_since, !is_ready, now);
    hold(&mut claim.nodeless_since, node.is_none(), now);
    hold(&mut claim.idle_since, is_idle, now);
    hold(&mut claim.unneeded_since, seen.unneeded, now);
    // A kubelet makes its Node once, when it starts: nobody can use this instance any more.
    if claim.nodeless_since.is_some_and(|since| now.since(since) >= limits.missing) {
        return end(claim, Phase::Terminating, Why::Deleted, now);
    }
    // While the line is cut all nodes look broken, and they come back with it.
    if seen.blamed && claim.unready_since.is_some_and(|since| now.since(since) >= limits.unready) {
        return end(claim, Phase::Draining, Why::Broken, now);
    }
    // Whoever decided may not have known what is seen now: a node that has got pods is not empty any more.
    let holds = |why: &Why| match why {
        Why::Empty => claim.idle_since.is_some(),
        Why::Unneeded => claim.unneeded_since.is_some(),
        _ => true,
    };
    match seen.end.clone().filter(holds) {
        Some(why) => end(claim, Phase::Draining, why, now),
        None => Vec::new(),
    }
}

/// Takes in what came of an action.
pub fn answered(claim: &Claim, answer: Answer, now: Time) -> Claim {
    let mut claim = claim.clone();
    match answer {
        Answer::Prepared(offer, request) => {
            claim.attempt += 1;
            claim.launch = Some(Launch::new(offer, *request));
            go(&mut claim, Phase::Launching, now);
        }
        Answer::Launched(instance) => {
            take_instance(&mut claim, &instance, now);
        }
        Answer::Refused(error) => refused(&mut claim, &error, now),
        Answer::Unwritten(why) => drop(end(&mut claim, Phase::Terminating, Why::Refused(why), now)),
        Answer::Dropped => {
            go(&mut claim, Phase::Gone, now);
        }
    }
    claim
}

/// EC2 gives or shows the instance of the present attempt. If that has ended already, the token is used up.
fn take_instance(claim: &mut Claim, instance: &Instance, now: Time) -> Vec<Action> {
    if instance.state.is_ending() {
        claim.former.insert(instance.id.clone());
        claim.launch = None;
        return match claim.why {
            None => go(claim, Phase::Planned, now),
            Some(_) => go(claim, Phase::Terminating, now),
        };
    }
    if let Some(launch) = &mut claim.launch {
        launch.instance = Some(instance.id.clone());
    }
    claim.address.clone_from(&instance.address);
    claim.launched = Some(now);
    go(claim, Phase::Launched, now)
}

fn refused(claim: &mut Claim, error: &CloudError, now: Time) {
    match error.kind {
        // Again, the same.
        Kind::Ambiguous | Kind::Throttled | Kind::Expired | Kind::NotFound => {}
        // The token was looked up before capacity was: no try of this attempt has made an instance; or the one that it made
        // has ended, so long ago that EC2 names it no more.
        Kind::Capacity | Kind::FullSubnet | Kind::Quota | Kind::Limit | Kind::TokenUsedUp => {
            claim.launch = None;
            match claim.why {
                None => go(claim, Phase::Planned, now),
                Some(_) => go(claim, Phase::Terminating, now),
            };
        }
        Kind::Denied | Kind::Invalid | Kind::Mismatch => {
            // Rights and parameters are looked at before the token: an earlier try may have made an instance.
            let first = claim.launch.as_ref().is_some_and(|launch| launch.tries == 1);
            if first && error.kind != Kind::Mismatch {
                claim.launch = None;
            }
            end(claim, Phase::Terminating, Why::Refused(error.to_string()), now);
        }
    }
}

/// Whether the instance ended without us, or is lost: missed in two looks that are far enough apart.
pub(super) fn trouble(claim: &mut Claim, seen: &Seen, limits: &Limits, now: Time) -> Option<Why> {
    let sight = seen.cloud.as_ref()?;
    let id = claim.instance()?.to_owned();
    match sight.instances.iter().find(|instance| instance.id == id) {
        Some(instance) => {
            claim.missing_since = None;
            matches!(
                instance.state,
                State::ShuttingDown | State::Terminated | State::Stopping | State::Stopped
            )
            .then(|| Why::Died(instance.reason.clone().unwrap_or_else(|| format!("{:?}", instance.state))))
        }
        None => {
            let since = *claim.missing_since.get_or_insert(now);
            (now.since(since) >= limits.missing).then_some(Why::Lost)
        }
    }
}

fn state(claim: &Claim, seen: &Seen) -> Option<State> {
    let id = claim.instance()?;
    let sight = seen.cloud.as_ref()?;
    sight.instances.iter().find(|instance| instance.id == id).map(|instance| instance.state)
}

/// The claim's Node, if it is this instance's and not that of an earlier attempt.
pub(super) fn own_node<'a>(claim: &Claim, seen: &'a Seen) -> Option<&'a NodeSeen> {
    let id = claim.instance()?;
    seen.node.as_ref().filter(|node| node.provider_id.rsplit('/').next() == Some(id))
}

/// Keeps since when something is so.
pub(super) fn hold(since: &mut Option<Time>, is_so: bool, now: Time) {
    *since = if is_so { Some(since.unwrap_or(now).min(now)) } else { None };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::burst::{
        cloud::{Order, Template, UserData},
        offer::{Architecture, Capacity, Money, Offer},
    };

    /// One whose launch was asked for, and not answered.
    fn asked() -> Claim {
        let mut template = Template::bare("uid");
        template.subnets.insert("a".into(), "subnet-1".into());
        template.images.insert(Architecture::Arm64, "ami-1".into());
        let (instance_type, zone, data) =
            ("m7g.large".into(), "a".into(), UserData::new(Vec::new()).unwrap());
        let offer = Offer { instance_type, zone, capacity: Capacity::Spot, price: Money(1) };
        let request = template.request("burst-1", 1, &offer, Architecture::Arm64, data, Time(0)).unwrap();
        let claim = Claim::new("burst-1".into(), vec![], vec![], Time(0));
        let mut claim = answered(&claim, Answer::Prepared(offer, Box::new(request)), Time(0));
        if let Some(launch) = &mut claim.launch {
            (launch.tries, launch.asked) = (3, Some(Time(0)));
        }
        claim
    }

    #[test]
    fn a_token_whose_instance_is_forgotten_makes_room_for_the_next_attempt() {
        let code = "IdempotentInstanceTerminated";
        let error = || Answer::Refused(CloudError::answered(Order::RunInstances, 400, code, ""));
        let after = answered(&asked(), error(), Time(9));
        assert_eq!((after.phase, after.attempt, after.launch, after.why), (Phase::Planned, 1, None, None));
        let unwanted = Claim { why: Some(Why::TimeOut(Phase::Launching)), ..asked() };
        let after = answered(&unwanted, error(), Time(9));
        assert_eq!((after.phase, after.launch), (Phase::Terminating, None));
    }

    #[test]
    fn while_ec2_leaves_launches_unanswered_no_other_is_asked_for() {
        let actions = |claim: &Claim, silent: bool| {
            let offer = claim.launch.as_ref().map(|launch| launch.offer.clone());
            let seen = Seen { offer, silent, ..Seen::default() };
            next(claim, &seen, &Limits::default(), Time(60_000)).actions
        };
        let launching = asked();
        let planned = Claim { phase: Phase::Planned, ..asked() };
        assert!(matches!(actions(&launching, false)[..], [Action::Launch(_)]));
        assert!(matches!(actions(&planned, false)[..], [Action::Prepare(_)]));
        assert_eq!((actions(&launching, true), actions(&planned, true)), (vec![], vec![]));
    }

    #[test]
    fn a_clock_that_was_set_back_holds_no_limit_up() {
        let (before, now) = (Time(9_000_000), Time(1_000));
        let mut claim = Claim::new("burst-1".into(), vec![], vec![], before);
        (claim.phase, claim.since, claim.launched) = (Phase::Registered, before, Some(before));
        let next = next(&claim, &Seen::default(), &Limits::default(), now).claim;
        assert_eq!((next.phase, next.since, next.launched), (Phase::Registered, now, Some(now)));
    }
}
