//! Which rented nodes are not needed any more: what runs on them has room at home, or can be had for less.

use std::{collections::BTreeMap, fmt};

use super::{
    choose::pack,
    node::Node,
    plan::{Limits, Market, NewNode, Problem, Slot},
    pod::Pod,
};
use crate::burst::offer::Money;

/// When rented nodes are sent home. Times are in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// A node without pods goes after so long.
    pub empty: u64,
    /// Pods are moved when they could have been for so long without a break.
    pub stable: u64,
    /// And not so soon after a node was added.
    pub after_add: u64,
    /// And not from a node that is younger than this.
    pub minimum_life: u64,
    /// The least part of the price, in hundredths, that must be saved where other nodes are rented instead.
    pub saving: u64,
    /// How many empty nodes, and how many others, are drained at once.
    pub empty_at_once: usize,
    pub at_once: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            empty: 300,
            stable: 600,
            after_add: 600,
            minimum_life: 900,
            saving: 15,
            empty_at_once: 10,
            at_once: 1,
        }
    }
}

/// What is known of a rented node beside what Kubernetes tells. Times are seconds on any one clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rented {
    /// The number among the nodes.
    pub node: usize,
    pub since: u64,
    /// Since when it has had no pods but daemons.
    pub empty_since: Option<u64>,
    pub draining: bool,
}

/// The cluster as it is now.
#[derive(Debug, Clone, Copy)]
pub struct Home<'a> {
    pub now: u64,
    /// When the last node was added.
    pub last_add: u64,
    pub nodes: &'a [Node],
    /// Those that may be sent home.
    pub rented: &'a [Rented],
    /// How many more pods may be evicted now, for each pod that a disruption budget is about, by its full name.
    pub budgets: &'a BTreeMap<String, u32>,
    pub market: &'a Market,
    pub limits: Limits,
    pub settings: Settings,
}

/// A node to be drained and given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// The number among the nodes.
    pub node: usize,
    pub why: Why,
    /// To be rented before it is drained.
    pub instead: Vec<NewNode>,
}

/// Why a node is not needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Nothing runs on it, for so many seconds.
    Empty { seconds: u64 },
    /// All of its pods have room on the administrator's machines.
    FitsAtHome { pods: usize },
    /// All of its pods have room on nodes that are there.
    FitsElsewhere { pods: usize },
    /// They can be had for less.
    Cheaper { now: Money, then: Money },
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count =
            |pods: &usize| if *pods == 1 { "its pod has".into() } else { format!("its {pods} pods have") };
        match self {
            Why::Empty { seconds } => write!(formatter, "nothing has run on it for {seconds} s"),
            Why::FitsAtHome { pods } => write!(formatter, "{} room on your own machines", count(pods)),
            Why::FitsElsewhere { pods } => write!(formatter, "{} room on nodes that are there", count(pods)),
            Why::Cheaper { now, then } => {
                write!(formatter, "{then} dollars an hour would do instead of {now}")
            }
        }
    }
}

/// Since when each node could have been drained without a break, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patience(BTreeMap<String, u64>);

/// Says which rented nodes to drain now. Who asks keeps `patience` from one time to the next, and asks at least once a
/// minute.
pub fn send_home(home: &Home<'_>, patience: &mut Patience) -> Vec<Drain> {
    let Home { now, settings, .. } = *home;
    let empty = home.rented.iter().filter_map(|rented| {
        let seconds = now.saturating_sub(rented.empty_since?);
        let ripe = !rented.draining && seconds >= settings.empty;
        ripe.then(|| Drain { node: rented.node, why: Why::Empty { seconds }, instead: Vec::new() })
    });
    let mut drains: Vec<Drain> = empty.take(settings.empty_at_once).collect();

    let possible = movable(home);
    let since: BTreeMap<String, u64> = possible
        .iter()
        .filter_map(|drain| {
            let name = &home.nodes.get(drain.node)?.name;
            Some((name.clone(), patience.0.get(name).copied().unwrap_or(now)))
        })
        .collect();
    patience.0 = since;
    let underway =
        home.rented.iter().filter(|rented| rented.draining && rented.empty_since.is_none()).count();
    let age = |node: usize| {
        home.rented
            .iter()
            .find(|rented| rented.node == node)
            .map_or(0, |rented| now.saturating_sub(rented.since))
    };
    let stable = |node: usize| {
        let since = home.nodes.get(node).and_then(|node| patience.0.get(&node.name));
        since.is_some_and(|since| now.saturating_sub(*since) >= settings.stable)
    };
    let quiet = now.saturating_sub(home.last_add) >= settings.after_add;
    let ripe = possible
        .into_iter()
        .filter(|drain| quiet && stable(drain.node) && age(drain.node) >= settings.minimum_life);
    drains.extend(ripe.take(settings.at_once.saturating_sub(underway)));
    drains
}

