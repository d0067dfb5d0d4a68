//! Examples by hand.

use hoist::burst::{
    offer::Money,
    pack::{HOSTNAME, Limits, Month, Pod, Problem, Requirement, Slot, Toleration, ZONE, pack},
};

use crate::{
    judge::judge,
    world::{app, labels, market, metal, peers, pod, rented, slot, solve, spread, taint, types, zone},
};

const ZONES: [&str; 3] = ["eu-central-1a", "eu-central-1b", "eu-central-1c"];

#[test]
fn two_pods_that_need_a_node_each_get_two_nodes() {
    // A peer launched three nodes for these.
    let market = market(&[(2, 8, 10), (4, 16, 20), (8, 32, 40)], &ZONES);
    for apart in [false, true] {
        let mut pods = [app("a", "web", 1500, 6), app("b", "web", 1500, 6)];
        if apart {
            pods.iter_mut().for_each(|pod| pod.apart = peers(HOSTNAME, "web"));
            let plan = solve(&pods, &[], &market);
            assert_eq!(types(&plan, &market), ["t0", "t0"]);
        } else {
            // Together they need the next size, which costs as much as two: then one node is better.
            let plan = solve(&pods, &[], &market);
            assert_eq!(types(&plan, &market), ["t1"]);
        }
    }
}

#[test]
fn the_administrators_machines_come_first_and_then_what_is_on_its_way() {
    let market = market(&[(2, 8, 10)], &ZONES);
    let nodes = [rented("r", 2000, 8, 10, true), metal("m", 2000, 8)];
    let pods = [pod("a", 1500, 2), pod("b", 1500, 2), pod("c", 1500, 2)];
    let plan = solve(&pods, &nodes, &market);
    assert_eq!(types(&plan, &market), ["t0"]);
    let mut slots: Vec<Slot> = plan.placed.iter().map(|placement| placement.on).collect();
    assert_eq!(slots[0], Slot::Existing(1), "metal first");
    slots.sort_unstable();
    assert_eq!(slots, [Slot::Existing(0), Slot::Existing(1), Slot::New(0)]);
}

#[test]
fn a_node_on_its_way_has_room_only_beside_its_daemons() {
    let mut market = market(&[(2, 8, 10)], &ZONES);
    market.daemons = vec![Pod { daemon: true, ..pod("agent", 600, 1) }];
    let nodes = [rented("r", 2000, 8, 10, true)];
    let plan = solve(&[pod("a", 1500, 1)], &nodes, &market);
    // Neither there nor on a new node.
    assert_eq!(plan.unplaced.len(), 1);
    let plan = solve(&[pod("a", 1400, 1)], &nodes, &market);
    assert_eq!(slot(&plan, 0), Some(Slot::Existing(0)));
}

#[test]
fn daemons_take_room_on_every_new_node_that_they_tolerate() {
    let mut market = market(&[(2, 8, 10), (4, 16, 20)], &ZONES);
    market.taints = vec![taint("cloud")];
    let cloudy = |pod: Pod| Pod { tolerations: vec![Toleration::default()], ..pod };
    let pods = [cloudy(pod("a", 1800, 2))];
    market.daemons = vec![pod("elsewhere", 500, 1)];
    assert_eq!(types(&solve(&pods, &[], &market), &market), ["t0"]);
    market.daemons = vec![cloudy(pod("everywhere", 500, 1))];
    assert_eq!(types(&solve(&pods, &[], &market), &market), ["t1"]);
}

#[test]
fn spread_over_zones_counts_pods_that_are_there() {
    let market = market(&[(2, 8, 10), (8, 32, 40)], &ZONES);
    let mut node = rented("r", 1000, 4, 10, false);
    node.labels.insert(ZONE.into(), ZONES[0].into());
    node.pods = vec![app("there", "web", 900, 1)];
    let pods: Vec<Pod> =
        (0..2).map(|n| Pod { spread: spread(ZONE, "web"), ..app(&format!("p{n}"), "web", 500, 1) }).collect();
    let nodes = [node];
    let problem = Problem { pods: &pods, nodes: &nodes, market: &market, limits: Limits::default() };
    let plan = pack(problem);
    judge(&problem, &plan);
    let mut zones: Vec<_> = plan.placed.iter().map(|p| zone(&problem, &plan, p.on).unwrap()).collect();
    zones.sort();
    assert_eq!(zones, ZONES[1..]);
}

#[test]
fn pods_that_are_to_be_near_wait_for_those_that_they_follow() {
    let market = market(&[(2, 8, 10)], &ZONES);
    let mut leader = app("leader", "db", 100, 1);
    leader.affinity = vec![vec![Requirement::is(ZONE, ZONES[2])]];
    // The follower is larger, so that it is taken first.
    let pods = [Pod { near: peers(ZONE, "db"), ..app("follower", "web", 1900, 6) }, leader];
    let problem = Problem { pods: &pods, nodes: &[], market: &market, limits: Limits::default() };
    let plan = pack(problem);
    judge(&problem, &plan);
    assert!(plan.unplaced.is_empty(), "{:?}", plan.unplaced);
    assert!(plan.placed.iter().all(|p| zone(&problem, &plan, p.on).as_deref() == Some(ZONES[2])));
}

