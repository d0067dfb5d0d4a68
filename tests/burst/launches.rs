//! One fault of a launch at a time, and what exactly has to come of it.

use std::time::Duration;

use hoist::burst::{
    claim::{Claim, Phase},
    controller::{Decision, Wanted},
    offer::Capacity,
    quota::Bucket,
};

use super::{
    cases::{HOUR, alive, kinds, launches, one_instance, phases, running},
    gates,
    sim::{
        Bed,
        bed::{now, offers, offers_of},
    },
};

#[test]
fn no_spot_capacity_means_on_demand_in_the_same_turn() {
    let mut bed = Bed::new(1);
    bed.world().faults.short.insert("Spot".into());
    bed.add_pods(2, HOUR);
    bed.turn().unwrap();
    bed.world().pass(2_000);
    let report = bed.turn().unwrap().unwrap();
    assert_eq!(report.launches, 7, "six spot offers, one on demand: {:?}", report.troubles);
    assert_eq!(kinds(&bed), [false]);
}

#[test]
fn a_used_up_quota_means_the_other_capacity_type_for_a_quarter_of_an_hour() {
    let mut bed = Bed::new(1);
    bed.world().faults.quota.insert((Capacity::Spot, Bucket::Standard), 0);
    bed.add_pods(6, 5 * HOUR);
    bed.turns(60, 5);
    assert_eq!(kinds(&bed), [false; 3]);
    assert_eq!(launches(&bed), 4, "spot is asked for once");
}

#[test]
fn a_quota_of_one_bucket_of_families_leaves_the_others_open() {
    let mut bed = Bed::new(1);
    for capacity in [Capacity::Spot, Capacity::OnDemand] {
        bed.world().faults.quota.insert((capacity, Bucket::X), 0);
    }
    // As for a pod with little CPU and much memory.
    bed.world().offers = offers_of(&["x8g.large", "r8g.large"]);
    bed.add_pods(2, HOUR);
    bed.turn().unwrap();
    bed.world().pass(2_000);
    bed.turn().unwrap();
    assert_eq!((kinds(&bed), launches(&bed)), (vec![true], 2), "spot, of another type, in the same turn");
    bed.turns(120, 1);
    assert_eq!((phases(&bed), launches(&bed)), (vec![Phase::Ready], 2));
}

#[test]
fn spot_instances_that_end_before_they_join_mean_on_demand() {
    let mut bed = Bed::new(1);
    bed.world().faults.spot_stillborn = true;
    bed.add_pods(2, HOUR);
    bed.turns(120, 5);
    assert_eq!((kinds(&bed), phases(&bed)), (vec![false], vec![Phase::Ready]));
    assert_eq!(launches(&bed), 3, "spot is asked for twice");
}

#[test]
fn where_nothing_is_to_be_had_ec2_is_asked_rarely() {
    let mut bed = Bed::new(1);
    let none = [Capacity::Spot, Capacity::OnDemand].map(|capacity| ((capacity, Bucket::Standard), 0));
    bed.world().faults.quota.extend(none);
    bed.add_pods(20, 5 * HOUR);
    bed.turns(3600, 5);
    assert!(launches(&bed) <= 8, "{}: each capacity type once in 15 minutes", launches(&bed));
    let mut bed = Bed::new(1);
    bed.world().faults.full.extend(["a", "b", "c"].map(str::to_owned));
    bed.add_pods(20, 5 * HOUR);
    bed.turns(3600, 5);
    assert!(launches(&bed) <= 3 * 20, "{}: each subnet once in 3 minutes", launches(&bed));
    assert_eq!(phases(&bed), []);
}

/// Claims come and go for a pod that EC2 has no node for. Another node is not needed any more.
#[test]
fn a_shortage_keeps_no_other_node_from_going() {
    let mut bed = running(4, 9 * HOUR);
    bed.world().faults.short.extend(["Spot", "OnDemand"].map(str::to_owned));
    let name = bed.world().claims.keys().next().unwrap().clone();
    let wanted = vec![Wanted { offers: offers(), pods: vec!["default/waits".into()] }];
    let decision = Decision { wanted, unneeded: [name.clone()].into(), ..Decision::default() };
    for _ in 0..360 {
        bed.world().pass(5_000);
        let view = now(bed.controller().look()).unwrap().unwrap();
        now(bed.controller().carry_out(view, &decision)).unwrap();
    }
    assert!(launches(&bed) > 50, "EC2 is asked again and again: {}", launches(&bed));
    let drained = format!("{name} Ready -> Draining Unneeded");
    assert!(bed.world().trace.iter().any(|line| line.contains(&drained)));
}

