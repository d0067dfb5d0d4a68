//! An independent judge: it places what a plan says, one after the other, as Kubernetes' documentation says that the
//! scheduler does, and finds whatever it would not have allowed. It shares no code with the packer's search.

use std::collections::BTreeMap;

use hoist::burst::pack::{HOSTNAME, HostPort, Peers, Plan, Pod, Problem, Resources, Slot, Spread, Taint};

use crate::world::labels_of;

struct Place<'a> {
    labels: BTreeMap<String, String>,
    taints: &'a [Taint],
    pods: Vec<&'a Pod>,
    allocatable: Resources,
    max_pods: u32,
    is_new: bool,
}

/// Panics where the plan breaks a rule.
pub fn judge(problem: &Problem<'_>, plan: &Plan) {
    let mut places: Vec<Place<'_>> = Vec::new();
    for (number, node) in problem.nodes.iter().enumerate() {
        places.push(Place {
            labels: labels_of(problem, plan, Slot::Existing(number)),
            taints: &node.taints,
            pods: node.pods.iter().collect(),
            allocatable: node.allocatable.clone(),
            max_pods: node.max_pods,
            is_new: false,
        });
    }
    for (number, new) in plan.new.iter().enumerate() {
        let listed = &problem.market.offers[new.offer];
        assert!(!listed.exhausted, "an offer without capacity was taken");
        let shape =
            problem.market.shapes.iter().find(|shape| shape.name == listed.offer.instance_type).unwrap();
        let labels = labels_of(problem, plan, Slot::New(number));
        let daemons =
            problem.market.daemons.iter().filter(|daemon| allowed(daemon, &labels, &problem.market.taints));
        places.push(Place {
            taints: &problem.market.taints,
            pods: daemons.collect(),
            labels,
            allocatable: shape.allocatable.clone(),
            max_pods: shape.max_pods,
            is_new: true,
        });
    }
    let mut seen = vec![0; problem.pods.len()];
    let mut renting = false;
    for placement in &plan.placed {
        seen[placement.pod] += 1;
        let pod = &problem.pods[placement.pod];
        let number = match placement.on {
            Slot::Existing(number) => {
                let node = &problem.nodes[number];
                assert!(pod.stays_home.is_none() || node.is_metal(), "{} left home", pod.name);
                number
            }
            Slot::New(number) => {
                assert!(pod.stays_home.is_none(), "{} left home", pod.name);
                renting = true;
                problem.nodes.len() + number
            }
        };
        let place = &places[number];
        assert!(allowed(pod, &place.labels, place.taints), "{} is not allowed on its node", pod.name);
        for port in &pod.ports {
            let taken = place.pods.iter().flat_map(|other| &other.ports).find(|other| clash(port, other));
            assert!(taken.is_none(), "{}: {port} is taken on its node", pod.name);
        }
        peers_allow(pod, number, &places, renting);
        places[number].pods.push(pod);
    }
    for unplaced in &plan.unplaced {
        seen[unplaced.pod] += 1;
        assert!(!unplaced.because.is_empty());
    }
    assert!(seen.iter().all(|times| *times == 1), "every pod is told of once: {seen:?}");
    for place in &places {
        let mut used = Resources::default();
        place.pods.iter().for_each(|pod| used += &pod.requests);
        let all = &place.allocatable;
        assert!(
            used.milli_cpu <= all.milli_cpu && used.memory <= all.memory && used.storage <= all.storage,
            "{used} on a node that has {all}"
        );
        for (name, amount) in &used.extended {
            assert!(amount <= all.extended.get(name).unwrap_or(&0), "{name}");
        }
        assert!(place.pods.len() <= place.max_pods as usize, "more pods than the node takes");
    }
    for (number, _) in plan.new.iter().enumerate() {
        let used = plan.placed.iter().any(|placement| placement.on == Slot::New(number));
        assert!(used, "a node was rented for nothing");
    }
}

