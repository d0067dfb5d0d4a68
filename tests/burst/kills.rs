//! The controller is killed at every place of the turns in which something ends. Whoever goes on from there loses nothing: after
//! two collections nothing runs that no claim knows, and at the end nothing is left.

use std::time::Duration;

use hoist::burst::{cloud::State, quota::Bucket, time::Time};

use super::{
    cases::{HOUR, running},
    gates,
    sim::{
        Bed,
        world::{Disk, Machine},
    },
};

/// Seconds between two turns.
const STEP: u64 = 5;
/// Two collections of what belongs to nobody, by a controller that has just begun.
const COLLECTIONS: u64 = 330;

fn has_said(bed: &Bed, what: &str) -> bool {
    bed.world().trace.iter().any(|line| line.contains(what))
}

/// Kills controllers in the first turn that says this, at one place after the other, in worlds that are all the same until then.
fn everywhere(said: &str, make: fn() -> Bed, afterwards: impl Fn(&Bed)) {
    let mut bed = make();
    let mut turns = 0;
    while !has_said(&bed, said) {
        bed.turns(STEP, STEP);
        turns += 1;
        assert!(turns < 1000, "never: {said}");
    }
    for place in 0..1000 {
        let mut bed = make();
        bed.turns((turns - 1) * STEP, STEP);
        assert!(!has_said(&bed, said));
        bed.world().pass(STEP * 1000);
        if !bed.killed_turn(place) {
            assert!(has_said(&bed, said) && place > 10, "a turn has more places than {place}");
            return;
        }
        bed.turns(COLLECTIONS, STEP);
        gates::hold(&bed.world());
        afterwards(&bed);
        bed.world().pods.clear();
        bed.turns(1800, STEP);
        gates::nothing_is_left(&bed.world());
        gates::calls_are_bounded(&bed.world());
    }
    panic!("a turn does not end");
}

/// Two pods that end soon on one node, whose disk and interface outlive it.
fn ending() -> Bed {
    let mut bed = Bed::new(1);
    bed.world().faults.leak = 100;
    bed.add_pods(2, Duration::from_secs(200));
    bed.turns(120, STEP);
    bed
}

#[test]
fn of_a_drain_and_an_end() {
    for said in [
        "Ready -> Draining Empty",
        "Draining -> Terminating Empty",
        "TerminateInstances i-",
        "DeleteVolume vol-",
        "DeleteNetworkInterface eni-",
        "Terminating -> Gone",
    ] {
        everywhere(said, ending, |bed| assert_eq!(bed.world().machines.len(), 1, "no other was rented"));
    }
}

/// EC2 takes a node back whose pods stay for hours.
fn noticed() -> Bed {
    let bed = running(2, 5 * HOUR);
    {
        let mut world = bed.world();
        let now = world.now;
        world.machines.values_mut().for_each(|machine| machine.notice_at = Some(now));
    }
    bed
}

#[test]
fn of_a_replacement_after_a_notice() {
    for said in ["Ready -> Draining Notice", "Draining -> Terminating Notice"] {
        everywhere(said, noticed, |bed| {
            let world = bed.world();
            if world.machines.len() != 2 || !gates::instances_equal_claims(&world) {
                gates::fail(&world, &format!("{said}: one takes its place"));
            }
        });
    }
}

/// An instance and its disk that no claim knows, beside a node that is needed.
fn orphaned() -> Bed {
    let bed = running(2, 5 * HOUR);
    {
        let mut world = bed.world();
        let now = world.now;
        let mut instance = world.machines.values().next().unwrap().instance.clone();
        (instance.id, instance.claim) = ("i-orphan".into(), None);
        (instance.client_token, instance.launched) = ("x".into(), Time(now));
        let orphan = Machine {
            instance,
            interface: None,
            zone: "a".to_owned(),
            spot: false,
            bucket: Bucket::Standard,
            history: vec![(now, State::Running, None)],
            hidden_until: 0,
            joins_at: None,
            notice_at: None,
        };
        world.machines.insert("i-orphan".into(), orphan);
        let machine = Some("i-orphan".into());
        let disk = Disk { claim: None, machine, is_volume: true, leaks: true, free: false };
        world.disks.insert("vol-orphan".into(), disk);
    }
    bed
}

#[test]
fn of_a_collection() {
    for said in ["TerminateInstances i-orphan", "DeleteVolume vol-orphan"] {
        everywhere(said, orphaned, |bed| {
            let world = bed.world();
            if world.disks.contains_key("vol-orphan") || !gates::instances_equal_claims(&world) {
                gates::fail(&world, &format!("{said}: what belongs to nobody is gone, and nothing else"));
            }
        });
    }
}