/// Nodes whose pods have room elsewhere, all at the same time. The most expensive is asked first.
fn movable(home: &Home<'_>) -> Vec<Drain> {
    let mut candidates: Vec<&Rented> = home
        .rented
        .iter()
        .filter(|rented| !rented.draining && rented.empty_since.is_none())
        .filter(|rented| home.nodes.get(rented.node).is_some_and(|node| may_move(node, home.budgets)))
        .collect();
    let price = |rented: &Rented| home.nodes[rented.node].price();
    candidates.sort_by_key(|rented| (std::cmp::Reverse(price(rented)), rented.node));
    // What has been decided already takes room.
    let mut nodes = home.nodes.to_vec();
    let mut gone: Vec<usize> = home
        .rented
        .iter()
        .filter(|rented| rented.draining || rented.empty_since.is_some())
        .map(|rented| rented.node)
        .collect();
    let mut drains = Vec::new();
    for candidate in candidates {
        let moved: Vec<Pod> = nodes[candidate.node].pods.iter().filter(|pod| !pod.daemon).cloned().collect();
        let before = gone.clone();
        gone.push(candidate.node);
        let places: Vec<usize> = (0..nodes.len()).filter(|number| !gone.contains(number)).collect();
        let there: Vec<Node> = places.iter().map(|number| nodes[*number].clone()).collect();
        let Some((why, instead, placed)) = elsewhere(home, &moved, &there, price(candidate)) else {
            gone = before;
            continue;
        };
        for (pod, on) in placed {
            nodes[places[on]].pods.push(moved[pod].clone());
        }
        drains.push(Drain { node: candidate.node, why, instead });
    }
    drains
}

impl Settings {
    /// What another node may cost in an hour, to be worth moving for from one of this price.
    pub fn most(&self, price: Money) -> Money {
        Money(price.0 * (100 - self.saving.min(100)) / 100)
    }
}

/// Whether nothing on the node forbids to evict it.
fn may_move(node: &Node, budgets: &BTreeMap<String, u32>) -> bool {
    node.pods.iter().filter(|pod| !pod.daemon).all(|pod| {
        pod.controller.is_some() && budgets.get(&pod.full_name()).is_none_or(|allowed| *allowed > 0)
    })
}

type Elsewhere = (Why, Vec<NewNode>, Vec<(usize, usize)>);

/// Where these pods have room if their node, of this price, goes.
fn elsewhere(home: &Home<'_>, moved: &[Pod], there: &[Node], price: Money) -> Option<Elsewhere> {
    let most = home.settings.most(price);
    let rent = |market| pack(Problem { pods: moved, nodes: there, market, limits: home.limits });
    let nothing = Market::default();
    let mut plan = rent(&nothing);
    if !plan.unplaced.is_empty() {
        plan = rent(home.market);
    }
    let then = plan.price(home.market);
    if !plan.unplaced.is_empty() || then > most {
        return None;
    }
    let existing = plan.placed.iter().filter_map(|placement| match placement.on {
        Slot::Existing(number) => Some((placement.pod, number)),
        Slot::New(_) => None,
    });
    let existing: Vec<(usize, usize)> = existing.collect();
    let pods = moved.len();
    let why = if !plan.new.is_empty() {
        Why::Cheaper { now: price, then }
    } else if existing.iter().all(|(_, number)| there[*number].is_metal()) {
        Why::FitsAtHome { pods }
    } else {
        Why::FitsElsewhere { pods }
    };
    Some((why, plan.new, existing))
}
