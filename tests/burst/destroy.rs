//! `destroy` leaves nothing, or says what it leaves.

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use hoist::burst::{
    controller::{Controller, Surroundings},
    destroy::{Living, Remaining, destroy},
};

use super::{
    gates,
    sim::{Bed, bed::now, cluster},
};

/// Worlds in the middle of something.
fn busy(seed: u64) -> Bed {
    let mut bed = Bed::new(seed);
    {
        let mut world = bed.world();
        (world.faults.cut_after, world.faults.leak, world.faults.lag) = (30, 30, 3_000);
    }
    bed.add_pods(9, Duration::from_secs(36_000));
    let turns = bed.world().rng.u64(1..60);
    bed.turns(turns * 3, 3);
    bed
}

fn destroyed(bed: &mut Bed, with_claims: bool, minutes: u64) -> Remaining {
    let around: Surroundings = cluster::all(bed.handle());
    let mut controller = Controller::new(around.clone(), bed.settings.clone(), "destroy".into());
    let handle = bed.handle();
    let living = Living { controller: &mut controller, checks: &handle, records: &handle };
    let living = with_claims.then_some(living);
    let patience = Duration::from_secs(minutes * 60);
    now(destroy(around.cloud.as_ref(), living, around.clock.as_ref(), patience)).unwrap()
}

#[test]
fn nothing_is_left_whatever_was_going_on() {
    for seed in 0..60 {
        let mut bed = busy(seed);
        let remaining = destroyed(&mut bed, true, 60);
        if !remaining.is_nothing() {
            gates::fail(&bed.world(), &format!("{remaining:?}"));
        }
        gates::nothing_is_left(&bed.world());
    }
}

/// Begins to destroy, and is killed at a place of it. Whether it got that far.
fn killed(bed: &Bed, place: u32) -> bool {
    let handle = bed.handle().stopped_at(place);
    let around = cluster::all(handle.clone());
    let mut controller = Controller::new(around.clone(), bed.settings.clone(), "killed".into());
    let living = Living { controller: &mut controller, checks: &handle, records: &handle };
    let patience = Duration::from_secs(3600);
    let mut running = Box::pin(destroy(around.cloud.as_ref(), Some(living), around.clock.as_ref(), patience));
    loop {
        match running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(remaining) => return !remaining.unwrap().is_nothing(),
            Poll::Pending if handle.is_stopped() => return true,
            Poll::Pending => {}
        }
    }
}

#[test]
fn one_that_is_killed_at_any_place_is_ended_by_the_next() {
    for place in 0..5000 {
        let mut bed = Bed::new(u64::from(place));
        bed.world().faults.leak = 50;
        bed.add_pods(4, Duration::from_secs(36_000));
        bed.turns(120, 5);
        assert_eq!(bed.world().alive().count(), 2);
        // The lease of the controller before it is over by then.
        bed.world().pass(20_000);
        if !killed(&bed, place) {
            assert!(place > 100, "there are more places than {place}");
            gates::nothing_is_left(&bed.world());
            return;
        }
        gates::hold(&bed.world());
        let remaining = destroyed(&mut bed, true, 60);
        if !remaining.is_nothing() {
            gates::fail(&bed.world(), &format!("place {place}: {remaining:?}"));
        }
        gates::nothing_is_left(&bed.world());
    }
    panic!("it does not end");
}

#[test]
fn where_the_cluster_is_no_more_the_tags_are_enough() {
    for seed in 0..20 {
        let mut bed = busy(seed);
        assert!(destroyed(&mut bed, false, 60).is_nothing());
        let world = bed.world();
        assert_eq!((world.alive().count(), world.disks.len()), (0, 0));
    }
}

#[test]
fn what_cannot_be_ended_is_told() {
    let mut bed = busy(1);
    bed.turns(120, 5);
    bed.world().faults.denied.insert("terminate");
    let remaining = destroyed(&mut bed, true, 5);
    assert!(!remaining.is_nothing() && !remaining.claims.is_empty() && !remaining.instances.is_empty());
    assert!(remaining.troubles.iter().any(|it| it.contains("TerminateInstances")), "{remaining:?}");
    bed.world().faults.denied.clear();
    assert!(destroyed(&mut bed, true, 60).is_nothing(), "and the next one ends it");
}

#[test]
fn another_controller_that_leads_is_named() {
    let mut bed = busy(1);
    let around = cluster::all(bed.handle());
    let mut other = Controller::new(around.clone(), bed.settings.clone(), "destroy".into());
    let before = bed.world().alive().count();
    assert!(before > 0);
    // Not long enough for the lease to end.
    let patience = Duration::from_secs(10);
    let handle = bed.handle();
    let living = Living { controller: &mut other, checks: &handle, records: &handle };
    let remaining = now(destroy(around.cloud.as_ref(), Some(living), around.clock.as_ref(), patience));
    let remaining = remaining.unwrap();
    assert!(!remaining.is_nothing());
    assert_eq!(bed.world().alive().count(), before, "the other would rent them anew");
    bed.turn().unwrap();
    assert!(!remaining.claims.is_empty(), "{remaining:?}");
}