fn allowed(pod: &Pod, labels: &BTreeMap<String, String>, taints: &[hoist::burst::pack::Taint]) -> bool {
    selected(pod, labels) && taints.iter().all(|taint| taint.tolerated_by(&pod.tolerations))
}

/// NodePorts of the scheduler: `HostPortInfo.CheckConflict`.
fn clash(one: &HostPort, other: &HostPort) -> bool {
    let addresses = one.ip.is_none() || other.ip.is_none() || one.ip == other.ip;
    (one.port, &one.protocol) == (other.port, &other.protocol) && addresses
}

fn selected(pod: &Pod, labels: &BTreeMap<String, String>) -> bool {
    pod.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        && (pod.affinity.is_empty()
            || pod.affinity.iter().any(|term| term.iter().all(|requirement| requirement.met_by(labels))))
}

fn means(peers: &Peers, pod: &Pod) -> bool {
    (peers.namespaces.is_empty() || peers.namespaces.contains(&pod.namespace))
        && peers.pods.iter().all(|requirement| requirement.met_by(&pod.labels))
}

fn peers_allow(pod: &Pod, number: usize, places: &[Place<'_>], renting: bool) {
    let here = |place: &Place<'_>, key: &str| {
        let domain = places[number].labels.get(key);
        domain.is_some() && place.labels.get(key) == domain
    };
    for apart in &pod.apart {
        let close = places.iter().filter(|place| here(place, &apart.key)).flat_map(|place| &place.pods);
        assert_eq!(close.filter(|other| means(apart, other)).count(), 0, "{} is not apart", pod.name);
    }
    for place in places {
        for other in &place.pods {
            let averse = other.apart.iter().any(|apart| here(place, &apart.key) && means(apart, pod));
            assert!(!averse, "{} does not want {} so near", other.name, pod.name);
        }
    }
    for near in &pod.near {
        let everywhere =
            places.iter().flat_map(|place| &place.pods).filter(|other| means(near, other)).count();
        let close = places.iter().filter(|place| here(place, &near.key)).flat_map(|place| &place.pods);
        let close = close.filter(|other| means(near, other)).count();
        assert!(close > 0 || (everywhere == 0 && means(near, pod)), "{} is not near", pod.name);
        assert!(places[number].labels.contains_key(&near.key));
    }
    // PodTopologySpread of the scheduler: `calPreFilterState` and `Filter`.
    let counts = |spread: &Spread, place: &&Place<'_>| {
        (spread.any_labels || selected(pod, &place.labels))
            && (!spread.no_taints || place.taints.iter().all(|taint| taint.tolerated_by(&pod.tolerations)))
            && pod.spread.iter().all(|spread| place.labels.contains_key(&spread.key))
    };
    for spread in &pod.spread {
        let mut domains: BTreeMap<&str, u32> = BTreeMap::new();
        let there = places.iter().filter(|place| renting || !place.is_new);
        for place in there.filter(|place| counts(spread, place)) {
            let Some(domain) = place.labels.get(&spread.key) else { continue };
            let counted = place.pods.iter().filter(|other| {
                other.namespace == pod.namespace
                    && spread.pods.iter().all(|requirement| requirement.met_by(&other.labels))
            });
            *domains.entry(domain).or_default() += counted.count() as u32;
        }
        let own = u32::from(spread.pods.iter().all(|requirement| requirement.met_by(&pod.labels)));
        let domain = places[number].labels.get(&spread.key).expect("its node has the label");
        let is_wide = domains.len() >= spread.min_domains as usize;
        let fewest = domains.values().min().copied().filter(|_| is_wide).unwrap_or(0);
        let key = if spread.key == HOSTNAME { "nodes" } else { &spread.key };
        assert!(
            domains[domain.as_str()] + own - fewest <= spread.max_skew,
            "{} is not spread over {key}: {domains:?}, and one more in {domain}",
            pod.name
        );
    }
}
