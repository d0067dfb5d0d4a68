//! What holds for every plan, whatever the problem.

use fastrand::Rng;
use hoist::burst::pack::{HOSTNAME, Limits, Market, Node, Pod, Problem, Requirement, Toleration, ZONE, pack};
use proptest::prelude::*;

use crate::{
    judge::judge,
    world::{app, labels, market, metal, peers, port, rented, solve, spread, taint},
};

const APPS: [&str; 3] = ["red", "green", "blue"];
const ZONES: [&str; 3] = ["eu-central-1a", "eu-central-1b", "eu-central-1c"];

fn random_pod(random: &mut Rng, name: String) -> Pod {
    let mut choose = |list: &[&'static str; 3]| list[random.usize(..3)];
    let (own, other, zone) = (choose(&APPS), choose(&APPS), choose(&ZONES));
    let mut pod = app(&name, own, 100 * random.u64(1..20), random.u64(1..6));
    let key = if random.bool() { ZONE } else { HOSTNAME };
    match random.u8(..12) {
        0 | 1 => pod.spread = spread(key, own),
        2 => pod.spread = spread(key, other),
        3 | 4 => pod.apart = peers(HOSTNAME, own),
        5 => pod.apart = peers(key, other),
        6 => pod.near = peers(key, own),
        7 => pod.near = peers(key, other),
        8 => pod.affinity = vec![vec![Requirement::is(ZONE, zone)]],
        9 => pod.stays_home = Some("its data is here".into()),
        _ => {}
    }
    if random.u8(..8) == 0 {
        pod.spread.extend(spread(ZONE, own));
    }
    if random.bool() {
        pod.tolerations = vec![Toleration { key: Some("cloud".into()), ..Toleration::default() }];
    }
    for spread in &mut pod.spread {
        spread.min_domains = random.u32(0..4);
        spread.any_labels = random.u8(..4) == 0;
        spread.no_taints = random.u8(..4) == 0;
    }
    if random.u8(..8) == 0 {
        pod.selector = labels(&[("disk", "ssd")]);
    }
    if random.u8(..4) == 0 {
        pod.ports =
            vec![port(random.u16(80..82), [None, Some("10.0.0.1"), Some("10.0.0.2")][random.usize(..3)])];
    }
    pod.priority = random.i32(0..2);
    pod
}

struct World {
    pods: Vec<Pod>,
    nodes: Vec<Node>,
    market: Market,
    limits: Limits,
}

fn random_world(seed: u64, pods: usize) -> World {
    let random = &mut Rng::with_seed(seed);
    let taint = taint("cloud");
    let mut nodes = Vec::new();
    for number in 0..random.usize(..5) {
        let mut node = match random.bool() {
            true => metal(&format!("m{number}"), 4000, 16),
            false => rented(&format!("r{number}"), 4000, 16, 20, random.bool()),
        };
        if random.bool() {
            node.labels.insert(ZONE.into(), ZONES[random.usize(..3)].into());
        }
        if random.u8(..4) == 0 {
            node.taints.push(taint.clone());
        }
        if random.bool() {
            node.labels.insert("disk".into(), "ssd".into());
        }
        if random.bool() {
            let running = random_pod(random, format!("running{number}"));
            node.pods.push(running);
        }
        nodes.push(node);
    }
    let mut types = vec![(4, 16, 20)];
    types.extend((0..random.usize(..4)).map(|_| (random.u32(1..9), random.u64(2..33), random.u64(5..50))));
    let mut market = market(&types, &ZONES[..random.usize(1..4)]);
    for listed in &mut market.offers {
        listed.exhausted = random.u8(..6) == 0;
    }
    if random.u8(..4) == 0 {
        market.taints.push(taint);
    }
    market.daemons =
        vec![Pod { daemon: true, tolerations: vec![Toleration::default()], ..app("agent", "agent", 100, 0) }];
    let limits = Limits { nodes: random.bool().then(|| random.u32(1..8)), ..Limits::default() };
    World { pods: (0..pods).map(|n| random_pod(random, format!("p{n}"))).collect(), nodes, market, limits }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_placement_is_allowed_and_no_node_is_too_full(seed: u64, pods in 0usize..25) {
        let world = random_world(seed, pods);
        let World { pods, nodes, market, limits } = &world;
        let problem = Problem { pods, nodes, market, limits: *limits };
        let plan = pack(problem);
        judge(&problem, &plan);
        let rented = nodes.iter().filter(|node| !node.is_metal()).count();
        let limit = limits.nodes.unwrap_or(u32::MAX) as usize;
        prop_assert!(plan.new.is_empty() || rented + plan.new.len() <= limit);
        prop_assert!(plan.new.len() <= pods.len());
        prop_assert_eq!(&plan, &pack(problem), "the same question, the same answer");
    }

    #[test]
    fn a_plan_needs_nothing_once_it_was_carried_out(seed: u64, pods in 0usize..15) {
        let World { pods, mut nodes, market, .. } = random_world(seed, pods);
        let problem = Problem { pods: &pods, nodes: &nodes, market: &market, limits: Limits::default() };
        let plan = pack(problem);
        // What has no place had none before, so that it has none now.
        let left: Vec<Pod> = plan.unplaced.iter().map(|unplaced| pods[unplaced.pod].clone()).collect();
        let mut there: Vec<Node> = Vec::new();
        for number in 0..plan.new.len() {
            let offer = &market.offers[plan.new[number].offer];
            let shape = market.shapes.iter().find(|shape| shape.name == offer.offer.instance_type).unwrap();
            let mut node = rented(&format!("new-{number}"), 0, 0, 1, false);
            node.allocatable = shape.allocatable.clone();
            node.labels = crate::world::labels_of(&problem, &plan, hoist::burst::pack::Slot::New(number));
            node.taints = market.taints.clone();
            node.pods = market.daemons.clone();
            there.push(node);
        }
        let existing = nodes.len();
        nodes.append(&mut there);
        for placement in &plan.placed {
            let number = match placement.on {
                hoist::burst::pack::Slot::Existing(number) => number,
                hoist::burst::pack::Slot::New(number) => existing + number,
            };
            nodes[number].pods.push(pods[placement.pod].clone());
        }
        let again = solve(&left, &nodes, &market);
        prop_assert!(again.new.len() <= left.len());
        if left.is_empty() {
            prop_assert!(again.new.is_empty());
        }
    }

    /// The packer is no exact one: another offer can lead it astray, never by more than a half.
    #[test]
    fn another_offer_does_not_make_it_dearer(seed: u64, pods in 1usize..12, extra in (1u32..9, 2u64..33, 5u64..50)) {
        let random = &mut Rng::with_seed(seed);
        let pods: Vec<Pod> = (0..pods).map(|n| app(&format!("p{n}"), "red", 100 * random.u64(1..20), random.u64(1..6))).collect();
        let few = market(&[(4, 16, 20), (8, 32, 38)], &ZONES);
        let more = market(&[(4, 16, 20), (8, 32, 38), extra], &ZONES);
        let (before, after) = (solve(&pods, &[], &few), solve(&pods, &[], &more));
        prop_assert!(after.price(&more).0 * 2 <= before.price(&few).0 * 3);
    }
}
