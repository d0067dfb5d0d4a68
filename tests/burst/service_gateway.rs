//! The program that runs, the gateway beside its turns, and the lease beside both.

use std::{sync::Arc, time::Duration};

use hoist::burst::{
    claim::Phase,
    controller::Clock,
    offer::Money,
    service::{Connect as _, Kind, Outcome},
};

use super::{
    keeper::tells,
    play::{MINUTE, Play},
    sim::{bed::now, feed::Road},
};

#[test]
fn nothing_is_rented_before_the_gateway_is_there() {
    let play = Play::new(5);
    play.bed.world().has_gateway = true;
    play.bed.add_pods(2, Duration::from_secs(300 * MINUTE));
    play.run(3 * MINUTE);
    assert_eq!(play.launches(), 0);
    let told = play.told(Kind::HeldBack);
    assert_eq!(told, ["nothing is launched: the gateway to the machines is not there yet"]);
    assert!(play.told(Kind::Trouble)[0].starts_with("no machine has a key yet"));
    tells(&play.bed, "cp1");
    play.run(5 * MINUTE);
    assert_eq!((play.phases(), play.launches()), (vec![Phase::Ready], 2), "a worker, and the gateway");
    let told = play.told(Kind::Gateway);
    assert!(told.last().unwrap().ends_with(" at 203.0.113.7:51820, lets in 1"), "{told:?}");
    let kept = play.bed.world().status.clone().unwrap().gateway.unwrap();
    assert!(kept.instance.is_some() && kept.trouble.is_none(), "{kept:?}");
    // What pods need goes back; the gateway stays.
    play.bed.world().pods.clear();
    play.run(30 * MINUTE);
    assert_eq!((play.phases(), play.bed.world().alive().count()), (vec![], 1));
}

/// A look at the gateway takes a minute, while EC2 does not tell how it is: nobody else waits for that.
#[test]
fn turns_do_not_wait_for_the_gateway() {
    let play = Play::new(8);
    play.bed.world().has_gateway = true;
    tells(&play.bed, "cp1");
    play.run(3 * MINUTE);
    let gateway = play.bed.world().status.clone().unwrap().gateway.unwrap();
    assert!(gateway.instance.is_some());
    play.bed.world().faults.stalls.insert("status");
    play.bed.world().calls.clear();
    let begun = play.bed.world().now;
    play.bed.add_pods(2, Duration::from_secs(300 * MINUTE));
    play.run(5 * MINUTE);
    assert_eq!(play.phases(), [Phase::Ready]);
    assert!(longest_without_lease(&play, begun) <= 6_000);
    let trouble = play.bed.world().status.clone().unwrap().gateway.unwrap().trouble;
    assert!(trouble.is_some_and(|it| it.contains("DescribeInstanceStatus")), "it is told nevertheless");
}

/// Nor does anybody else take the lead because EC2 is slow.
#[test]
fn the_lease_is_renewed_while_ec2_does_not_answer() {
    let play = Play::new(9);
    play.bed.add_pods(2, Duration::from_secs(300 * MINUTE));
    play.run(3 * MINUTE);
    play.bed.world().faults.stalls.extend(["describe", "launch"]);
    play.bed.world().calls.clear();
    let begun = play.bed.world().now;
    play.bed.add_pods(2, Duration::from_secs(300 * MINUTE));
    play.run(5 * MINUTE);
    assert!(play.launches() > 0 && play.bed.world().calls["describe"].len() > 1);
    // Five seconds in the call, and the pause behind a slow turn; it lasts for 15.
    assert!(longest_without_lease(&play, begun) <= 11_000);
    play.bed.world().faults.stalls.clear();
    play.run(5 * MINUTE);
    assert_eq!((play.phases(), play.bed.world().machines.len()), (vec![Phase::Ready; 2], 2));
}

/// Milliseconds between two renewals, at most.
fn longest_without_lease(play: &Play, begun: u64) -> u64 {
    let world = play.bed.world();
    let mut last = begun;
    world.calls["lease"].iter().map(|at| at - std::mem::replace(&mut last, *at)).max().unwrap()
}

