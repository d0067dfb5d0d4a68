//! The simulation, with workloads by hand.

use hoist::burst::{
    offer::Money,
    pack::{Limits, Pod, Settings},
    simulate::{Delays, Event, Generated, Happening, Site, generate, machine, replay},
};

use crate::world::{market, pod};

fn site() -> Site {
    Site {
        metal: vec![machine("m", 2, 8)],
        market: market(&[(2, 8, 36), (4, 16, 72)], &["eu-central-1a"]),
        limits: Limits::default(),
        monthly_budget: None,
        delays: Delays::default(),
        settings: Settings::default(),
    }
}

fn create(seconds: u64, pod: Pod) -> Event {
    Event { at: seconds * 1000, what: Happening::Create(Box::new(pod)) }
}

fn delete(seconds: u64, name: &str) -> Event {
    Event { at: seconds * 1000, what: Happening::Delete(format!("default/{name}")) }
}

#[test]
fn a_node_is_rented_for_who_waits_and_given_back_when_it_is_empty() {
    let events = [create(0, pod("home", 1500, 1)), create(10, pod("away", 1500, 1)), delete(600, "away")];
    let outcome = replay(&site(), &events);
    assert_eq!((outcome.ran, outcome.rented, outcome.most_at_once), (2, 1, 1));
    // 15 s until it is ripe, 2 s for others, 90 s until the node is ready.
    assert_eq!(outcome.pending_for_rented.max, 107.0);
    assert_eq!(outcome.pending.p50, 0.0);
    // Asked for at 27 s, empty at 600 s, so that five minutes later it goes: at the next full minute after 27 s.
    let seconds = 900 + 27 - 27;
    assert_eq!(outcome.cost, Money(360_000 * seconds / 3600));
}

#[test]
fn pods_that_come_together_are_one_batch_and_later_ones_use_what_is_on_its_way() {
    let events = [
        create(0, pod("home", 2000, 1)),
        create(0, pod("a", 1000, 1)),
        create(1, pod("b", 1000, 1)),
        create(60, pod("c", 1000, 1)),
    ];
    let mut two = site();
    two.market = market(&[(3, 12, 50)], &["eu-central-1a"]);
    let outcome = replay(&two, &events);
    assert_eq!((outcome.ran, outcome.rented), (4, 1));
}

#[test]
fn pods_go_home_when_there_is_room_again() {
    let events = [create(0, pod("home", 2000, 1)), create(1, pod("away", 1000, 1)), delete(3000, "home")];
    let outcome = replay(&site(), &events);
    assert_eq!((outcome.rented, outcome.moved), (1, 1));
    let hour = outcome.cost.0 as f64 / 360_000.0;
    assert!((3600.0..3780.0).contains(&(hour * 3600.0)), "ten minutes after there was room: {hour} h");
    assert_eq!(outcome.refused, []);
}

#[test]
fn a_cheaper_node_is_there_before_the_dearer_one_is_drained() {
    let mut events = vec![create(0, pod("home", 2000, 1))];
    events.extend((0..2).map(|n| create(1, pod(&format!("away{n}"), 2000, 1))));
    events.push(delete(1200, "away0"));
    let outcome = replay(&site(), &events);
    // One of four processors, then one of two; for the time of its start there are both.
    assert_eq!((outcome.rented, outcome.most_at_once, outcome.moved), (2, 2, 1));
    assert_eq!(outcome.refused, []);
}

#[test]
fn money_ends_with_the_budget_and_who_waits_is_told() {
    let mut poor = site();
    poor.monthly_budget = Some(Money(400_000));
    let events =
        [create(0, pod("home", 2000, 1)), create(0, pod("a", 2000, 1)), create(1800, pod("b", 2000, 1))];
    let outcome = replay(&poor, &events);
    assert_eq!((outcome.rented, outcome.refused.len()), (1, 1));
    assert!(outcome.refused[0].because.contains("this month's budget"), "{}", outcome.refused[0].because);
}

#[test]
fn everything_is_told_of_once_and_hours_add_up() {
    for seed in 0..5 {
        let events = generate(Generated { seed, pods: 150, hours: 12, minutes: 90 });
        let outcome = replay(&site(), &events);
        assert_eq!(outcome, replay(&site(), &events));
        assert_eq!(outcome.pods, 150);
        assert_eq!(outcome.ran + outcome.gave_up + outcome.refused.len(), 150);
        assert_eq!(outcome.hours.iter().map(|hour| hour.cost.0).sum::<u64>(), outcome.cost.0);
        assert_eq!(outcome.hours.iter().map(|hour| hour.created).sum::<usize>(), 150);
        assert_eq!(outcome.points.last().unwrap().nodes, 0, "nothing is left");
    }
}
