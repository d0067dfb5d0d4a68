//! Which rented nodes are given back, and how many at once. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    burst::{
        claim::{Claim, Phase, Why},
        time::Time,
    },
    cluster::BEYOND,
};

/// How long a node takes to be drained, at most.
const DRAIN: Duration = Duration::from_secs(30 * 60);
/// How long before they would end themselves nodes are drained, however many: a drain, its end, and some time to spare.
const LAST: Duration = Duration::from_secs(45 * 60);

/// When nodes are given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Nothing has run on it for this long.
    pub empty: Duration,
    /// Its pods would have had room elsewhere for this long,
    pub unneeded: Duration,
    /// and no node was added for this long,
    pub after_add: Duration,
    /// and it is this old.
    pub minimum_life: Duration,
    /// Then another takes its place.
    pub maximum_life: Duration,
    /// How long past that it may wait for the other to be ready.
    pub replacement: Duration,
    /// Empty nodes that go at the same time.
    pub empty_at_once: usize,
    /// Others that are drained at the same time.
    pub drained_at_once: usize,
}

impl Default for Policy {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            empty: minutes(5),
            unneeded: minutes(10),
            after_add: minutes(10),
            minimum_life: minutes(15),
            maximum_life: minutes(24 * 60),
            replacement: minutes(60),
            empty_at_once: 10,
            drained_at_once: 1,
        }
    }
}

/// Which claims are wanted no more, by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unwanted {
    /// Everything goes.
    pub all: bool,
    /// By name: a person asked for it.
    pub removed: BTreeSet<String>,
    /// The money of the month is spent.
    pub spent: bool,
    /// By name: its pods can be had for less, when another node has taken its place.
    pub dear: BTreeSet<String>,
}

/// The claims that should end now, and why.
pub fn endings(
    claims: &[&Claim],
    unwanted: &Unwanted,
    added: Option<Time>,
    policy: &Policy,
    now: Time,
) -> BTreeMap<String, Why> {
    let mut endings = BTreeMap::new();
    let open = || claims.iter().filter(|claim| claim.why.is_none() && claim.phase <= Phase::Ready);
    let draining = |empty: bool| {
        let of_kind = |claim: &&&Claim| match &claim.why {
            Some(Why::Empty) => empty,
            Some(Why::Unneeded | Why::Expired) => !empty,
            _ => false,
        };
        claims.iter().filter(|claim| claim.phase == Phase::Draining).filter(of_kind).count()
    };
    let mut empty_left = policy.empty_at_once.saturating_sub(draining(true));
    let mut drained_left = policy.drained_at_once.saturating_sub(draining(false));
    for claim in open() {
        let why = if unwanted.all || unwanted.removed.contains(&claim.name) {
            Some(Why::Removed)
        } else if unwanted.spent {
            Some(Why::Money)
        } else if is_double(claim, claims) {
            Some(Why::Unneeded)
        } else if claim.phase != Phase::Ready {
            None
        } else if !is_kept(claim) && lasts(claim.idle_since, policy.empty, now) && empty_left > 0 {
            empty_left -= 1;
            Some(Why::Empty)
        } else {
            let is_dear = unwanted.dear.contains(&claim.name);
            let is_last = lasts(claim.launched, own_end(claim, policy).saturating_sub(LAST), now);
            let why = worth_draining(claim, claims, is_dear, added, policy, now)
                .filter(|why| drained_left > 0 || *why == Why::Expired && is_last);
            drained_left = drained_left.saturating_sub(usize::from(why.is_some()));
            why
        };
        endings.extend(why.map(|why| (claim.name.clone(), why)));
    }
    endings
}

