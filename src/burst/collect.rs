//! Finds what carries the cluster's tag and belongs to no claim. Pure.
//!
//! The cloud is listed before the claims: a claim is written before its launch, so whatever EC2 shows has one by then.

use std::{collections::BTreeMap, time::Duration};

use super::{
    claim::{Claim, Phase},
    cloud::{Instance, Leftover, State},
    gateway,
    time::Time,
};

/// What belongs to nobody, and long enough.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orphans {
    /// To be terminated.
    pub instances: Vec<String>,
    /// To be deleted; those in use go with their instance, or after it.
    pub leftovers: Vec<Leftover>,
}

/// What collection remembers between two looks. A restart begins anew: two looks and no less.
#[derive(Debug, Clone, Default)]
pub struct Collection {
    seen: BTreeMap<String, Time>,
    looks: u32,
    last: Option<Time>,
}

impl Collection {
    /// How long something has to be unclaimed.
    pub const AGE: Duration = Duration::from_secs(5 * 60);
    const QUICK: Duration = Duration::from_secs(10);
    const SLOW: Duration = Duration::from_secs(60);

    /// Whether it is time to look: every 10 s for 20 times, then every 60 s.
    pub fn due(&self, now: Time) -> bool {
        let pause = if self.looks < 20 { Self::QUICK } else { Self::SLOW };
        self.last.is_none_or(|last| now < last || now.since(last) >= pause)
    }

    /// Takes in a look, and tells what was unclaimed in the one before, too, and for longer than [`Collection::AGE`]: an
    /// instance since EC2 made it, so that a controller which restarts often still collects; the rest since first seen.
    pub fn look(
        &mut self,
        instances: &[Instance],
        leftovers: &[Leftover],
        claims: &[&Claim],
        now: Time,
    ) -> Orphans {
        let instances: Vec<_> = instances
            .iter()
            .filter(|instance| instance.state != State::Terminated && !is_claimed(instance, claims))
            // Whoever keeps the gateway ends what has its name.
            .filter(|instance| instance.claim.as_deref() != Some(gateway::NAME))
            .collect();
        let leftovers: Vec<_> = leftovers.iter().filter(|leftover| !is_needed(leftover, claims)).collect();
        let ids = instances.iter().map(|instance| &instance.id).chain(leftovers.iter().map(|it| &it.id));
        let before = std::mem::take(&mut self.seen);
        self.seen = ids.map(|id| (id.clone(), before.get(id).map_or(now, |first| now.min(*first)))).collect();
        self.looks = self.looks.saturating_add(1);
        self.last = Some(now);
        let old = |since: Time| now.since(since) >= Self::AGE;
        Orphans {
            instances: instances
                .into_iter()
                .filter(|instance| before.contains_key(&instance.id))
                .filter(|instance| old(instance.launched) || old(self.seen[&instance.id]))
                .map(|instance| instance.id.clone())
                .collect(),
            leftovers: leftovers
                .into_iter()
                .filter(|leftover| before.contains_key(&leftover.id) && old(self.seen[&leftover.id]))
                .filter(|leftover| !leftover.in_use)
                .cloned()
                .collect(),
        }
    }
}

/// Whether a claim answers for it. While the instance of a claim runs, what belongs to that is in use; what is free is left of
/// an attempt before it.
fn is_needed(leftover: &Leftover, claims: &[&Claim]) -> bool {
    let of = claims.iter().find(|claim| leftover.claim.as_deref() == Some(&claim.name));
    of.is_some_and(|claim| {
        let runs = (Phase::Running..=Phase::Draining).contains(&claim.phase);
        leftover.in_use || !runs || claim.former.is_empty()
    })
}

