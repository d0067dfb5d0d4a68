//! Rented nodes that are sent home.

use std::collections::BTreeMap;

use hoist::burst::pack::{
    Drain, Home, Limits, Market, Node, Patience, Pod, Rented, Settings, Why, send_home,
};

use crate::world::{market, metal, pod, rented};

struct Cluster {
    nodes: Vec<Node>,
    rented: Vec<Rented>,
    market: Market,
    budgets: BTreeMap<String, u32>,
    last_add: u64,
}

impl Cluster {
    /// One machine of four processors, and these rented nodes with a pod of so many thousandths on each.
    fn with(nodes: &[(u64, u64, u64)]) -> Cluster {
        let mut all = vec![metal("m", 4000, 16)];
        for (number, (milli_cpu, cents, pod_cpu)) in nodes.iter().enumerate() {
            let mut node = rented(&format!("r{number}"), *milli_cpu, 16, *cents, false);
            if *pod_cpu > 0 {
                node.pods.push(pod(&format!("p{number}"), *pod_cpu, 1));
            }
            node.pods.push(Pod { daemon: true, ..pod("agent", 50, 0) });
            all.push(node);
        }
        let rented = nodes.iter().enumerate().map(|(number, (_, _, cpu))| Rented {
            node: number + 1,
            since: 0,
            empty_since: (*cpu == 0).then_some(1000),
            draining: false,
        });
        Cluster {
            rented: rented.collect(),
            nodes: all,
            market: market(&[(2, 16, 10), (4, 16, 20)], &["eu-central-1a"]),
            budgets: BTreeMap::new(),
            last_add: 0,
        }
    }

    fn ask(&self, now: u64, patience: &mut Patience) -> Vec<Drain> {
        let home = Home {
            now,
            last_add: self.last_add,
            nodes: &self.nodes,
            rented: &self.rented,
            budgets: &self.budgets,
            market: &self.market,
            limits: Limits::default(),
            settings: Settings::default(),
        };
        send_home(&home, patience)
    }

    /// What is answered when everything has been stable for long enough.
    fn settled(&self) -> Vec<Drain> {
        let mut patience = Patience::default();
        assert_eq!(
            self.ask(9400, &mut patience).iter().filter(|d| !matches!(d.why, Why::Empty { .. })).count(),
            0
        );
        self.ask(10_000, &mut patience)
    }
}

fn told(drains: &[Drain]) -> Vec<(usize, String)> {
    drains.iter().map(|drain| (drain.node, drain.why.to_string())).collect()
}

#[test]
fn pods_that_fit_at_home_are_sent_there() {
    let cluster = Cluster::with(&[(4000, 20, 1000)]);
    assert_eq!(told(&cluster.settled()), [(1, "its pod has room on your own machines".to_owned())]);
}

#[test]
fn nothing_moves_before_its_time() {
    let mut cluster = Cluster::with(&[(4000, 20, 1000)]);
    cluster.market = Market::default();
    let mut patience = Patience::default();
    let mut drained = |cluster: &Cluster, now| !cluster.ask(now, &mut patience).is_empty();
    assert!(!drained(&cluster, 500), "seen for the first time");
    assert!(!drained(&cluster, 899), "younger than a quarter of an hour");
    assert!(!drained(&cluster, 1099), "not stable for ten minutes");
    assert!(drained(&cluster, 1100));
    cluster.last_add = 1000;
    assert!(!drained(&cluster, 1599), "a node was added less than ten minutes ago");
    assert!(drained(&cluster, 1600));
    // There was no room for a moment: ten minutes begin anew.
    cluster.nodes[0].pods.push(pod("large", 4000, 1));
    assert!(!drained(&cluster, 1700));
    cluster.nodes[0].pods.clear();
    assert!(!drained(&cluster, 1800) && !drained(&cluster, 2399) && drained(&cluster, 2400));
}

#[test]
fn empty_nodes_go_ten_at_a_time_after_five_minutes() {
    let cluster = Cluster::with(&[(2000, 10, 0); 12]);
    assert_eq!(cluster.ask(1299, &mut Patience::default()), []);
    let drains = cluster.ask(1300, &mut Patience::default());
    assert_eq!(drains.len(), 10);
    assert_eq!(told(&drains)[0].1, "nothing has run on it for 300 s");
}

#[test]
fn nodes_with_pods_go_one_at_a_time_the_dearest_first() {
    let mut cluster = Cluster::with(&[(2000, 10, 1000), (4000, 20, 1000)]);
    assert_eq!(told(&cluster.settled()), [(2, "its pod has room on your own machines".to_owned())]);
    cluster.rented[1].draining = true;
    assert_eq!(cluster.settled(), []);
}

#[test]
fn fewer_or_cheaper_nodes_are_enough_where_enough_is_saved() {
    // The machine is full.
    let full = |mut cluster: Cluster| {
        cluster.nodes[0].pods.push(pod("large", 4000, 1));
        cluster
    };
    let two = full(Cluster::with(&[(4000, 20, 1000), (4000, 20, 1000)]));
    assert_eq!(told(&two.settled()), [(1, "its pod has room on nodes that are there".to_owned())]);
    let large = full(Cluster::with(&[(4000, 20, 1000)]));
    let drains = large.settled();
    assert_eq!(told(&drains), [(1, "0.1000 dollars an hour would do instead of 0.2000".to_owned())]);
    assert_eq!(drains[0].instead.len(), 1);
    // One of eleven cents is less than fifteen hundredths.
    assert_eq!(full(Cluster::with(&[(2000, 11, 1000)])).settled(), []);
}

#[test]
fn what_must_not_be_evicted_keeps_its_node() {
    let mut cluster = Cluster::with(&[(4000, 20, 1000)]);
    cluster.budgets.insert("default/p0".into(), 0);
    assert_eq!(cluster.settled(), []);
    cluster.budgets.insert("default/p0".into(), 1);
    assert_eq!(cluster.settled().len(), 1);
    cluster.nodes[1].pods[0].controller = None;
    assert_eq!(cluster.settled(), [], "nothing would make it anew");
}