/// Planned for pods that another claim on its way has all of, because two controllers led for a moment: whichever got
/// further goes on, or else the older.
fn is_double(claim: &Claim, claims: &[&Claim]) -> bool {
    let order = |it: &Claim| (std::cmp::Reverse(it.phase), it.created, it.name.clone());
    let covers = |other: &&&Claim| {
        order(other) < order(claim)
            && other.phase < Phase::Ready
            && other.is_capacity()
            && claim.pods.iter().all(|pod| other.pods.contains(pod))
    };
    claim.phase == Phase::Planned
        && claim.replaces.is_none()
        && !claim.pods.is_empty()
        && claims.iter().any(|other| covers(&other))
}

fn worth_draining(
    claim: &Claim,
    claims: &[&Claim],
    is_dear: bool,
    added: Option<Time>,
    policy: &Policy,
    now: Time,
) -> Option<Why> {
    let replaced = claims.iter().any(|other| {
        other.replaces.as_ref() == Some(&claim.name) && other.phase == Phase::Ready && other.why.is_none()
    });
    if has_expired(claim, policy, now) {
        // They go one by one: the more there are, the sooner the first has to.
        let expired = claims.iter().filter(|claim| has_expired(claim, policy, now)).count();
        let drains = DRAIN.saturating_mul(u32::try_from(expired).unwrap_or(u32::MAX));
        let latest = own_end(claim, policy).saturating_sub(drains);
        let late = lasts(claim.launched, latest.min(life(claim, policy) + policy.replacement), now);
        return (replaced || late).then_some(Why::Expired);
    }
    // Another was rented for what runs on it: now they move, whatever was added since.
    let added = added.filter(|_| !replaced);
    (is_ripe(claim, added, policy, now) && (replaced || !is_dear)).then_some(Why::Unneeded)
}

/// Whether it has not been needed for long enough, and everything else has been quiet for long enough, too.
pub fn is_ripe(claim: &Claim, added: Option<Time>, policy: &Policy, now: Time) -> bool {
    claim.phase == Phase::Ready
        && claim.why.is_none()
        && !is_kept(claim)
        && lasts(claim.unneeded_since, policy.unneeded, now)
        && lasts(claim.launched, policy.minimum_life, now)
        && added.is_none_or(|added| now < added || now.since(added) >= policy.after_add)
}

/// Whether a person wants it, used or not.
fn is_kept(claim: &Claim) -> bool {
    claim.workers().next().is_some()
}

/// Whether it is time that another takes its place.
pub fn has_expired(claim: &Claim, policy: &Policy, now: Time) -> bool {
    claim.phase == Phase::Ready && lasts(claim.launched, life(claim, policy), now)
}

/// How old it becomes: no older than was meant when it was launched, for it ends itself by that.
fn life(claim: &Claim, policy: &Policy) -> Duration {
    claim.lifetime.map_or(policy.maximum_life, |own| own.min(policy.maximum_life))
}

/// At which age it ends itself, whatever runs there.
fn own_end(claim: &Claim, policy: &Policy) -> Duration {
    claim.lifetime.unwrap_or(policy.maximum_life) + BEYOND
}

