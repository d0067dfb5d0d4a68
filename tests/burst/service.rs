//! The program that runs, with decisions of the real packer, for hours of virtual time.

use std::{sync::Arc, time::Duration};

use hoist::burst::{
    claim::Phase,
    controller::Clock,
    offer::{Capacity, Money},
    service::{Connect as _, Connection, Kind, Outcome, Service},
    time::Time,
};

use super::{
    gates,
    play::{MINUTE, Play},
    sim::{bed::now, feed::Road},
};

#[test]
fn pods_that_wait_get_exactly_the_nodes_that_they_fill_and_all_of_it_goes_back() {
    let play = Play::new(1);
    play.bed.add_pods(4, Duration::from_secs(30 * MINUTE));
    play.run(10);
    assert_eq!(play.launches(), 0, "they have not waited for 15 s");
    play.run(5 * MINUTE);
    assert_eq!((play.phases(), play.launches()), (vec![Phase::Ready; 2], 2));
    assert_eq!(play.bed.world().pending().count(), 0);
    let status = play.bed.world().status.clone().unwrap();
    assert_eq!((status.explanation.waiting, status.controller.as_str()), (0, "c1"));
    assert!(status.spent > Money(0));
    let told = play.told(Kind::Claim);
    assert!(told[0].contains("m7g.large (spot, a) at 0.0300 $/h, for default/p"), "{told:#?}");
    assert_eq!(told.iter().filter(|line| line.as_str() == "is ready").count(), 2, "{told:#?}");
    play.run(60 * MINUTE);
    gates::nothing_is_left(&play.bed.world());
    gates::calls_are_bounded(&play.bed.world());
    let lease = play.bed.world().lease.clone().unwrap().0;
    assert_eq!(lease.holder, None, "it was given back");
    let told = play.told(Kind::Claim);
    assert_eq!(told.iter().filter(|line| line.starts_with("is gone")).count(), 2, "{told:#?}");
    assert_eq!(play.told(Kind::Trouble), [""; 0]);
    assert!(play.bed.world().shown < 120, "the status is written when it is news, and once a minute");
}

#[test]
fn while_the_api_server_is_away_nothing_is_launched_and_afterwards_it_goes_on() {
    let play = Play::new(2);
    play.bed.add_pods(2, Duration::from_secs(300 * MINUTE));
    play.run(5 * MINUTE);
    assert_eq!(play.phases(), [Phase::Ready]);
    play.bed.add_pods(2, Duration::from_secs(300 * MINUTE));
    play.bed.world().faults.away = true;
    play.told(Kind::Trouble);
    play.run(60 * MINUTE);
    assert_eq!((play.phases(), play.launches()), (vec![Phase::Ready], 1));
    let told = play.told(Kind::Trouble);
    assert_eq!(told, ["no way to the API server: no control plane answers"], "once in an hour");
    play.bed.world().faults.away = false;
    play.run(5 * MINUTE);
    assert_eq!((play.phases(), play.launches()), (vec![Phase::Ready; 2], 2));
}

#[test]
fn the_way_is_made_anew_when_it_breaks_while_the_program_runs() {
    let play = Play::new(3);
    play.bed.add_pods(2, Duration::from_secs(300 * MINUTE));
    play.run_with(10 * MINUTE, vec![(60, true), (300, false)]);
    assert_eq!((play.phases(), play.launches()), (vec![Phase::Ready], 1));
    let ways = play.bed.world().ways;
    assert!((2..=3).contains(&ways), "one at first, and one after the break: {ways}");
    let told = play.told(Kind::Trouble);
    assert!(told.iter().any(|line| line.contains("the line is cut")), "{told:#?}");
    assert!(told.len() <= 3, "each once: {told:#?}");
    play.bed.world().pods.clear();
    play.run(30 * MINUTE);
    gates::nothing_is_left(&play.bed.world());
}

