//! The simulated cluster.

use std::collections::BTreeMap;

use crate::burst::{
    offer::Money,
    pack::{HOSTNAME, Market, NewNode, Node, Origin, Pod, Resources, Taint},
};

/// EC2 bills by the second, and at least a minute.
const LEAST_BILLED: u64 = 60_000;

/// A pod that waits for a node.
pub(super) struct Waiting {
    pub pod: Pod,
    /// When it began to wait. Milliseconds, as all times here.
    pub since: u64,
    /// Whether it had a node before.
    pub moved: bool,
    /// Whether nodes were rented for it as far as that was possible.
    pub considered: bool,
}

/// What is known of a rented node.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub asked: u64,
    /// When it is ready.
    pub ready: u64,
    pub empty_since: Option<u64>,
    /// When it is drained at the latest.
    pub drained: Option<u64>,
}

/// The simulated cluster. Nodes that are ready stand before those that are not.
#[derive(Default)]
pub(super) struct State {
    pub nodes: Vec<Node>,
    pub ready: usize,
    pub leases: BTreeMap<String, Lease>,
    pub waiting: Vec<Waiting>,
    pub rented: usize,
    /// Bills of nodes that were given back.
    paid: Money,
}

impl State {
    pub fn of(metal: &[Node]) -> State {
        State { nodes: metal.to_vec(), ready: metal.len(), ..State::default() }
    }

    /// Asks for a node.
    pub fn rent(&mut self, market: &Market, new: &NewNode, now: u64, ready: u64) {
        let Some(listed) = market.offers.get(new.offer) else { return };
        let offer = &listed.offer;
        let Some(shape) = market.shapes.iter().find(|shape| shape.name == offer.instance_type) else {
            return;
        };
        self.rented += 1;
        let name = format!("burst-{}", self.rented);
        self.nodes.push(shape.node(&name, offer, &market.labels, market.taints.clone()));
        self.leases.insert(name, Lease { asked: now, ready, empty_since: None, drained: None });
    }

    /// Nodes whose time has come join.
    pub fn join(&mut self, now: u64) -> bool {
        let before = self.ready;
        for number in self.ready..self.nodes.len() {
            let node = &mut self.nodes[number];
            let Some(lease) = self.leases.get_mut(&node.name) else { continue };
            if lease.ready > now {
                continue;
            }
            lease.empty_since = Some(now);
            if let Origin::Rented { in_flight, .. } = &mut node.origin {
                *in_flight = false;
            }
            self.nodes.swap(number, self.ready);
            self.ready += 1;
        }
        self.ready > before
    }

    /// Keeps new pods away from a node, and lets those that are on it wait for another.
    pub fn drain(&mut self, number: usize, now: u64, until: u64, cordon: Taint) -> usize {
        let node = &mut self.nodes[number];
        node.taints.push(cordon);
        if let Some(lease) = self.leases.get_mut(&node.name) {
            lease.drained = Some(until);
        }
        let moved = std::mem::take(&mut node.pods);
        let count = moved.len();
        let waiting =
            moved.into_iter().map(|pod| Waiting { pod, since: now, moved: true, considered: false });
        self.waiting.extend(waiting);
        count
    }

    /// Gives back the nodes that are drained.
    pub fn return_drained(&mut self, now: u64) {
        let done = |lease: &Lease| lease.drained.is_some_and(|drained| drained <= now);
        let names: Vec<String> =
            self.leases.iter().filter(|(_, lease)| done(lease)).map(|(name, _)| name.clone()).collect();
        for name in names {
            if let Some(number) = self.nodes.iter().position(|node| node.name == name) {
                self.paid.0 += self.bill(&self.nodes[number], now).0;
                self.nodes.remove(number);
                self.ready -= 1;
            }
            self.leases.remove(&name);
        }
    }

    fn bill(&self, node: &Node, now: u64) -> Money {
        let Some(lease) = self.leases.get(&node.name) else { return Money(0) };
        let milliseconds = now.saturating_sub(lease.asked).max(LEAST_BILLED);
        Money((u128::from(node.price().0) * u128::from(milliseconds) / 3_600_000) as u64)
    }

    /// What everything has cost up to now.
    pub fn cost(&self, now: u64) -> Money {
        Money(self.paid.0 + self.nodes.iter().map(|node| self.bill(node, now).0).sum::<u64>())
    }

    /// Ends a pod, wherever it is. Says whether it waited.
    pub fn end(&mut self, name: &str, now: u64) -> Option<Waiting> {
        if let Some(place) = self.waiting.iter().position(|waiting| waiting.pod.full_name() == name) {
            return Some(self.waiting.remove(place));
        }
        for node in &mut self.nodes {
            if let Some(place) = node.pods.iter().position(|pod| pod.full_name() == name) {
                node.pods.remove(place);
                if node.pods.is_empty()
                    && let Some(lease) = self.leases.get_mut(&node.name)
                {
                    lease.empty_since = Some(now);
                }
                return None;
            }
        }
        None
    }
}

/// A machine of the administrator's, for simulations: so many processors and GiB, all of it for pods.
pub fn machine(name: &str, cores: u32, memory_gib: u32) -> Node {
    Node {
        name: name.to_owned(),
        labels: BTreeMap::from([
            (HOSTNAME.to_owned(), name.to_owned()),
            ("kubernetes.io/arch".to_owned(), "amd64".to_owned()),
            ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ]),
        taints: Vec::new(),
        allocatable: Resources {
            storage: 1 << 40,
            ..Resources::new(u64::from(cores) * 1000, u64::from(memory_gib) << 30)
        },
        max_pods: 110,
        pods: Vec::new(),
        origin: Origin::Metal,
    }
}
