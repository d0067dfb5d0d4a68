//! The gateway against the simulated EC2: never two, soon one again, and nothing in the end.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::task::{Context, Waker};

use hoist::burst::{
    cloud::State,
    gateway::{self, Turn, Wanted, turn},
};

use super::{
    gates::fail,
    sim::{Bed, Faults, World, bed::now, world::Machine},
};

fn wanted(configuration: &str) -> Wanted {
    let request = serde_json::json!({
        "ClientToken": "", "ImageId": "ami-1", "InstanceType": "t4g.nano", "SubnetId": "subnet-a",
        "SecurityGroupIds": [], "NetworkInterface": "eni-gateway", "IamInstanceProfile": null,
        "UserData": STANDARD.encode(configuration), "Spot": false, "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "Root": {
            "DeviceName": "/dev/xvda", "VolumeSize": 8, "VolumeType": "gp3", "Encrypted": true, "KmsKeyId": null,
            "DeleteOnTermination": true,
        },
        "Tags": {"hoist.dev/claim": gateway::NAME},
    });
    Wanted::new("3f0c".into(), "a key".into(), serde_json::from_value(request).unwrap())
}

/// All that hold the interface.
pub fn held(world: &World) -> Vec<&String> {
    let lives = |machine: &Machine| {
        machine.instance.claim.as_deref() == Some(gateway::NAME)
            && machine.state(world.now).is_some_and(|(state, _)| state != State::Terminated)
    };
    world.machines.iter().filter(|(_, machine)| lives(machine)).map(|(id, _)| id).collect()
}

/// A turn of a keeper that knows what is written down, and nothing else.
fn keep(bed: &Bed, wanted: Option<&Wanted>) -> Option<Turn> {
    let handle = bed.handle();
    let done = now(turn(&handle, &handle, &handle, &handle, wanted)).ok();
    check(&bed.world());
    done
}

/// One that is killed at this place.
fn killed(bed: &Bed, wanted: Option<&Wanted>, place: u32) {
    let handle = bed.handle().stopped_at(place);
    let mut running = Box::pin(turn(&handle, &handle, &handle, &handle, wanted));
    if running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        bed.world().say("the keeper is killed");
    }
    drop(running);
    check(&bed.world());
}

pub fn check(world: &World) {
    let held = held(world);
    if held.len() > 1 {
        fail(world, &format!("two at once: {held:?}"));
    }
    if world.mismatches > 0 {
        fail(world, "a launch was repeated with other bytes");
    }
}

/// Seconds until there is one that runs, with a turn every five.
fn until_it_runs(bed: &Bed, wanted: &Wanted) -> u64 {
    for second in (0..2000).step_by(5) {
        keep(bed, Some(wanted));
        let world = bed.world();
        let record = &world.gateway.0;
        let runs = record.instance().is_some_and(|id| {
            world.machines[id].state(world.now).is_some_and(|(state, _)| state == State::Running)
        });
        let is_it =
            record.launch.as_ref().is_some_and(|launch| launch.configuration == wanted.configuration());
        drop(world);
        if runs && is_it {
            return second;
        }
        bed.world().pass(5_000);
    }
    fail(&bed.world(), "it does not come")
}

fn until_nothing_is_left(bed: &Bed) {
    for _ in 0..200 {
        keep(bed, None);
        bed.world().pass(5_000);
    }
    let world = bed.world();
    if !held(&world).is_empty() || world.gateway.0.launch.is_some() {
        fail(&world, &format!("left: {:?} {:?}", held(&world), world.gateway.0));
    }
}

/// Hours of faults and kills. `hides`: EC2 may not show for minutes what it has; then the interface is what keeps a
/// second one away. Without that nothing does but the keeper.
fn run(seed: u64, hides: bool) {
    let bed = Bed::new(seed);
    {
        let mut world = bed.world();
        let roll = |world: &mut World, most: u8| world.rng.u8(0..most);
        world.faults.cut_after = roll(&mut world, 40);
        world.faults.cut_before = roll(&mut world, 30);
        world.faults.throttle = roll(&mut world, 20);
        world.faults.ledger = roll(&mut world, 20);
        world.faults.stillborn = roll(&mut world, 20);
        world.faults.lag = world.rng.u64(0..5_000);
        world.faults.hide = if hides { 30 } else { 0 };
        world.faults.interfaces_are_shared = !hides;
    }
    let configurations = ["1", "2", "3"].map(wanted);
    for _ in 0..300 {
        let which = bed.world().rng.usize(0..60);
        let wanted = configurations.get(which % 20 % 3).filter(|_| which != 7);
        let luck = bed.world().rng.u8(0..10);
        match luck {
            0..3 => {
                let place = bed.world().rng.u32(0..12);
                killed(&bed, wanted, place);
            }
            3 => end_one(&mut bed.world()),
            _ => drop(keep(&bed, wanted)),
        }
        let pause = bed.world().rng.u64(1_000..20_000);
        bed.world().pass(pause);
    }
    bed.world().faults = Faults { interfaces_are_shared: !hides, ..Faults::default() };
    until_it_runs(&bed, &configurations[0]);
    until_nothing_is_left(&bed);
}

/// It dies.
pub fn end_one(world: &mut World) {
    let at = world.now;
    let Some(id) = held(world).first().map(|id| (*id).clone()) else { return };
    world.say(format!("{id} dies"));
    if let Some(machine) = world.machines.get_mut(&id) {
        machine.history.retain(|(since, ..)| *since <= at);
        machine.history.push((at, State::Terminated, Some("Server.InternalError".into())));
    }
}

#[test]
fn never_two_whatever_fails_and_nothing_is_left() {
    for seed in 0..60 {
        run(seed, false);
        run(1000 + seed, true);
    }
}

#[test]
fn one_that_dies_is_replaced_within_a_minute_and_a_half() {
    let (bed, wanted) = (Bed::new(1), wanted("1"));
    until_it_runs(&bed, &wanted);
    end_one(&mut bed.world());
    let seconds = until_it_runs(&bed, &wanted);
    assert!(seconds <= 30, "{seconds} s");
    // One that hangs: half a minute until that is believed, and EC2's time to end it.
    let hung = bed.world().gateway.0.instance().unwrap().to_owned();
    bed.world().faults.impaired.insert(hung.clone());
    let mut seconds = 0;
    while bed.world().gateway.0.instance() == Some(&hung) {
        keep(&bed, Some(&wanted));
        bed.world().pass(5_000);
        seconds += 5;
    }
    seconds += until_it_runs(&bed, &wanted);
    assert!(seconds <= 90, "{seconds} s");
}

#[test]
fn one_that_ec2_has_forgotten_before_it_told_of_it_is_launched_anew() {
    let (bed, wanted) = (Bed::new(3), wanted("1"));
    bed.world().faults.cut_after = 100;
    bed.world().faults.hide = 100;
    keep(&bed, Some(&wanted));
    bed.world().faults = Faults::default();
    end_one(&mut bed.world());
    bed.world().pass(2 * 60 * 60 * 1000);
    until_it_runs(&bed, &wanted);
    assert_eq!(bed.world().gateway.0.attempt, 2);
}

#[test]
fn it_is_launched_again_only_by_who_knows_what_was_launched() {
    let (bed, wanted) = (Bed::new(2), wanted("1"));
    // Killed at every place of its first turns, and again.
    for place in 0..12 {
        killed(&bed, Some(&wanted), place);
        bed.world().pass(3_000);
    }
    until_it_runs(&bed, &wanted);
    assert_eq!(bed.world().machines.len(), 1, "one request, however often it was sent");
}
