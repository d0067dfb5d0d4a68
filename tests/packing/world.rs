//! Pods, nodes and offers to make problems of.

use std::collections::BTreeMap;

use hoist::burst::{
    offer::{Architecture, Capacity, InstanceType, Money, Offer},
    pack::{
        Effect, HOSTNAME, HostPort, Limits, Listed, Market, Node, Origin, Peers, Plan, Pod, Problem,
        Requirement, Reserved, Resources, Shape, Slot, Spread, Taint, ZONE, pack,
    },
};

pub const GIB: u64 = 1 << 30;

pub fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A pod of a ReplicaSet that asks for so many thousandths of a processor and GiB.
pub fn pod(name: &str, milli_cpu: u64, gib: u64) -> Pod {
    Pod {
        name: name.to_owned(),
        namespace: "default".to_owned(),
        requests: Resources::new(milli_cpu, gib * GIB),
        controller: Some("ReplicaSet/some".to_owned()),
        ..Pod::default()
    }
}

pub fn app(name: &str, app: &str, milli_cpu: u64, gib: u64) -> Pod {
    Pod { labels: labels(&[("app", app)]), ..pod(name, milli_cpu, gib) }
}

pub fn peers(key: &str, app: &str) -> Vec<Peers> {
    let pods = vec![Requirement::is("app", app)];
    vec![Peers { key: key.to_owned(), pods, namespaces: vec!["default".to_owned()] }]
}

pub fn spread(key: &str, app: &str) -> Vec<Spread> {
    vec![Spread { pods: vec![Requirement::is("app", app)], ..Spread::over(key) }]
}

pub fn port(port: u16, ip: Option<&str>) -> HostPort {
    HostPort { port, protocol: "TCP".to_owned(), ip: ip.map(str::to_owned) }
}

pub fn taint(key: &str) -> Taint {
    Taint { key: key.to_owned(), value: String::new(), effect: Effect::NoSchedule }
}

/// One of the administrator's machines.
pub fn metal(name: &str, milli_cpu: u64, gib: u64) -> Node {
    Node {
        name: name.to_owned(),
        labels: labels(&[(HOSTNAME, name)]),
        taints: Vec::new(),
        allocatable: Resources { storage: 1 << 40, ..Resources::new(milli_cpu, gib * GIB) },
        max_pods: 110,
        pods: Vec::new(),
        origin: Origin::Metal,
    }
}

pub fn rented(name: &str, milli_cpu: u64, gib: u64, cents: u64, in_flight: bool) -> Node {
    let vcpus = u32::try_from(milli_cpu.div_ceil(1000)).unwrap();
    Node {
        origin: Origin::Rented { price: Money(cents * 10_000), vcpus, in_flight },
        ..metal(name, milli_cpu, gib)
    }
}

/// Types of so many processors, GiB and cents an hour, in each of these zones; nothing is reserved on them.
pub fn market(types: &[(u32, u64, u64)], zones: &[&str]) -> Market {
    let mut market = Market::default();
    for (number, (vcpus, gib, cents)) in types.iter().enumerate() {
        let instance = InstanceType {
            name: format!("t{number}"),
            architecture: Architecture::Amd64,
            vcpus: *vcpus,
            memory_mib: gib * 1024,
            max_pods: 110,
        };
        market.shapes.push(Shape::of(&instance, &Reserved::none()));
        for zone in zones {
            let offer = Offer {
                instance_type: instance.name.clone(),
                zone: (*zone).to_owned(),
                capacity: Capacity::OnDemand,
                price: Money(cents * 10_000),
            };
            market.offers.push(Listed { offer, exhausted: false });
        }
    }
    market
}

pub fn solve(pods: &[Pod], nodes: &[Node], market: &Market) -> Plan {
    pack(Problem { pods, nodes, market, limits: Limits::default() })
}

/// The types of the new nodes, sorted.
pub fn types<'a>(plan: &Plan, market: &'a Market) -> Vec<&'a str> {
    let mut types: Vec<&str> =
        plan.new.iter().map(|node| market.offers[node.offer].offer.instance_type.as_str()).collect();
    types.sort_unstable();
    types
}

pub fn slot(plan: &Plan, pod: usize) -> Option<Slot> {
    plan.placed.iter().find(|placement| placement.pod == pod).map(|placement| placement.on)
}

/// The labels of a node of the plan.
pub fn labels_of(problem: &Problem<'_>, plan: &Plan, slot: Slot) -> BTreeMap<String, String> {
    match slot {
        Slot::Existing(number) => problem.nodes[number].labels.clone(),
        Slot::New(number) => {
            let offer = &problem.market.offers[plan.new[number].offer].offer;
            let shape = problem.market.shapes.iter().find(|shape| shape.name == offer.instance_type).unwrap();
            let mut labels = shape.labels(offer);
            labels.extend(problem.market.labels.clone());
            labels.insert(HOSTNAME.to_owned(), format!("new-{number}"));
            labels
        }
    }
}

pub fn zone(problem: &Problem<'_>, plan: &Plan, slot: Slot) -> Option<String> {
    labels_of(problem, plan, slot).get(ZONE).cloned()
}