#[test]
fn another_offer_is_named_for_when_there_is_none_of_the_first() {
    let mut market = market(&[(2, 8, 10), (4, 16, 20)], &["eu-central-1a", "eu-central-1b"]);
    let pods = [pod("a", 1500, 2)];
    let plan = solve(&pods, &[], &market);
    assert_eq!((plan.new[0].offer, plan.new[0].instead.as_slice()), (0, [1, 2, 3].as_slice()));
    market.offers[0].exhausted = true;
    assert_eq!(solve(&pods, &[], &market).new[0].offer, 1);
}

#[test]
fn every_pod_without_a_place_is_told_why() {
    let mut offers = market(&[(2, 8, 10), (4, 16, 20)], &ZONES);
    offers.taints = vec![taint("cloud")];
    let with = |change: fn(&mut Pod)| {
        let mut pod = Pod { tolerations: vec![Toleration::default()], ..app("a", "web", 1000, 1) };
        change(&mut pod);
        pod
    };
    let exhausted = {
        let mut offers = offers.clone();
        offers.offers.iter_mut().skip(3).for_each(|listed| listed.exhausted = true);
        offers
    };
    let none = Limits::default();
    let month = Some(Month { budget: Money::dollars(200), spent: Money(199_950_000) });
    for (pod, market, limits, expected) in [
        (
            with(|pod| {
                pod.requests.extended.insert("nvidia.com/gpu".into(), 1);
            }),
            &offers,
            none,
            "needs nvidia.com/gpu, which no offered type has",
        ),
        (with(|pod| pod.tolerations.clear()), &offers, none, "does not tolerate the taint cloud:NoSchedule"),
        (
            with(|pod| pod.stays_home = Some("its volume data-0 is Longhorn's".into())),
            &offers,
            none,
            "it can only run on your own machines, and there is no room: its volume data-0 is Longhorn's",
        ),
        (
            with(|pod| pod.selector = labels(&[("disk", "ssd")])),
            &offers,
            none,
            "asks for a node with disk=ssd, which no rented node would be",
        ),
        (with(|pod| pod.requests.milli_cpu = 4001), &offers, none, "more than any offered type has"),
        (
            with(|pod| pod.requests.milli_cpu = 3000),
            &exhausted,
            none,
            "there is no capacity now of what would hold it: t1 in eu-central-1a and 2 more",
        ),
        (with(|_| {}), &offers, Limits { nodes: Some(0), ..none }, "the limit of 0 rented nodes is reached"),
        (with(|_| {}), &offers, Limits { vcpus: Some(1), ..none }, "over the limit of 1 vCPUs"),
        (
            with(|_| {}),
            &offers,
            Limits { hourly: Some(Money(90_000)), ..none },
            "over the limit of an hour's cost: 0.0900 dollars",
        ),
        (with(|_| {}), &offers, Limits { month, ..none }, "over this month's budget: 0.0500 dollars"),
        (
            with(|pod| pod.near = peers(ZONE, "nobody")),
            &offers,
            none,
            "must be near other pods (by topology.kubernetes.io/zone)",
        ),
        (with(|pod| pod.spread = spread("rack", "web")), &offers, none, "spread or kept apart by rack"),
    ] {
        let pods = [pod];
        let plan = pack(Problem { pods: &pods, nodes: &[], market, limits });
        let because = &plan.unplaced.first().unwrap_or_else(|| panic!("{expected}: {plan:?}")).because;
        assert!(because.contains(expected), "{because}\nis not\n{expected}");
    }
}

#[test]
fn limits_count_what_is_rented_already_and_the_important_come_first() {
    let market = market(&[(2, 8, 10)], &ZONES);
    let nodes = [rented("full", 100, 1, 10, false)];
    let mut pods = [pod("a", 1900, 2), pod("b", 1500, 2), pod("c", 1900, 2)];
    pods[1].priority = 1000;
    for limits in [
        Limits { nodes: Some(2), ..Limits::default() },
        Limits { vcpus: Some(3), ..Limits::default() },
        Limits { hourly: Some(Money(200_000)), ..Limits::default() },
    ] {
        let plan = pack(Problem { pods: &pods, nodes: &nodes, market: &market, limits });
        assert_eq!(plan.placed.iter().map(|p| p.pod).collect::<Vec<_>>(), [1], "{limits:?}");
        assert_eq!((plan.new.len(), plan.unplaced.len()), (1, 2));
    }
}

#[test]
fn a_larger_node_is_taken_where_it_is_cheaper_than_several() {
    // Five small ones would cost 50 cents.
    let market = market(&[(1, 4, 10), (5, 20, 30)], &ZONES);
    let pods: Vec<Pod> = (0..5).map(|n| pod(&format!("p{n}"), 1000, 1)).collect();
    assert_eq!(types(&solve(&pods, &[], &market), &market), ["t1"]);
}
