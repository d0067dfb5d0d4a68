//! The decision: which nodes are wanted, which are not needed any more. Pure, but for what `waits` remembers.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::api::apps::v1::DaemonSet;
use serde::{Deserialize, Serialize};

use super::{
    Seen, Waits, Wish,
    budgets::allowances,
    idle::stood_by,
    rows::{Rows, coming, rows},
    volumes::volumes,
    waits::{mark, no_reason, waits},
};
use crate::{
    burst::{
        claim::{Claim, InVain},
        controller::{Caps, Decision, Waiter, Wanted},
        offer::{Capacity, InstanceType, Money, Offer},
        pack::{
            Drain, Home, Limits, Listed, Market, Month, NewNode, Patience, Pod, Problem, Rented, Reserved,
            Settings, Shape, Slot, Why, pack,
            read::{self, Volumes},
            send_home,
        },
        rented,
        time::Time,
    },
    inventory::Burst,
};

/// So many offers of each kind of capacity are kept with a claim, for when EC2 has none of the first: as many as
/// Karpenter names in one request.
const ALTERNATIVES: usize = 60;

/// What the inventory says.
#[derive(Debug, Clone)]
pub struct Rules {
    pub burst: Burst,
    pub caps: Caps,
}

/// What is so now.
pub struct Situation<'a> {
    pub seen: &'a Seen,
    pub claims: Vec<&'a Claim>,
    pub wish: &'a Wish,
    pub types: &'a BTreeMap<String, InstanceType>,
    pub offers: &'a [Offer],
    /// Whether EC2 may be asked for an offer now.
    pub has: &'a dyn Fn(&Offer) -> bool,
    /// Pods that nodes were rented for in vain.
    pub in_vain: &'a InVain,
    /// This month.
    pub spent: Money,
    pub now: Time,
}

/// Why the decision is what it is, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    /// Pods that the scheduler finds no room for.
    pub waiting: usize,
    /// Those of them that have not waited for long enough yet.
    pub young: usize,
    /// Pods that no offer can serve, that a node has not helped or that hoist knows too little of, and wanted workers that none
    /// is to be had for.
    pub unplaced: Vec<Waiting>,
    /// Pods that have room on a node that is there or on its way.
    pub placed: Vec<Waiting>,
    /// Rented nodes that are not needed.
    pub unneeded: Vec<Unneeded>,
}

/// A pod that waits, or a wanted worker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// `namespace/name`, or the worker's name.
    pub pod: String,
    /// For what: the packer's reason, or the name of a node.
    pub because: String,
}

/// A rented node that is not needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unneeded {
    pub claim: String,
    pub because: String,
}

/// Decides on one look.
pub fn decide(situation: &Situation<'_>, rules: &Rules, since: &mut Waits) -> (Decision, Explanation) {
    let waiting: Vec<_> = situation.seen.pods.iter().filter(|pod| waits(pod)).collect();
    let volumes = volumes(situation.seen, &waiting);
    let after = Duration::from_secs(u64::from(rules.burst.after_seconds));
    let ages = since.so_long(&waiting, situation.now);
    let ripe: Vec<_> = waiting.iter().zip(ages).filter(|(_, age)| *age >= after).collect();
    let mut explanation =
        Explanation { waiting: waiting.len(), young: waiting.len() - ripe.len(), ..Explanation::default() };
    let mut decision = Decision { removed: removed(situation), ..Decision::default() };
    let mut pods = Vec::new();
    for (told, age) in ripe {
        let pod = read::pod(told, &volumes);
        let mark = mark(told);
        match no_reason(told, &mark, situation) {
            Some(because) => explanation.unplaced.push(Waiting { pod: pod.full_name(), because }),
            None => pods.push(pod.clone()),
        }
        let since = situation.now.before(age);
        decision.waiting.insert(pod.full_name(), Waiter { mark, since });
    }
    let market = market(situation, rules, &volumes);
    let mut rows = rows(situation, rules, &market.shapes, &volumes);
    for (number, (worker, offers)) in unserved(situation).into_iter().enumerate() {
        let Some(offer) = offers.first() else {
            explanation.unplaced.push(Waiting { pod: worker, because: "no such type is offered".to_owned() });
            continue;
        };
        // Pods may count on it, too, unless the limits keep it away.
        if rules.caps.allow(offer, &situation.claims, situation.spent, situation.types) {
            rows.nodes.extend(coming(offer, &format!("worker-{number}"), rules, &market.shapes));
        }
        decision.wanted.push(Wanted { offers: few(offers), pods: vec![worker] });
    }
    let stood_by = stood_by(situation, &decision.waiting);
    rent(&pods, &stood_by, &mut rows, &market, limits(situation, rules), &mut decision, &mut explanation);
    for (claim, drain) in unneeded(situation, rules, &rows, &market) {
        let because = drain.why.to_string();
        match (&drain.why, drain.instead.as_slice()) {
            (Why::Cheaper { now, .. }, [one]) => {
                // Not what EC2 may have instead at any price.
                let most = Settings::default().most(*now);
                let mut offers = offers_of(one, &market);
                offers.retain(|offer| offer.price <= most);
                decision.cheaper.insert(claim.clone(), few(offers));
            }
            // Several new nodes for one: pods would move for little.
            (Why::Cheaper { .. }, _) => continue,
            _ => drop(decision.unneeded.insert(claim.clone())),
        }
        explanation.unneeded.push(Unneeded { claim, because });
    }
    (decision, explanation)
}