#[test]
fn one_turn_waits_until_it_knows_the_gateway_and_a_look_tells_that_there_is_none() {
    let play = Play::new(10);
    play.bed.world().has_gateway = true;
    let clock: Arc<dyn Clock> = Arc::new(play.bed.handle());
    let once = |only_look: bool| {
        let mut service = play.service(clock.clone(), "c1");
        let mut connection = now(Road(play.bed.handle(), "c1").connect()).unwrap();
        // The scheduler has refused them for long enough, as this process sees it.
        now(service.turn(&mut connection, true)).unwrap();
        play.bed.world().pass(16_000);
        match now(service.once(&mut connection, only_look)).unwrap() {
            Outcome::Done(done) => done,
            Outcome::Standby => panic!("nobody else leads"),
        }
    };
    play.bed.add_pods(2, Duration::from_secs(300 * MINUTE));
    let missing = Some("the gateway to the machines is not there yet");
    let looked = once(true);
    assert_eq!((looked.decision.wanted.len(), looked.would_wait.as_deref()), (1, missing));
    assert_eq!(once(false).report.unwrap().held_back.as_deref(), missing);
    tells(&play.bed, "cp1");
    play.bed.world().pods.clear();
    play.run(3 * MINUTE);
    play.bed.add_pods(2, Duration::from_secs(300 * MINUTE));
    assert_eq!(once(true).would_wait, None);
    assert_eq!(once(false).report.unwrap().held_back, None, "the first look of this process has shown it");
}

/// Workers need not wait until it has booted, but those that it would be of no use to are not rented for ever.
#[test]
fn a_gateway_that_nobody_reaches_has_no_more_workers_rented() {
    let play = Play::new(11);
    play.bed.world().has_gateway = true;
    play.bed.world().faults.unreached = true;
    play.bed.world().faults.no_join = 100;
    tells(&play.bed, "cp1");
    play.bed.add_pods(2, Duration::from_secs(600 * MINUTE));
    play.run(4 * MINUTE);
    assert_eq!(play.bed.world().machines.len(), 2, "a worker boots while the gateway does");
    play.run(180 * MINUTE);
    assert_eq!(play.bed.world().machines.len(), 2, "and no other does");
    assert_eq!(play.bed.world().alive().count(), 1, "the gateway");
    let status = play.bed.world().status.clone().unwrap();
    assert!(status.held_back.unwrap().starts_with("no machine reaches the gateway"));
    assert!(status.gateway.unwrap().trouble.unwrap().starts_with("no machine reaches the gateway"));
    // Somebody opens the port.
    play.bed.world().faults = Default::default();
    play.run(5 * MINUTE);
    assert_eq!(play.phases(), [Phase::Ready]);
    assert_eq!(play.bed.world().status.clone().unwrap().gateway.unwrap().answered, 1);
}

#[test]
fn what_the_gateway_costs_is_set_aside() {
    // The month's 100 dollars are less than 730 hours of it.
    for (price, launches) in [(Money(4_200), 1), (Money(140_000), 0)] {
        let mut play = Play::new(12);
        play.gateway = Some(price);
        play.bed.add_pods(2, Duration::from_secs(30 * MINUTE));
        play.run(5 * MINUTE);
        assert_eq!(play.launches(), launches, "{price}");
        assert_eq!(play.bed.world().status.clone().unwrap().gateway_price, Some(price));
    }
}

#[test]
fn one_turn_keeps_the_lease_while_it_waits_for_the_gateway() {
    let play = Play::new(13);
    play.bed.world().has_gateway = true;
    tells(&play.bed, "cp1");
    play.run(3 * MINUTE);
    play.bed.world().faults.stalls.insert("status");
    play.bed.world().calls.clear();
    let begun = play.bed.world().now;
    let mut service = play.service(Arc::new(play.bed.handle()), "c1");
    let mut connection = now(Road(play.bed.handle(), "c1").connect()).unwrap();
    assert!(matches!(now(service.once(&mut connection, false)), Ok(Outcome::Done(_))));
    assert!(play.bed.world().now - begun >= 25_000, "it has waited");
    assert!(longest_without_lease(&play, begun) <= 6_000);
}
