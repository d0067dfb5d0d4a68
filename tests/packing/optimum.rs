//! Small problems whose optimum is found by trying every way to group the pods.

use hoist::burst::pack::{Market, Pod, Resources};
use proptest::prelude::*;

use crate::world::{GIB, market, pod, port, solve};

/// The lowest price, and the fewest nodes at that price.
fn optimum(pods: &[Pod], market: &Market) -> (u64, usize) {
    let price = |group: &[usize]| {
        let clash =
            |a: &usize, b: &usize| a != b && pods[*a].ports.iter().any(|port| pods[*b].ports.contains(port));
        if group.iter().any(|a| group.iter().any(|b| clash(a, b))) {
            return None;
        }
        let mut needed = Resources::default();
        group.iter().for_each(|number| needed += &pods[*number].requests);
        let fits = market.offers.iter().filter(|listed| {
            let shape = market.shapes.iter().find(|shape| shape.name == listed.offer.instance_type).unwrap();
            shape.allocatable.milli_cpu >= needed.milli_cpu && shape.allocatable.memory >= needed.memory
        });
        fits.map(|listed| listed.offer.price.0).min()
    };
    fn every_way(
        next: usize,
        count: usize,
        groups: &mut Vec<Vec<usize>>,
        judge: &mut dyn FnMut(&[Vec<usize>]),
    ) {
        if next == count {
            return judge(groups);
        }
        for number in 0..groups.len() {
            groups[number].push(next);
            every_way(next + 1, count, groups, judge);
            groups[number].pop();
        }
        groups.push(vec![next]);
        every_way(next + 1, count, groups, judge);
        groups.pop();
    }
    let mut best = (u64::MAX, usize::MAX);
    every_way(0, pods.len(), &mut Vec::new(), &mut |groups| {
        if let Some(sum) = groups.iter().map(|group| price(group)).sum::<Option<u64>>() {
            best = best.min((sum, groups.len()));
        }
    });
    best
}

fn pods() -> impl Strategy<Value = Vec<Pod>> {
    // Every fourth wants one of two ports of its node.
    let one = (1u64..=16, 1u64..=16, 0u16..8).prop_map(|(cpu, memory, number)| Pod {
        requests: Resources::new(cpu * 250, memory * GIB / 2),
        ports: if number < 2 { vec![port(80 + number, None)] } else { Vec::new() },
        ..pod("", 0, 0)
    });
    proptest::collection::vec(one, 1..=7)
}

/// Up to four types, the largest of which holds every pod. Prices need not be fair.
fn markets() -> impl Strategy<Value = Market> {
    let one = (1u32..=8, 1u64..=16, 5u64..=100);
    proptest::collection::vec(one, 0..=3).prop_map(|mut types| {
        types.push((8, 16, 90));
        market(&types, &["eu-central-1a"])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// The bound that docs/burst.md states.
    #[test]
    fn never_twice_the_optimum(pods in pods(), market in markets()) {
        let plan = solve(&pods, &[], &market);
        let (price, _) = optimum(&pods, &market);
        prop_assert!(plan.unplaced.is_empty());
        prop_assert!(plan.price(&market).0 < price * 2, "{} instead of {price}", plan.price(&market).0);
    }
}

#[test]
fn nearly_always_it_is_the_optimum_with_the_fewest_nodes() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let (mut best, mut same_nodes, mut worst) = (0, 0, 1.0f64);
    const CASES: usize = 200;
    for _ in 0..CASES {
        let (pods, market) = (pods(), markets()).new_tree(&mut runner).unwrap().current();
        let plan = solve(&pods, &[], &market);
        let (price, nodes) = optimum(&pods, &market);
        let mine = plan.price(&market).0;
        assert!(mine >= price, "cheaper than the optimum");
        best += usize::from(mine == price);
        same_nodes += usize::from(mine == price && plan.new.len() == nodes);
        worst = worst.max(mine as f64 / price as f64);
    }
    println!("{best} of {CASES} have the lowest price, {same_nodes} with the fewest nodes; worst {worst:.3}");
    assert!(best * 100 >= CASES * 97, "{best} of {CASES}");
    assert!(same_nodes * 100 >= CASES * 95, "{same_nodes} of {CASES}");
}