fn lasts(since: Option<Time>, duration: Duration, now: Time) -> bool {
    since.is_some_and(|since| now.since(since) >= duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn ready(name: &str) -> Claim {
        let mut claim = Claim::new(name.into(), vec![], vec![format!("default/{name}")], Time(0));
        claim.phase = Phase::Ready;
        claim.launched = Some(Time(0));
        claim
    }

    fn ends(claims: &[Claim], unwanted: &Unwanted, added: Option<Time>, minute: u64) -> Vec<(String, Why)> {
        let claims: Vec<&Claim> = claims.iter().collect();
        let endings = endings(&claims, unwanted, added, &Policy::default(), Time(minute * MINUTE));
        endings.into_iter().collect()
    }

    #[test]
    fn an_empty_node_goes_after_five_minutes_and_ten_go_at_once() {
        let mut claims: Vec<Claim> = (0..12).map(|n| ready(&format!("burst-{n:02}"))).collect();
        for claim in &mut claims {
            claim.idle_since = Some(Time(10 * MINUTE));
        }
        let none = Unwanted::default();
        assert_eq!(ends(&claims, &none, None, 14), []);
        assert_eq!(ends(&claims, &none, None, 15).len(), 10);
        for claim in &mut claims[..4] {
            claim.phase = Phase::Draining;
            claim.why = Some(Why::Empty);
        }
        assert_eq!(ends(&claims, &none, None, 15).len(), 6);
    }

    #[test]
    fn nodes_that_are_not_needed_go_one_by_one_and_never_young_or_soon_after_another_came() {
        let mut claims = vec![ready("burst-1"), ready("burst-2")];
        for claim in &mut claims {
            claim.unneeded_since = Some(Time(2 * MINUTE));
        }
        let none = Unwanted::default();
        assert_eq!(ends(&claims, &none, None, 11), [], "10 minutes unneeded");
        assert_eq!(ends(&claims, &none, None, 14), [], "15 minutes old");
        assert_eq!(ends(&claims, &none, Some(Time(10 * MINUTE)), 19), [], "10 minutes after an add");
        assert_eq!(ends(&claims, &none, Some(Time(10 * MINUTE)), 20), [("burst-1".into(), Why::Unneeded)]);
        claims[0].phase = Phase::Draining;
        claims[0].why = Some(Why::Unneeded);
        assert_eq!(ends(&claims, &none, None, 30), [], "one at a time");
    }

    #[test]
    fn an_old_node_goes_when_another_took_its_place_or_an_hour_later() {
        let mut claims = vec![ready("burst-1"), ready("burst-2")];
        claims[1].replaces = Some("burst-1".into());
        claims[1].launched = Some(Time(24 * 60 * MINUTE));
        claims[1].phase = Phase::Running;
        let none = Unwanted::default();
        assert_eq!(ends(&claims, &none, None, 24 * 60), []);
        assert_eq!(ends(&claims, &none, None, 25 * 60), [("burst-1".into(), Why::Expired)]);
        claims[1].phase = Phase::Ready;
        assert_eq!(ends(&claims, &none, None, 24 * 60), [("burst-1".into(), Why::Expired)]);
        assert_eq!(ends(&claims, &none, None, 24 * 60 - 1), []);
    }

    #[test]
    fn the_more_old_nodes_there_are_the_sooner_the_first_is_drained_and_at_last_all_are() {
        let mut claims: Vec<Claim> = (0..5).map(|n| ready(&format!("burst-{n}"))).collect();
        let none = Unwanted::default();
        let count = |claims: &[Claim], minute: u64| ends(claims, &none, None, minute).len();
        let day = 24 * 60;
        assert_eq!(
            (count(&claims[..3], day + 29), count(&claims[..3], day + 30)),
            (0, 1),
            "three times 30 minutes"
        );
        assert_eq!((count(&claims, day - 1), count(&claims, day)), (0, 1), "never before their time");
        claims[0].phase = Phase::Draining;
        claims[0].why = Some(Why::Expired);
        assert_eq!(count(&claims, day + 74), 0, "one at a time");
        assert_eq!(count(&claims, day + 75), 4, "45 minutes before they end themselves");
    }

    #[test]
    fn a_node_goes_by_the_lifetime_that_it_was_launched_with_unless_it_is_shorter_now() {
        let hours = |hours: u64| Duration::from_secs(3600 * hours);
        let goes = |own: Option<Duration>, now: u64| {
            let mut claim = ready("burst-1");
            claim.lifetime = own;
            let policy = Policy { maximum_life: hours(now), ..Policy::default() };
            let hour = |hour: &u64| {
                !endings(&[&claim], &Unwanted::default(), None, &policy, Time(hour * 60 * MINUTE)).is_empty()
            };
            (1..200).find(hour)
        };
        assert_eq!(goes(Some(hours(24)), 72), Some(25));
        assert_eq!(goes(Some(hours(72)), 24), Some(25));
        assert_eq!(goes(None, 72), Some(73), "as long as nobody kept it");
    }

    #[test]
    fn a_node_that_is_too_dear_stays_until_another_is_ready_and_then_goes_at_once() {
        let mut claims = vec![ready("burst-1"), ready("burst-2")];
        claims[0].unneeded_since = Some(Time(0));
        let dear = Unwanted { dear: ["burst-1".into()].into(), ..Unwanted::default() };
        let (policy, minute) = (Policy::default(), |minute: u64| Time(minute * MINUTE));
        assert!(
            is_ripe(&claims[0], None, &policy, minute(15)) && !is_ripe(&claims[0], None, &policy, minute(14))
        );
        assert!(!is_ripe(&claims[0], Some(minute(10)), &policy, minute(19)), "10 minutes after an add");
        assert_eq!(ends(&claims, &dear, None, 60), [], "nothing has taken its place");
        claims[1].replaces = Some("burst-1".into());
        claims[1].phase = Phase::Running;
        assert_eq!(ends(&claims, &dear, Some(Time(59 * MINUTE)), 60), []);
        claims[1].phase = Phase::Ready;
        let unneeded = [("burst-1".into(), Why::Unneeded)];
        assert_eq!(ends(&claims, &dear, Some(Time(59 * MINUTE)), 60), unneeded);
        // Its pods have room on the new one: it is not dear any more, but not needed.
        assert_eq!(ends(&claims, &Unwanted::default(), Some(Time(59 * MINUTE)), 60), unneeded);
    }

    #[test]
    fn a_worker_that_a_person_wants_stays_until_it_is_too_old_or_removed() {
        let mut kept = ready("burst-1");
        kept.pods = vec!["worker-1".into()];
        (kept.idle_since, kept.unneeded_since) = (Some(Time(0)), Some(Time(0)));
        let none = Unwanted::default();
        assert_eq!(ends(&[kept.clone()], &none, None, 600), []);
        assert_eq!(ends(&[kept.clone()], &none, None, 25 * 60), [("burst-1".into(), Why::Expired)]);
        let one = Unwanted { removed: ["burst-1".into()].into(), ..none };
        assert_eq!(ends(&[kept], &one, None, 1), [("burst-1".into(), Why::Removed)]);
    }

    #[test]
    fn persons_and_money_end_everything_at_once() {
        let mut claims = vec![ready("burst-1"), ready("burst-2"), ready("burst-3")];
        claims[2].phase = Phase::Launching;
        let all = Unwanted { all: true, ..Unwanted::default() };
        assert_eq!(ends(&claims, &all, None, 1).len(), 3);
        let spent = Unwanted { spent: true, ..Unwanted::default() };
        assert!(ends(&claims, &spent, None, 1).iter().all(|(_, why)| *why == Why::Money));
        let one = Unwanted { removed: ["burst-2".into()].into(), ..Unwanted::default() };
        assert_eq!(ends(&claims, &one, None, 1), [("burst-2".into(), Why::Removed)]);
    }

    #[test]
    fn of_two_claims_for_the_same_pods_one_is_launched() {
        let (mut old, mut young) = (ready("burst-1"), ready("burst-2"));
        young.pods = old.pods.clone();
        (young.phase, young.created) = (Phase::Planned, Time(1));
        old.phase = Phase::Launching;
        let none = Unwanted::default();
        assert_eq!(ends(&[old.clone(), young.clone()], &none, None, 1), [("burst-2".into(), Why::Unneeded)]);
        old.phase = Phase::Planned;
        assert_eq!(ends(&[old.clone(), young.clone()], &none, None, 1), [("burst-2".into(), Why::Unneeded)]);
        (old.phase, old.created) = (Phase::Launching, Time(2));
        assert_eq!(ends(&[old.clone(), young.clone()], &none, None, 1), [("burst-2".into(), Why::Unneeded)]);
        old.phase = Phase::Ready;
        assert_eq!(ends(&[old.clone(), young.clone()], &none, None, 1), [], "they wait again");
        old.phase = Phase::Launching;
        young.replaces = Some("burst-1".into());
        assert_eq!(ends(&[old, young], &none, None, 1), []);
    }
}