#[test]
fn what_is_not_allowed_is_asked_once_until_the_configuration_changes() {
    let mut bed = Bed::new(1);
    bed.world().faults.denied.insert("launch");
    bed.add_pods(2, 5 * HOUR);
    bed.turns(600, 5);
    bed.killed_turn(0);
    bed.turns(3600, 5);
    assert_eq!(launches(&bed), 1, "not even after a restart");
    let report = bed.turn().unwrap().unwrap();
    assert!(report.held_back.unwrap().contains("UnauthorizedOperation"));
    bed.world().faults.denied.clear();
    bed.settings.configuration = "2".into();
    bed.killed_turn(0);
    bed.turns(120, 1);
    assert_eq!(phases(&bed), [Phase::Ready]);
}

#[test]
fn an_answer_that_is_cut_is_asked_for_again_and_makes_no_second_instance() {
    let mut bed = Bed::new(1);
    bed.world().faults.cut_after = 100;
    bed.add_pods(2, HOUR);
    bed.turns(12, 1);
    assert_eq!(alive(&bed), 1);
    assert!(bed.world().claims.values().all(|(claim, _)| claim.attempt == 1));
    bed.turns(120, 1);
    gates::hold(&bed.world());
    assert_eq!(phases(&bed), [Phase::Ready], "what EC2 shows is known again by its client token");
    assert_eq!(bed.world().machines.len(), 1);
}

#[test]
fn a_launch_whose_answer_never_comes_is_given_up_by_pods_and_not_by_the_claim() {
    let mut bed = Bed::new(1);
    bed.world().faults.silent.insert("launch");
    bed.add_pods(2, 5 * HOUR);
    bed.turns(20 * 60, 5);
    let (count, first) = {
        let world = bed.world();
        (world.claims.len(), world.claims.values().map(|(claim, _)| claim.clone()).next().unwrap())
    };
    assert_eq!(count, 3, "others took the pods over, until it was clear that EC2 does not answer");
    assert_eq!((first.phase, first.attempt), (Phase::Launching, 1));
    assert!(launches(&bed) < 100, "{} calls in 20 minutes", launches(&bed));
    bed.world().faults.silent.clear();
    bed.turns(300, 5);
    if phases(&bed) != [Phase::Ready] {
        gates::fail(&bed.world(), "one node is ready");
    }
    bed.world().pods.clear();
    bed.turns(1200, 5);
    gates::nothing_is_left(&bed.world());
}

#[test]
fn launches_that_hang_hold_up_neither_each_other_nor_a_notice() {
    let mut bed = running(2, 5 * HOUR);
    bed.world().faults.stalls.insert("launch");
    bed.add_pods(10, 5 * HOUR);
    bed.turns(4, 2);
    let (id, noticed) = {
        let mut world = bed.world();
        let now = world.now;
        let (id, machine) = world.machines.iter_mut().next().unwrap();
        machine.notice_at = Some(now);
        (id.clone(), now)
    };
    for _ in 0..8 {
        bed.world().pass(2_000);
        let (asked, before) = (launches(&bed), bed.world().now);
        bed.turn().unwrap();
        let lasted = bed.world().now - before;
        assert!(launches(&bed) <= asked + 1 && lasted <= 30_000, "{lasted} ms");
    }
    let world = bed.world();
    let ended = world.machines[&id].history.iter().find(|(_, state, _)| state.is_ending()).unwrap();
    assert_eq!(ended.1, hoist::burst::cloud::State::ShuttingDown, "given back, not taken");
    assert!(ended.0 - noticed < 120_000, "{} s", (ended.0 - noticed) / 1000);
    let tried = |(claim, _): &&(Claim, u64)| claim.launch.as_ref().is_some_and(|launch| launch.tries > 0);
    let waiting = world.claims.values().filter(|(claim, _)| claim.phase < Phase::Launched);
    let (tried, untried): (Vec<_>, Vec<_>) = waiting.partition(tried);
    assert!(
        tried.len() >= 5 && untried.len() <= 1,
        "each has its turn: {} of {}",
        tried.len(),
        untried.len()
    );
}

