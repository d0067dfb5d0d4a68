//! Topology spread beyond its defaults: `minDomains`, and which nodes count.

use hoist::burst::pack::{HOSTNAME, Limits, Node, Pod, Problem, Requirement, Spread, Toleration, ZONE, pack};

use crate::{
    judge::judge,
    world::{app, labels, market, metal, rented, solve, spread, taint, zone},
};

const ZONES: [&str; 3] = ["eu-central-1a", "eu-central-1b", "eu-central-1c"];

/// Pods of one app, which spread like this.
fn spreading(pods: usize, spread: &Spread) -> Vec<Pod> {
    let one = |n| Pod { spread: vec![spread.clone()], ..app(&format!("p{n}"), "web", 100, 1) };
    (0..pods).map(one).collect()
}

fn web(key: &str) -> Spread {
    spread(key, "web").remove(0)
}

/// How many nodes have to be rented so that a scheduler finds a place for all, one after the other, where every node has
/// room for all of them.
fn needed(pods: usize, machines: usize, min_domains: usize, skew: usize) -> usize {
    let all_have_a_place = |nodes: usize| {
        let mut there = vec![0; nodes];
        (0..pods).all(|_| {
            let fewest = there.iter().min().copied().unwrap_or(0);
            let fewest = if nodes < min_domains { 0 } else { fewest };
            let place = there.iter_mut().find(|pods| **pods < fewest + skew);
            place.map(|pods| *pods += 1).is_some()
        })
    };
    (0..).find(|rented| all_have_a_place(machines + rented)).unwrap()
}

#[test]
fn as_many_nodes_are_rented_as_min_domains_asks_for_and_none_more() {
    let market = market(&[(8, 32, 40)], &ZONES[..1]);
    for pods in 1..=6 {
        for machines in 0..=3 {
            for min_domains in 1..=4 {
                for max_skew in 1..=2 {
                    let pods = spreading(pods, &Spread { min_domains, max_skew, ..web(HOSTNAME) });
                    let nodes: Vec<Node> = (0..machines).map(|n| metal(&format!("m{n}"), 8000, 32)).collect();
                    let problem =
                        Problem { pods: &pods, nodes: &nodes, market: &market, limits: Limits::default() };
                    let plan = pack(problem);
                    judge(&problem, &plan);
                    let told = format!("{} pods, {machines} machines, {min_domains}, {max_skew}", pods.len());
                    assert!(plan.unplaced.is_empty(), "{told}: {:?}", plan.unplaced);
                    // Without a machine there is no telling the nodes of these pods from those of others, which may be
                    // added at any time: then each has to hold one before the next has two.
                    let needed = needed(pods.len(), machines, min_domains as usize, max_skew as usize);
                    assert_eq!(plan.new.len(), needed, "{told}");
                }
            }
        }
    }
}

#[test]
fn more_zones_than_there_are_cannot_be_had_but_each_takes_its_part() {
    let two = market(&[(2, 8, 10)], &ZONES[..2]);
    let of = |min_domains, market| {
        let pods = spreading(4, &Spread { min_domains, ..web(ZONE) });
        let problem = Problem { pods: &pods, nodes: &[], market, limits: Limits::default() };
        let plan = pack(problem);
        judge(&problem, &plan);
        let mut zones: Vec<_> = plan.placed.iter().map(|p| zone(&problem, &plan, p.on).unwrap()).collect();
        zones.sort();
        (zones, plan)
    };
    assert_eq!(of(2, &two).0, [ZONES[0], ZONES[0], ZONES[1], ZONES[1]]);
    let (zones, plan) = of(3, &two);
    assert_eq!(zones, ZONES[..2]);
    let because = &plan.unplaced[0].because;
    assert_eq!(
        because,
        "must be spread or kept apart by topology.kubernetes.io/zone, and no domain is left for it"
    );
    assert_eq!(of(3, &market(&[(2, 8, 10)], &ZONES)).0.len(), 4);
}

