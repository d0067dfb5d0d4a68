//! Five hundred worlds, each with its own mixture of faults.

use std::time::Duration;

use hoist::burst::{offer::Capacity, quota::Bucket};

use super::{
    gates,
    sim::{Bed, Faults},
};

/// In two halves, for two cores.
const HALF: u64 = 250;

pub fn faults(bed: &Bed) -> Faults {
    let mut world = bed.world();
    let rng = &mut world.rng;
    // Each fault in about half of the worlds.
    let mut some = |most: u8| if rng.bool() { rng.u8(0..=most) } else { 0 };
    let mut faults = Faults {
        cut_after: some(40),
        cut_before: some(20),
        throttle: some(20),
        ledger: some(5),
        lag: u64::from(some(10)) * 1000,
        no_join: some(40),
        stillborn: some(20),
        leak: some(30),
        notices: some(50),
        hide: some(30),
        ..Faults::default()
    };
    let rules = ["m7g", " a ", "Spot", "c7g.large b OnDemand"];
    faults.short = rules.iter().filter(|_| some(2) == 2).map(|rule| (*rule).to_owned()).collect();
    if some(3) == 3 {
        faults.full.insert("b".into());
    }
    if some(3) == 3 {
        faults.quota.insert((Capacity::Spot, Bucket::Standard), 4);
    }
    if some(5) == 5 {
        faults.denied.insert("launch");
    }
    faults
}

/// Pods come and go, things fail, controllers are killed and paused, clocks jump. Then the faults end, and the pods.
fn run(seed: u64) -> Bed {
    let mut bed = Bed::new(seed);
    if seed.is_multiple_of(3) {
        bed.start();
    }
    let faults = faults(&bed);
    bed.world().say(format!("{faults:?}"));
    bed.world().faults = faults;
    // EC2 has no way to tell of an instance that it hides, and after a jump an hour may seem to have passed.
    let jumps = seed.is_multiple_of(5) && bed.world().faults.hide == 0;
    for _ in 0..100 {
        let (event, seconds, pods, place) = {
            let mut world = bed.world();
            let rng = &mut world.rng;
            (rng.u8(0..100), rng.u64(1..=8), rng.usize(1..=5), rng.u32(0..60))
        };
        match event {
            0..6 => {
                let lasts = Duration::from_secs(bed.world().rng.u64(30..900));
                bed.add_pods(pods, lasts);
            }
            6..20 => {
                bed.killed_turn(place);
            }
            20..30 if seed.is_multiple_of(3) => {
                let others = bed.world().rng.u32(1..12);
                let _ = bed.paused_turn(place, others);
            }
            30..32 if jumps => {
                let mut world = bed.world();
                world.skew += world.rng.i64(-3_600_000..3_600_000);
                world.say("the clock jumps");
            }
            _ => {}
        }
        bed.world().pass(seconds * 1000);
        let _ = bed.turn();
        gates::hold(&bed.world());
    }
    calm(&mut bed);
    gates::nothing_is_left(&bed.world());
    gates::calls_are_bounded(&bed.world());
    bed
}

/// Hardly any faults any more: what is wanted is soon there, and when nothing is wanted any more everything goes.
fn calm(bed: &mut Bed) {
    let cut_after = {
        let mut world = bed.world();
        world.say("calm");
        let Faults { lag, cut_after, .. } = world.faults;
        world.faults = Faults { lag, ..Faults::default() };
        cut_after
    };
    // What was refused may have stopped launches.
    bed.settings.configuration = "2".into();
    bed.killed_turn(0);
    bed.add_pods(3, Duration::from_secs(3 * 3600));
    let mut waited = 0;
    while bed.world().pending().next().is_some() {
        bed.turns(30, 10);
        gates::hold(&bed.world());
        waited += 30;
        if waited > 4000 {
            gates::fail(&bed.world(), "pods wait for more than an hour though nothing is wrong");
        }
    }
    let mut waited = 0;
    while !gates::instances_equal_claims(&bed.world()) {
        bed.turns(30, 10);
        gates::hold(&bed.world());
        waited += 30;
        if waited > 3600 {
            gates::fail(&bed.world(), "claims and instances differ though nothing is wrong");
        }
    }
    bed.world().pods.clear();
    // Leftovers are deleted only now.
    bed.world().faults.cut_after = cut_after;
    let mut waited = 0;
    while !bed.world().claims.is_empty() || !bed.world().disks.is_empty() {
        bed.turns(60, 20);
        gates::hold(&bed.world());
        waited += 60;
        if waited > 3 * 3600 {
            gates::nothing_is_left(&bed.world());
        }
    }
}

/// What has to happen in these runs, or they would prove nothing.
const HAPPENS: &[&str] = &[
    "RunInstances repeated",
    "the answer to RunInstances is cut",
    "the answer to TerminateInstances is cut",
    "the answer to DeleteVolume is cut",
    "the answer to DeleteNetworkInterface is cut",
    "InsufficientInstanceCapacity",
    "InsufficientFreeAddressesInSubnet",
    "MaxSpotInstanceCountExceeded",
    "the controller is killed",
    "the controller goes on",
    "the clock jumps",
    "Ready -> Draining Notice",
    "Draining -> Terminating Notice",
    "Terminating Lost",
    "Terminating TimeOut(Running)",
    "Terminating Died",
    "Launching -> Terminating Refused",
    "Launching -> Planned",
    "Terminating -> Gone",
];

/// Runs these worlds, and sees that everything happens in one of them at least.
pub fn runs(seeds: std::ops::Range<u64>, run: fn(u64) -> Bed, happens: &[&str]) {
    let mut missing = happens.to_vec();
    for seed in seeds {
        let bed = run(seed);
        let world = bed.world();
        missing.retain(|what| !world.trace.iter().any(|line| line.contains(what)));
    }
    assert_eq!(missing, [""; 0], "never happened");
}

#[test]
fn five_hundred_worlds_lose_no_instance_first_half() {
    runs(0..HALF, run, HAPPENS);
}

#[test]
fn five_hundred_worlds_lose_no_instance_second_half() {
    runs(HALF..2 * HALF, run, HAPPENS);
}
