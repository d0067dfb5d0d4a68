//! The month's money, and launches that fail before EC2 is asked.

use std::time::Duration;

use hoist::burst::{
    claim::{Book, Spent},
    offer::Money,
};

use super::{
    cases::{HOUR, alive, launches, phases, running},
    gates,
    sim::Bed,
};

const MINUTE: u64 = 60;
/// Of the cheapest offer, an hour.
const SPOT: u64 = 30_000;

fn total(bed: &Bed) -> u64 {
    let world = bed.world();
    let open: Vec<_> = world.claims.values().map(|(claim, _)| claim).collect();
    world.book.0.spent.total(&open, world.shown()).0
}

/// With this cap, known to the controller.
fn capped(mut bed: Bed, cap: u64) -> Bed {
    bed.settings.caps.monthly = Some(Money(cap));
    bed.killed_turn(0);
    bed
}

#[test]
fn a_replacement_that_the_month_does_not_pay_is_not_rented_and_the_cap_holds() {
    let cap = 24 * SPOT + 50_000;
    let mut bed = capped(running(2, 100 * HOUR), cap);
    bed.turns(24 * 3600 + 20 * MINUTE, 60);
    assert_eq!(
        (launches(&bed), alive(&bed)),
        (1, 1),
        "a day old, and there is less left than an hour of two"
    );
    bed.turns(3 * 3600, 5);
    gates::nothing_is_left(&bed.world());
    assert!((cap - 2 * SPOT..=cap).contains(&total(&bed)), "{} of {cap}", total(&bed));
}

#[test]
fn just_below_the_cap_nothing_is_added() {
    let cap = 1_000_000;
    let month = Bed::new(1).world().shown().month();
    for (left, rented) in [(SPOT - 1, 0), (SPOT, 1)] {
        let mut bed = capped(Bed::new(1), cap);
        let spent = Spent::of(month.clone(), Money(cap - left));
        bed.world().book = (Book { spent, ..Book::default() }, 1);
        bed.add_pods(2, 5 * HOUR);
        bed.turns(2 * MINUTE, 5);
        assert_eq!(launches(&bed), rented, "{left}");
        bed.turns(3 * 3600, 5);
        assert!(total(&bed) <= cap, "{} of {cap}", total(&bed));
        gates::nothing_is_left(&bed.world());
    }
}

#[test]
fn who_deletes_the_namespace_gets_no_new_month() {
    let mut bed = capped(running(2, 100 * HOUR), 10 * SPOT);
    bed.turns(12 * 3600, 60);
    gates::nothing_is_left(&bed.world());
    let (before, launched) = (total(&bed), launches(&bed));
    assert!(before > 9 * SPOT, "{before}");
    {
        let mut world = bed.world();
        world.claims.clear();
        world.book = (Book::default(), 0);
    }
    bed.add_pods(2, 5 * HOUR);
    bed.turns(3600, 5);
    assert_eq!(launches(&bed), launched, "nothing is launched");
    assert!(bed.turn().unwrap().unwrap().held_back.is_some());
    // Another program, which knows what is written down.
    bed.killed_turn(0);
    bed.turns(3600, 5);
    assert_eq!(launches(&bed), launched);
}

#[test]
fn what_no_node_can_be_told_makes_one_claim_until_something_else_is_configured() {
    let mut bed = Bed::new(1);
    bed.world().faults.unwritten = true;
    bed.add_pods(2, Duration::from_secs(24 * 3600));
    bed.turns(2 * 3600, 5);
    let made = bed.world().trace.iter().filter(|line| line.contains("claim burst-")).count();
    assert_eq!((made, launches(&bed), phases(&bed)), (1, 0, vec![]));
    let held_back = bed.turn().unwrap().unwrap().held_back.unwrap();
    assert!(held_back.contains("it is too long"), "{held_back}");
    bed.world().faults.unwritten = false;
    bed.settings.configuration = "2".into();
    bed.killed_turn(0);
    bed.turns(2 * MINUTE, 5);
    assert_eq!((alive(&bed), launches(&bed)), (1, 1));
}