/// Packs, and puts pods that have room where they have it. A node for pods alone whose node stands ready is not rented.
fn rent(
    pods: &[Pod],
    stood_by: &BTreeMap<String, String>,
    rows: &mut Rows,
    market: &Market,
    limits: Limits,
    decision: &mut Decision,
    explanation: &mut Explanation,
) {
    let plan = pack(Problem { pods, nodes: &rows.nodes, market, limits });
    let mut on_new: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for placement in &plan.placed {
        let pod = &pods[placement.pod];
        match placement.on {
            Slot::New(number) => on_new.entry(number).or_default().push(pod.full_name()),
            Slot::Existing(number) => {
                let node = &mut rows.nodes[number];
                explanation.placed.push(Waiting { pod: pod.full_name(), because: node.name.clone() });
                node.pods.push(pod.clone());
            }
        }
    }
    for (number, new) in plan.new.iter().enumerate() {
        let mut pods = on_new.remove(&number).unwrap_or_default();
        pods.sort();
        if pods.iter().all(|pod| stood_by.contains_key(pod)) {
            let waiting = pods.into_iter().map(|pod| {
                let because =
                    format!("{} was rented for it and is ready, and does not take it", stood_by[&pod]);
                Waiting { pod, because }
            });
            explanation.unplaced.extend(waiting);
            continue;
        }
        decision.wanted.push(Wanted { offers: few(offers_of(new, market)), pods });
    }
    let unplaced = plan.unplaced.into_iter();
    explanation
        .unplaced
        .extend(unplaced.map(|it| Waiting { pod: pods[it.pod].full_name(), because: it.because }));
    explanation.unplaced.sort();
    explanation.placed.sort();
}

/// What can be rented now.
fn market(situation: &Situation<'_>, rules: &Rules, volumes: &Volumes) -> Market {
    // A third of the disk is the system's and that of images.
    let storage = u64::from(rules.burst.disk) * (1 << 30) / 3 * 2;
    let reserved = Reserved { storage, ..Reserved::default() };
    let listed = |offer: &Offer| Listed { offer: offer.clone(), exhausted: !(situation.has)(offer) };
    Market {
        shapes: situation.types.values().map(|kind| Shape::of(kind, &reserved)).collect(),
        offers: situation.offers.iter().map(listed).collect(),
        labels: rented::future_labels(&rules.burst),
        taints: rented::node_taints(&rules.burst),
        daemons: situation.seen.daemons.iter().filter_map(|it| daemon(it, volumes)).collect(),
    }
}

/// The pod that a DaemonSet makes on each node that it is for.
fn daemon(set: &DaemonSet, volumes: &Volumes) -> Option<Pod> {
    let template = set.spec.as_ref()?.template.clone();
    let metadata = template.metadata.unwrap_or_default();
    let made = k8s_openapi::api::core::v1::Pod { metadata, spec: template.spec, status: None };
    let mut pod = read::pod(&made, volumes);
    pod.name = set.metadata.name.clone().unwrap_or_default();
    pod.namespace = set.metadata.namespace.clone().unwrap_or_default();
    pod.daemon = true;
    Some(pod)
}

