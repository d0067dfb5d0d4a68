//! Pods that the scheduler refuses for a reason that the packer does not know: a node that is rented for them stays empty.

use std::time::Duration;

use hoist::burst::{offer::Money, service::Kind};

use super::{
    gates,
    play::{MINUTE, Play},
};

const HOUR: u64 = 60 * MINUTE;

/// A world with one pod that no node helps.
fn refused(seed: u64) -> Play {
    let play = Play::new(seed);
    play.bed.add_pods(1, Duration::from_secs(1000 * HOUR));
    play.bed.world().pods.values_mut().for_each(|pod| pod.refused = true);
    play
}

#[test]
fn a_pod_that_never_schedules_is_rented_for_once_and_then_ever_more_seldom() {
    let play = refused(8);
    play.run(30 * MINUTE);
    assert_eq!((play.launches(), play.phases()), (1, vec![]));
    let told = play.told(Kind::Unplaced);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("`kubectl describe pod -n default p"), "{told:?}");
    let status = play.bed.world().status.clone().unwrap();
    assert_eq!((status.explanation.waiting, status.explanation.unplaced.len()), (1, 1));
    // Another program, which knows what is written down.
    play.run(30 * MINUTE);
    assert_eq!(play.launches(), 1, "not again within the hour");
    play.run(47 * HOUR);
    // After 1, 2, 4, 8 and 16 hours.
    assert_eq!((play.launches(), play.phases()), (6, vec![]));
    let world = play.bed.world();
    let spent = world.book.0.spent.total(&[], world.shown());
    assert!(spent < Money(40_000), "{spent} dollars in two days, at 0.03 an hour");
    gates::calls_are_bounded(&world);
}

#[test]
fn pods_that_work_get_their_nodes_beside_one_that_does_not() {
    let play = refused(9);
    play.run(20 * MINUTE);
    assert_eq!((play.launches(), play.phases()), (1, vec![]));
    play.bed.add_pods(2, Duration::from_secs(10 * MINUTE));
    play.run(5 * MINUTE);
    assert_eq!((play.launches(), play.bed.world().pending().count()), (2, 1));
    play.run(20 * MINUTE);
    assert_eq!((play.launches(), play.phases()), (2, vec![]), "given back, and not rented again");
    play.bed.add_pods(1, Duration::from_secs(10 * MINUTE));
    play.run(5 * MINUTE);
    assert_eq!((play.launches(), play.bed.world().pending().count()), (3, 1), "nobody holds them up");
}

#[test]
fn a_pod_that_takes_its_place_is_rented_for_at_once() {
    let play = refused(10);
    play.run(20 * MINUTE);
    assert_eq!(play.launches(), 1);
    {
        let mut world = play.bed.world();
        let (_, mut pod) = world.pods.pop_first().unwrap();
        pod.refused = false;
        world.pods.insert("default/mended".to_owned(), pod);
    }
    play.run(5 * MINUTE);
    assert_eq!((play.launches(), play.bed.world().pending().count()), (2, 0));
}