/// Somebody edits it by hand: what was wanted before still holds, and nothing else waits for that to be mended.
#[test]
fn what_persons_want_and_nobody_understands_stops_nothing() {
    let play = Play::new(6);
    play.bed.world().wish.add(1, Some("c7g.large"));
    let clock: Arc<dyn Clock> = Arc::new(play.bed.handle());
    let mut service = play.service(clock.clone(), "c1");
    let mut connection = now(Road(play.bed.handle(), "c1").connect()).unwrap();
    let mut turn = |service: &mut Service| match now(service.turn(&mut connection, false)) {
        Ok(Outcome::Done(done)) => Some(done),
        _ => None,
    };
    assert!(turn(&mut service).is_some());
    play.bed.world().faults.scrawled = true;
    let done = turn(&mut service).expect("it goes on");
    assert!(done.decision.removed.is_empty(), "{:?}", done.decision);
    assert!(play.told(Kind::Trouble).iter().any(|line| line.contains("cannot be understood")));
    // Who has never understood it does not guess that nobody is wanted.
    assert!(turn(&mut play.service(clock, "c1")).is_none());
}

#[test]
fn workers_that_a_person_wants_stay_until_they_are_removed() {
    let play = Play::new(4);
    play.bed.world().wish.add(2, Some("c7g.large"));
    play.run(5 * MINUTE);
    assert_eq!((play.phases(), play.launches()), (vec![Phase::Ready; 2], 2));
    let types: Vec<String> = play
        .bed
        .world()
        .claims
        .values()
        .map(|(claim, _)| claim.offer().unwrap().instance_type.clone())
        .collect();
    assert_eq!(types, ["c7g.large"; 2]);
    play.run(60 * MINUTE);
    assert_eq!((play.phases(), play.launches()), (vec![Phase::Ready; 2], 2), "idle, and still wanted");
    // After a day each is replaced by another, which stands for the same worker.
    play.run(26 * 60 * MINUTE);
    assert_eq!((play.phases(), play.launches()), (vec![Phase::Ready; 2], 4));
    let name = play.bed.world().claims.keys().next().unwrap().clone();
    let claims: Vec<_> = play.bed.world().claims.values().map(|(claim, _)| claim.clone()).collect();
    assert!(play.bed.world().wish.remove(&name, &claims));
    play.run(5 * MINUTE);
    assert_eq!(play.phases(), [Phase::Ready]);
    assert!(!play.bed.world().claims.contains_key(&name));
    play.bed.world().wish.workers.clear();
    play.run(5 * MINUTE);
    gates::nothing_is_left(&play.bed.world());
}

#[test]
fn who_does_not_lead_waits_and_a_look_changes_nothing() {
    let play = Play::new(5);
    play.bed.add_pods(2, Duration::from_secs(300 * MINUTE));
    let clock: Arc<dyn Clock> = Arc::new(play.bed.handle());
    let (mut first, mut second) = (play.service(clock.clone(), "c1"), play.service(clock, "c2"));
    let connect = |name| now(Road(play.bed.handle(), name).connect()).unwrap();
    let (mut one, mut two) = (connect("c1"), connect("c2"));

    let looks = |service: &mut Service, connection: &mut Connection| match now(service.turn(connection, true))
        .unwrap()
    {
        Outcome::Done(done) => done,
        Outcome::Standby => panic!("a look asks nobody who leads"),
    };
    assert_eq!(looks(&mut second, &mut two).explanation.young, 2);
    play.bed.world().pass(16_000);
    let done = looks(&mut second, &mut two);
    assert_eq!((done.decision.wanted.len(), done.report.is_none()), (1, true));
    assert!(play.bed.world().lease.is_none() && play.bed.world().claims.is_empty());

    assert!(matches!(now(first.turn(&mut one, false)), Ok(Outcome::Done(_))));
    assert!(matches!(now(second.turn(&mut two, false)), Ok(Outcome::Standby)));
    assert_eq!(play.told(Kind::Lead), ["leads", "leads; this one waits"]);
}

