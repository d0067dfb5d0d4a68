//! The benchmark's types and pods: those of the scheduling benchmark that Karpenter publishes.

use std::collections::BTreeMap;

use hoist::burst::{
    offer::{Architecture, Capacity, InstanceType, Money, Offer},
    pack::{HOSTNAME, Listed, Market, Peers, Pod, Requirement, Reserved, Resources, Shape, Spread, ZONE},
};

const ZONES: [&str; 3] = ["test-zone-1a", "test-zone-1b", "test-zone-1c"];
const CPU: [u64; 5] = [100, 250, 500, 1000, 1500];
const MEMORY_MIB: [u64; 6] = [100, 256, 512, 1024, 2048, 4096];
/// Labels are one of seven, so that a seventh of a kind is one group.
const GROUPS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

/// 400 types: type i has i+1 processors, 2(i+1) GiB and room for 10(i+1) pods, and costs 0.1 dollars for each processor
/// and each GiB, in each of three zones. Nothing is reserved.
pub fn market() -> Market {
    let mut market = Market::default();
    for number in 1..=400u32 {
        let instance = InstanceType {
            name: format!("type-{number}"),
            architecture: Architecture::Amd64,
            vcpus: number,
            memory_mib: u64::from(number) * 2048,
            max_pods: number * 10,
        };
        market.shapes.push(Shape::of(&instance, &Reserved::none()));
        for zone in ZONES {
            let offer = Offer {
                instance_type: instance.name.clone(),
                zone: zone.to_owned(),
                capacity: Capacity::OnDemand,
                price: Money(u64::from(number) * 300_000),
            };
            market.offers.push(Listed { offer, exhausted: false });
        }
    }
    market
}

/// A fifth of each kind: without wishes, spread over zones, spread over nodes, together in a zone, never two on a node.
pub fn pods(count: usize, seed: u64) -> Vec<Pod> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|number| pod(number, number % 5, &mut random)).collect()
}

fn pod(number: usize, kind: usize, random: &mut fastrand::Rng) -> Pod {
    let group = GROUPS[random.usize(..GROUPS.len())];
    let label = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let mut pod = Pod {
        name: format!("pod-{number}"),
        namespace: "default".to_owned(),
        labels: label("my-label", group),
        requests: Resources::new(
            CPU[random.usize(..CPU.len())],
            MEMORY_MIB[random.usize(..MEMORY_MIB.len())] << 20,
        ),
        ..Pod::default()
    };
    let spread =
        |key: &str| vec![Spread { pods: vec![Requirement::is("my-label", group)], ..Spread::over(key) }];
    let peers = |key: &str, label: &str, value: &str| {
        let pods = vec![Requirement::is(label, value)];
        vec![Peers { key: key.to_owned(), pods, namespaces: vec!["default".to_owned()] }]
    };
    match kind {
        1 => pod.spread = spread(ZONE),
        2 => pod.spread = spread(HOSTNAME),
        3 => {
            pod.labels = label("my-affinity", group);
            pod.near = peers(ZONE, "my-affinity", group);
        }
        4 => {
            pod.labels = label("app", "nginx");
            pod.apart = peers(HOSTNAME, "app", "nginx");
        }
        _ => {}
    }
    pod
}