/// Two zones at home: in one a node that the pods may use, and one that they may not, on which such pods run.
fn home(barred: impl Fn(&mut Node)) -> Vec<Node> {
    let mut nodes = [("a1", ZONES[0]), ("a2", ZONES[0]), ("b", ZONES[1])].map(|(name, zone)| {
        let mut node = metal(name, 8000, 32);
        node.labels.extend(labels(&[(ZONE, zone), ("disk", "ssd")]));
        node
    });
    barred(&mut nodes[1]);
    nodes[1].pods = vec![app("x", "web", 100, 1), app("y", "web", 100, 1)];
    nodes.to_vec()
}

/// Where one more would go.
fn place(nodes: &[Node], pod: Pod) -> Option<String> {
    let pods = [pod];
    let problem = Problem { pods: &pods, nodes, market: &market(&[], &[]), limits: Limits::default() };
    let plan = pack(problem);
    judge(&problem, &plan);
    plan.placed.first().and_then(|placed| zone(&problem, &plan, placed.on))
}

#[test]
fn pods_on_nodes_that_do_not_count_do_not_count() {
    let pod = |spread: Spread| Pod {
        affinity: vec![vec![Requirement::is("disk", "ssd")]],
        spread: vec![spread],
        ..app("p", "web", 100, 1)
    };
    // Zone a, which is full, has two such pods on a node that the affinity rules out. With b there is one in each.
    let nodes = |busy: &str| {
        let mut nodes = home(|node| drop(node.labels.remove("disk")));
        nodes.iter_mut().filter(|node| node.name == busy).for_each(|node| node.allocatable.milli_cpu = 0);
        nodes
    };
    assert_eq!(place(&nodes("b"), pod(web(ZONE))).as_deref(), Some(ZONES[0]), "the two are not counted");
    assert_eq!(place(&nodes("b"), pod(Spread { any_labels: true, ..web(ZONE) })), None, "they are");
    assert_eq!(place(&nodes("a1"), pod(Spread { any_labels: true, ..web(ZONE) })).as_deref(), Some(ZONES[1]));
}

#[test]
fn tainted_nodes_count_unless_the_pod_says_otherwise() {
    let pod = |spread: Spread| Pod { spread: vec![spread], ..app("p", "web", 100, 1) };
    let nodes = |busy: &str| {
        let mut nodes = home(|node| node.taints.push(taint("other")));
        nodes.iter_mut().filter(|node| node.name == busy).for_each(|node| node.allocatable.milli_cpu = 0);
        nodes
    };
    let honours = Spread { no_taints: true, ..web(ZONE) };
    assert_eq!(place(&nodes("b"), pod(web(ZONE))), None, "they count");
    assert_eq!(place(&nodes("b"), pod(honours.clone())).as_deref(), Some(ZONES[0]));
    let tolerant = Pod { tolerations: vec![Toleration::default()], ..pod(honours) };
    assert_eq!(place(&nodes("b"), tolerant), None, "not tainted for this one");
}

#[test]
fn nodes_without_the_labels_of_all_constraints_do_not_count() {
    // The machine has no zone, so nobody who is spread over zones can be there, and it is no empty domain.
    let market = market(&[(1, 4, 10)], &ZONES[..1]);
    let mut there = rented("r", 1000, 4, 10, false);
    there.labels.insert(ZONE.into(), ZONES[0].into());
    let nodes = [metal("m", 8000, 32), there];
    let both = vec![web(ZONE), Spread { max_skew: 2, ..web(HOSTNAME) }];
    let pods: Vec<Pod> =
        (0..4).map(|n| Pod { spread: both.clone(), ..app(&format!("p{n}"), "web", 100, 1) }).collect();
    let plan = solve(&pods, &nodes, &market);
    assert!(plan.unplaced.is_empty() && plan.new.is_empty(), "{plan:?}");
}
