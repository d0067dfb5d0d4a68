//! Five hundred worlds in which workers and machines meet at a gateway, each with its own mixture of faults.

use std::{
    task::{Context, Waker},
    time::Duration,
};

use hoist::burst::gateway;

use super::{
    gates,
    gateway::{check, end_one, held},
    keeper::{keeper, of, tells},
    runs::{faults, runs},
    sim::{Bed, Faults, bed::now},
};

/// In two halves, for two cores.
const HALF: u64 = 250;
const MACHINES: [&str; 3] = ["cp1", "cp2", "w1"];

/// A program's turn: a look at the gateway, and a turn of the controller that goes by it.
fn turn(bed: &mut Bed, keeper: &mut gateway::Keeper) {
    // What fails is tried again.
    let _ = now(keeper.keep());
    check(&bed.world());
    bed.world().closed = keeper.hindrance().is_some();
    let _ = bed.turn();
    gates::hold(&bed.world());
}

/// Pods come and go, machines tell new keys, things fail, gateways die, programs are killed, clocks jump.
fn run(seed: u64) -> Bed {
    let mut bed = Bed::new(seed);
    let faults = faults(&bed);
    let jumps = seed.is_multiple_of(5) && faults.hide == 0;
    // Where EC2 hides what it has, or an hour seems to have passed, the interface alone keeps a second one away.
    let interfaces_are_shared = faults.hide == 0 && !jumps;
    bed.world().say(format!("{faults:?}"));
    bed.world().faults = Faults { interfaces_are_shared, ..faults };
    tells(&bed, "cp1");
    let mut kept = keeper(&bed.handle(), Duration::ZERO);
    for _ in 0..40 {
        let (event, seconds, pods, place) = {
            let mut world = bed.world();
            let rng = &mut world.rng;
            (rng.u8(0..100), rng.u64(1..=20), rng.usize(1..=5), rng.u32(0..60))
        };
        match event {
            0..12 => {
                let lasts = Duration::from_secs(bed.world().rng.u64(30..900));
                bed.add_pods(pods, lasts);
            }
            12..24 => {
                bed.killed_turn(place);
            }
            24..36 => {
                let mut killed = keeper(&bed.handle().stopped_at(place % 14), Duration::ZERO);
                let mut running = Box::pin(killed.keep());
                if running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                    bed.world().say("the keeper is killed");
                }
                drop(running);
                check(&bed.world());
                kept = keeper(&bed.handle(), Duration::ZERO);
            }
            36..39 => tells(&bed, MACHINES[pods % 3]),
            39..42 => end_one(&mut bed.world()),
            42..45 if jumps => {
                let mut world = bed.world();
                world.skew += world.rng.i64(-3_600_000..3_600_000);
                world.say("the clock jumps");
            }
            _ => {}
        }
        bed.world().pass(seconds * 1000);
        turn(&mut bed, &mut kept);
    }
    calm(&mut bed, &mut kept);
    gates::nothing_is_left(&bed.world());
    bed
}

/// No more faults: there is a gateway, what is wanted is there, and then all of it goes.
fn calm(bed: &mut Bed, kept: &mut gateway::Keeper) {
    {
        let mut world = bed.world();
        world.say("calm");
        let (lag, interfaces_are_shared) = (world.faults.lag, world.faults.interfaces_are_shared);
        world.faults = Faults { lag, interfaces_are_shared, ..Faults::default() };
    }
    bed.settings.configuration = "2".into();
    bed.killed_turn(0);
    bed.world().pods.clear();
    bed.add_pods(3, Duration::from_secs(3 * 3600));
    // At any time each instance has a claim, which gates check; now each claim has its instance, too, beside the gateway.
    pass_until(bed, kept, "pods wait for more than an hour, or claims and instances differ", |bed| {
        let world = bed.world();
        gates::instances_equal_claims(&world) && held(&world).len() == 1 && world.pending().next().is_none()
    });
    bed.world().pods.clear();
    pass_until(bed, kept, "something stays", |bed| bed.world().claims.is_empty());
    let mut kept = of(&bed.handle(), Duration::ZERO, false);
    pass_until(bed, &mut kept, "the gateway stays", |bed| {
        let world = bed.world();
        held(&world).is_empty() && world.disks.is_empty() && world.gateway.0.is_nothing()
    });
}

fn pass_until(bed: &mut Bed, kept: &mut gateway::Keeper, otherwise: &str, is_so: impl Fn(&Bed) -> bool) {
    for _ in 0..200 {
        bed.world().pass(20_000);
        turn(bed, kept);
        if is_so(bed) {
            return;
        }
    }
    gates::fail(&bed.world(), otherwise)
}

/// What has to happen in these runs, or they would prove nothing.
const HAPPENS: &[&str] = &[
    "for Some(\"gateway\"): i-",
    "RunInstances repeated for Some(\"gateway\")",
    "the answer to RunInstances is cut",
    "InsufficientInstanceCapacity",
    "the controller is killed",
    "the keeper is killed",
    "the clock jumps",
    "dies",
    "Launching -> Launched",
    "Terminating -> Gone",
];

#[test]
fn five_hundred_worlds_with_a_gateway_lose_nothing_first_half() {
    runs(1000..1000 + HALF, run, HAPPENS);
}

#[test]
fn five_hundred_worlds_with_a_gateway_lose_nothing_second_half() {
    runs(1000 + HALF..1000 + 2 * HALF, run, HAPPENS);
}
