//! The nodes that the packer counts with: those that are there, and those that are on their way.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod as Told;

use super::{Rules, Situation};
use crate::burst::{
    claim::{Claim, Phase},
    offer::Offer,
    pack::{
        Node, Origin, Pod, Resources, Shape,
        read::{self, Volumes},
    },
    rented,
};

/// Nodes, and what of them is rented and ready.
pub struct Rows {
    pub nodes: Vec<Node>,
    /// Numbers of nodes that take pods now: machines, and rented ones that are ready and stay.
    pub steady: Vec<usize>,
    /// Of these, the rented ones, by the claim's name.
    pub ready: BTreeMap<usize, String>,
}

/// All nodes with their pods. Each claim is one row, whether its Node is there or not.
pub fn rows(situation: &Situation<'_>, rules: &Rules, shapes: &[Shape], volumes: &Volumes) -> Rows {
    let mut pods = by_node(&situation.seen.pods, volumes);
    let claims: BTreeMap<&str, &Claim> =
        situation.claims.iter().map(|claim| (claim.name.as_str(), *claim)).collect();
    let mut rows = Rows { nodes: Vec::new(), steady: Vec::new(), ready: BTreeMap::new() };
    let mut told = BTreeSet::new();
    for node in &situation.seen.nodes {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let claim = claims.get(name);
        let labels = node.metadata.labels.as_ref();
        if claim.is_none() && labels.is_some_and(|labels| labels.contains_key(rented::CLAIM)) {
            // Nobody's any more: it goes.
            continue;
        }
        let is_ready = claim.is_none_or(|claim| claim.phase == Phase::Ready && claim.is_capacity());
        if !is_ready {
            continue;
        }
        told.insert(name);
        let origin = claim.map_or(Origin::Metal, |claim| origin(claim, situation, rules, shapes));
        let mut row = read::node(node, origin);
        row.pods = pods.remove(name).unwrap_or_default();
        rows.steady.push(rows.nodes.len());
        if let Some(claim) = claim {
            rows.ready.insert(rows.nodes.len(), claim.name.clone());
        }
        rows.nodes.push(row);
    }
    for claim in situation.claims.iter().filter(|claim| !told.contains(claim.name.as_str())) {
        let on_it = pods.remove(&claim.name).unwrap_or_default();
        // A ready one that was missed before is not on its way: somebody has deleted its Node. Missed for the first time, the
        // API server may not know it yet.
        let coming = claim.offer().filter(|_| claim.is_capacity() && claim.nodeless_since.is_none());
        if let Some(mut row) = coming.and_then(|offer| self::coming(offer, &claim.name, rules, shapes)) {
            // Its daemons count as a whole until it is ready: not all of them may be there yet.
            row.pods = on_it.into_iter().filter(|pod| !pod.daemon).collect();
            rows.nodes.push(row);
            continue;
        }
        if claim.may_cost() {
            rows.nodes.push(leaving(claim, situation, rules, shapes));
        }
    }
    rows
}

/// A node that is asked for, as it will be; nothing if its type is not known.
pub fn coming(offer: &Offer, claim: &str, rules: &Rules, shapes: &[Shape]) -> Option<Node> {
    let shape = shapes.iter().find(|shape| shape.name == offer.instance_type)?;
    let labels = rented::node_labels(offer, claim, &rules.burst);
    Some(shape.node(claim, offer, &labels, rented::node_taints(&rules.burst)))
}

/// A node that ends, or of whose type nothing is known: it has no room, and counts for the limits until EC2 has it no more.
fn leaving(claim: &Claim, situation: &Situation<'_>, rules: &Rules, shapes: &[Shape]) -> Node {
    Node {
        name: claim.name.clone(),
        labels: BTreeMap::new(),
        taints: Vec::new(),
        allocatable: Resources::default(),
        max_pods: 0,
        pods: Vec::new(),
        origin: origin(claim, situation, rules, shapes),
    }
}

/// What a rented node costs now: spot prices move after a launch. What is not offered any more costs what it did, and fills
/// the cap of vCPUs: nobody knows how large it is.
fn origin(claim: &Claim, situation: &Situation<'_>, rules: &Rules, shapes: &[Shape]) -> Origin {
    let offer = claim.offer();
    let shape = offer.and_then(|offer| shapes.iter().find(|shape| shape.name == offer.instance_type));
    let is_it = |it: &&Offer, offer: &Offer| {
        (&it.instance_type, &it.zone, it.capacity) == (&offer.instance_type, &offer.zone, offer.capacity)
    };
    let now = offer.and_then(|offer| situation.offers.iter().find(|it| is_it(it, offer)));
    Origin::Rented {
        price: now.or(offer).map(|offer| offer.price).unwrap_or_default(),
        vcpus: shape.map_or(rules.caps.vcpus, |shape| shape.vcpus),
        in_flight: false,
    }
}

/// Pods that take room, by node: on the one that they run on, or that the scheduler clears for them.
fn by_node(pods: &[Told], volumes: &Volumes) -> BTreeMap<String, Vec<Pod>> {
    let mut on: BTreeMap<String, Vec<Pod>> = BTreeMap::new();
    for pod in pods {
        let status = pod.status.as_ref();
        if matches!(status.and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed")) {
            continue;
        }
        let nominated = status.and_then(|status| status.nominated_node_name.clone());
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).or(nominated);
        if let Some(node) = node.filter(|node| !node.is_empty()) {
            on.entry(node).or_default().push(read::pod(pod, volumes));
        }
    }
    on
}