/// Whether a claim answers for this instance: it is the one of its attempt, or the claim is being ended, which goes on
/// until everything with its tag is gone.
fn is_claimed(instance: &Instance, claims: &[&Claim]) -> bool {
    claims.iter().any(|claim| {
        let ending = claim.phase == Phase::Terminating && instance.claim.as_deref() == Some(&claim.name);
        let launch = claim.launch.as_ref();
        ending
            || launch.is_some_and(|launch| match &launch.instance {
                Some(id) => *id == instance.id,
                None => launch.request.client_token == instance.client_token,
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::burst::cloud::Resource;

    fn at(seconds: u64) -> Time {
        Time(1_000_000 + seconds * 1000)
    }

    fn instance(id: &str, claim: Option<&str>, launched: Time) -> Instance {
        let (state, claim) = (State::Running, claim.map(str::to_owned));
        Instance {
            id: id.into(),
            state,
            reason: None,
            launched,
            client_token: id.into(),
            address: None,
            claim,
        }
    }

    #[test]
    fn an_instance_without_a_claim_is_collected_at_the_second_look_and_not_before_five_minutes() {
        let mut collection = Collection::default();
        let orphan = [instance("i-1", Some("gone"), at(0))];
        assert_eq!(collection.look(&orphan, &[], &[], at(600)), Orphans::default(), "seen once");
        assert_eq!(collection.look(&orphan, &[], &[], at(610)).instances, ["i-1"]);
        let young = [instance("i-2", None, at(600))];
        for second in [610, 620, 899] {
            assert_eq!(collection.look(&young, &[], &[], at(second)), Orphans::default(), "{second}");
        }
        assert_eq!(collection.look(&young, &[], &[], at(900)).instances, ["i-2"]);
    }

    #[test]
    fn the_gateway_is_left_to_its_keeper() {
        let mut collection = Collection::default();
        let gateway = [instance("i-1", Some(gateway::NAME), at(0))];
        for second in [600, 1200] {
            assert_eq!(collection.look(&gateway, &[], &[], at(second)), Orphans::default());
        }
    }

    #[test]
    fn a_second_instance_of_a_living_claim_is_an_orphan_and_one_of_an_ending_claim_is_not() {
        let mut claim = Claim::new("burst-1".into(), vec![], vec![], at(0));
        claim.phase = Phase::Ready;
        let extra = [instance("i-2", Some("burst-1"), at(0))];
        let mut collection = Collection::default();
        collection.look(&extra, &[], &[&claim], at(600));
        assert_eq!(collection.look(&extra, &[], &[&claim], at(610)).instances, ["i-2"]);
        claim.phase = Phase::Terminating;
        assert_eq!(collection.look(&extra, &[], &[&claim], at(620)), Orphans::default());
    }

    #[test]
    fn leftovers_of_nobody_are_deleted_once_they_are_free() {
        let mut volume =
            Leftover { id: "vol-1".into(), resource: Resource::Volume, claim: None, in_use: true };
        let mut collection = Collection::default();
        collection.look(&[], &[volume.clone()], &[], at(0));
        assert_eq!(collection.look(&[], &[volume.clone()], &[], at(300)), Orphans::default());
        volume.in_use = false;
        assert_eq!(collection.look(&[], &[volume.clone()], &[], at(310)).leftovers, [volume.clone()]);
        let open = Claim::new("burst-1".into(), vec![], vec![], at(0));
        volume.claim = Some("burst-1".into());
        assert_eq!(collection.look(&[], &[volume], &[&open], at(320)), Orphans::default());
    }

    #[test]
    fn what_a_former_attempt_has_left_is_deleted_while_the_claim_lives() {
        let leftover = |id: &str, in_use| {
            let claim = Some("burst-1".to_owned());
            Leftover { id: id.into(), resource: Resource::Volume, claim, in_use }
        };
        let all = [leftover("vol-1", false), leftover("vol-2", true)];
        let deleted = |phase: Phase, former: &[&str]| -> Vec<String> {
            let mut claim = Claim::new("burst-1".into(), vec![], vec![], at(0));
            (claim.phase, claim.former) = (phase, former.iter().map(ToString::to_string).collect());
            let mut collection = Collection::default();
            collection.look(&[], &all, &[&claim], at(0));
            let looked = collection.look(&[], &all, &[&claim], at(300));
            looked.leftovers.into_iter().map(|it| it.id).collect()
        };
        assert_eq!(deleted(Phase::Ready, &["i-1"]), ["vol-1"]);
        assert_eq!(deleted(Phase::Launched, &["i-1"]), [""; 0], "its own disk is not attached yet");
        assert_eq!(deleted(Phase::Ready, &[]), [""; 0], "it is the first attempt");
    }

    #[test]
    fn looks_are_frequent_at_first() {
        let mut collection = Collection::default();
        assert!(collection.due(at(0)));
        for look in 0..20 {
            collection.look(&[], &[], &[], at(look * 10));
            assert!(!collection.due(at(look * 10 + 9)));
        }
        assert!(!collection.due(at(190 + 59)));
        assert!(collection.due(at(190 + 60)));
    }
}