#[test]
fn a_pod_that_has_room_on_another_node_comes_together_with_its_fellows() {
    let play = Play::new(6);
    play.bed.add_pods(3, Duration::from_secs(40 * MINUTE));
    play.run(5 * MINUTE);
    assert_eq!(play.launches(), 2);
    // One of the full node ends; what is alone on the other has room there.
    let mut world = play.bed.world();
    let nodes: Vec<String> = world.pods.values().filter_map(|pod| pod.node.clone()).collect();
    let full = nodes.iter().find(|node| nodes.iter().filter(|it| it == node).count() == 2).unwrap().clone();
    let ending = world.pods.iter().find(|(_, pod)| pod.node.as_ref() == Some(&full)).unwrap().0.clone();
    world.pods.remove(&ending);
    for pod in world.pods.values_mut() {
        (pod.kept, pod.ends) = (false, u64::MAX);
    }
    drop(world);
    play.run(30 * MINUTE);
    assert_eq!((play.phases(), play.launches()), (vec![Phase::Ready], 2));
    assert_eq!(play.bed.world().pending().count(), 0);
}

#[test]
fn a_node_on_demand_makes_room_for_a_spot_instance_when_there_are_some_again() {
    let play = Play::new(7);
    play.bed.add_pods(2, Duration::from_secs(300 * MINUTE));
    for pod in play.bed.world().pods.values_mut() {
        pod.kept = false;
    }
    play.bed.world().faults.short = ["Spot".to_owned()].into();
    play.run(5 * MINUTE);
    let paid = || -> Vec<Capacity> {
        play.bed.world().claims.values().map(|(claim, _)| claim.offer().unwrap().capacity).collect()
    };
    assert_eq!((paid(), play.phases()), (vec![Capacity::OnDemand], vec![Phase::Ready]));
    play.bed.world().faults.short.clear();
    play.run(9 * MINUTE);
    assert_eq!(play.bed.world().machines.len(), 1, "it is not 15 minutes old");
    play.run(20 * MINUTE);
    assert_eq!((paid(), play.phases()), (vec![Capacity::Spot], vec![Phase::Ready]));
    assert_eq!(play.bed.world().machines.len(), 2);
    assert_eq!(play.bed.world().pending().count(), 0);
    play.run(60 * MINUTE);
    assert_eq!(play.bed.world().machines.len(), 2, "and that is that");
}

/// Between the first pod that waits and its node, what is neither EC2's time, nor the machine's, nor a pause that was asked
/// for: until EC2 is asked, and until the certificates of the node are signed.
#[test]
fn hoist_itself_takes_less_than_three_seconds_of_the_way_to_a_node() {
    let wait = Duration::from_secs(u64::from(hoist::inventory::Burst::default().after_seconds))
        + hoist::burst::controller::Batch::default().idle;
    for seed in 100..130 {
        let play = Play::new(seed);
        let pause = play.bed.world().rng.u64(0..10_000);
        play.bed.world().pass(pause);
        play.bed.add_pods(2, Duration::from_secs(30 * MINUTE));
        let begun = play.bed.world().now;
        play.run(3 * MINUTE);
        let world = play.bed.world();
        let (claim, _) = world.claims.values().next().unwrap();
        let asked = claim.launch.as_ref().unwrap().asked.unwrap();
        let until_asked = asked.since(Time(begun)) - wait;
        assert!(claim.own_share(wait).unwrap() <= until_asked, "as the controller sees it");
        let in_order = [Phase::Planned, Phase::Launching, Phase::Launched, Phase::Running, Phase::Ready];
        assert!(in_order.map(|phase| claim.times[&phase]).is_sorted(), "{:?}", claim.times);
        let signing: u64 = world.signing.iter().sum();
        let own = until_asked + Duration::from_millis(signing);
        assert!(own < Duration::from_secs(3), "seed {seed}: {until_asked:?} and {signing} ms");
    }
}