#[test]
fn a_refusal_after_a_cut_answer_does_not_hide_the_instance() {
    let mut bed = Bed::new(1);
    bed.world().faults.cut_after = 100;
    bed.world().faults.hide = 100;
    bed.add_pods(2, Duration::from_secs(60));
    bed.turns(3, 1);
    assert_eq!(alive(&bed), 1);
    bed.world().faults.denied.insert("launch");
    bed.world().faults.cut_after = 0;
    bed.turns(4, 1);
    assert_eq!(phases(&bed), [Phase::Terminating], "refused, though there is an instance");
    bed.turns(600, 5);
    gates::nothing_is_left(&bed.world());
}

#[test]
fn a_token_that_returns_an_instance_that_has_ended_is_used_up() {
    let mut bed = Bed::new(1);
    bed.world().faults.cut_after = 100;
    bed.world().faults.hide = 100;
    bed.add_pods(2, HOUR);
    bed.turns(3, 1);
    let end = bed.world().now;
    for machine in bed.world().machines.values_mut() {
        machine.history.push((end, hoist::burst::cloud::State::Terminated, None));
    }
    bed.world().faults.cut_after = 0;
    bed.world().faults.hide = 0;
    bed.turns(120, 1);
    let claim = bed.world().claims.values().next().unwrap().0.clone();
    assert_eq!((claim.attempt, claim.phase), (2, Phase::Ready));
    assert_eq!(claim.former.len(), 1);
}

/// The line is cut before the answer to a launch comes, and mended when EC2 has forgotten what it gave.
#[test]
fn a_token_of_an_instance_that_ec2_has_forgotten_is_used_up() {
    let mut bed = Bed::new(1);
    bed.world().faults.cut_after = 100;
    bed.world().faults.hide = 100;
    bed.add_pods(2, 9 * HOUR);
    bed.turns(3, 1);
    assert_eq!(alive(&bed), 1);
    {
        let mut world = bed.world();
        let end = world.now;
        for machine in world.machines.values_mut() {
            machine.history.push((end, hoist::burst::cloud::State::Terminated, None));
        }
        (world.faults.cut_after, world.faults.hide) = (0, 0);
        world.faults.silent = ["launch", "describe", "leftovers", "terminate", "delete"].into();
    }
    bed.turns(70 * 60, 30);
    bed.world().faults.silent.clear();
    bed.turns(600, 2);
    assert_eq!(bed.world().book.0.market.stopped, None);
    assert_eq!((phases(&bed), alive(&bed)), (vec![Phase::Ready], 1));
    gates::hold(&bed.world());
}

#[test]
fn answers_that_lag_make_no_duplicates() {
    for lag in [1_000, 5_000, 30_000] {
        let mut bed = Bed::new(lag);
        bed.world().faults.lag = lag;
        bed.add_pods(8, 2 * HOUR);
        bed.turns(600, 2);
        let counts = (launches(&bed), alive(&bed));
        if counts != (4, 4) {
            gates::fail(&bed.world(), &format!("{lag} ms: {counts:?}"));
        }
    }
}

#[test]
fn a_kill_at_every_place_of_a_launch_leaves_one_instance() {
    for place in 0..200 {
        let mut bed = Bed::new(u64::from(place));
        bed.add_pods(2, Duration::from_secs(300));
        bed.turn().unwrap();
        bed.world().pass(2_000);
        if !bed.killed_turn(place) {
            assert!(place > 20, "a turn has more places than {place}");
            return;
        }
        bed.turns(120, 2);
        gates::hold(&bed.world());
        one_instance(&bed, place);
        bed.turns(1200, 10);
        gates::nothing_is_left(&bed.world());
    }
    panic!("a turn does not end");
}

#[test]
fn a_controller_that_pauses_at_any_place_and_wakes_up_does_no_harm() {
    for place in 0..200 {
        let mut bed = Bed::new(u64::from(place));
        bed.start();
        bed.add_pods(2, Duration::from_secs(300));
        bed.turn().unwrap();
        bed.world().pass(2_000);
        let before = bed.world().now;
        let turn = bed.paused_turn(place, 8);
        if bed.world().now == before {
            turn.unwrap();
            assert!(place > 20);
            return;
        }
        gates::hold(&bed.world());
        one_instance(&bed, place);
        bed.turns(1500, 10);
        gates::nothing_is_left(&bed.world());
        one_instance(&bed, place);
    }
    panic!("a turn does not end");
}