fn limits(situation: &Situation<'_>, rules: &Rules) -> Limits {
    let Caps { nodes, vcpus, hourly, monthly } = rules.caps;
    let month = monthly.map(|budget| Month { budget, spent: situation.spent });
    Limits { nodes: Some(nodes), vcpus: Some(vcpus), hourly, month }
}

/// An offer and those that do as well, cheapest first.
fn offers_of(new: &NewNode, market: &Market) -> Vec<Offer> {
    let all = std::iter::once(&new.offer).chain(&new.instead);
    all.filter_map(|number| market.offers.get(*number)).map(|listed| listed.offer.clone()).collect()
}

/// A claim is kept in a Secret: it holds the cheapest offers, and some of each kind of capacity.
fn few(offers: Vec<Offer>) -> Vec<Offer> {
    let mut left = BTreeMap::from([(Capacity::Spot, ALTERNATIVES), (Capacity::OnDemand, ALTERNATIVES)]);
    let mut offers = offers;
    offers.retain(|offer| match left.get_mut(&offer.capacity) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    });
    offers
}

/// Workers that a person wants and that no claim stands for, with what can be rented for each, cheapest first.
fn unserved(situation: &Situation<'_>) -> Vec<(String, Vec<Offer>)> {
    let served: BTreeSet<&String> =
        situation.claims.iter().filter(|claim| claim.is_capacity()).flat_map(|claim| &claim.pods).collect();
    let missing = situation.wish.workers.iter().filter(|worker| !served.contains(&worker.name));
    let offers = |wanted: &Option<String>| {
        let does = |offer: &&Offer| {
            wanted.as_ref().is_none_or(|name| *name == offer.instance_type) && (situation.has)(offer)
        };
        let mut offers: Vec<Offer> = situation.offers.iter().filter(does).cloned().collect();
        offers.sort_by_key(|offer| offer.price);
        offers
    };
    missing.map(|worker| (worker.name.clone(), offers(&worker.instance_type))).collect()
}

/// Claims that a person does not want: named, or those of workers that are wanted no more.
fn removed(situation: &Situation<'_>) -> BTreeSet<String> {
    let wanted: BTreeSet<&String> = situation.wish.workers.iter().map(|worker| &worker.name).collect();
    let is_removed = |claim: &&&Claim| {
        let mut workers = claim.workers().peekable();
        let former = workers.peek().is_some() && workers.all(|worker| !wanted.contains(worker));
        former || situation.wish.removed.contains(&claim.name)
    };
    situation.claims.iter().filter(is_removed).map(|claim| claim.name.clone()).collect()
}

/// Rented nodes whose pods have room on others that are there, or can be had for less. For how long that has to be so is
/// the controller's to know: it keeps it with the claims.
fn unneeded(situation: &Situation<'_>, rules: &Rules, rows: &Rows, market: &Market) -> Vec<(String, Drain)> {
    let nodes: Vec<_> = rows.steady.iter().map(|number| rows.nodes[*number].clone()).collect();
    let stays =
        |claim: &str| situation.claims.iter().any(|it| it.name == claim && it.workers().next().is_some());
    let rented = rows.steady.iter().enumerate().filter_map(|(node, row)| {
        let claim = rows.ready.get(row)?;
        let is_empty = nodes[node].pods.iter().all(|pod| pod.daemon);
        (!is_empty && !stays(claim)).then_some(Rented { node, since: 0, empty_since: None, draining: false })
    });
    let rented: Vec<Rented> = rented.collect();
    if rented.is_empty() {
        return Vec::new();
    }
    let all_pods = nodes.iter().flat_map(|node| &node.pods);
    let budgets = allowances(&situation.seen.budgets, all_pods);
    // At once, and all of them: the controller waits, and takes one after the other.
    let settings =
        Settings { stable: 0, after_add: 0, minimum_life: 0, at_once: usize::MAX, ..Settings::default() };
    let home = Home {
        now: 0,
        last_add: 0,
        nodes: &nodes,
        rented: &rented,
        budgets: &budgets,
        market,
        limits: limits(situation, rules),
        settings,
    };
    let drains = send_home(&home, &mut Patience::default());
    drains.into_iter().map(|drain| (nodes[drain.node].name.clone(), drain)).collect()
}
