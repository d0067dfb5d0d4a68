//! How a rented node looks in Kubernetes: what its kubelet registers it with, and what the packer counts on before it is
//! there. Both ask here, so that a pod is never promised a node that then lacks its label.

use std::collections::BTreeMap;

use super::{
    offer::Offer,
    pack::{Effect, Taint, offer_labels},
};
use crate::inventory::Burst;

/// On a rented node: its claim.
pub const CLAIM: &str = "hoist.dev/claim";
/// Load balancers outside of the cluster send nothing to such a node: the office's packets stay in the office.
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#node-kubernetes-io-exclude-from-external-load-balancers>
const NO_BALANCERS: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// What all rented nodes get, whatever they are: the inventory's own labels, and what keeps load balancers away.
fn common_labels(burst: &Burst) -> BTreeMap<String, String> {
    let own = burst.labels.iter().map(|(key, value)| (key.clone(), value.clone()));
    own.chain([(NO_BALANCERS.to_owned(), String::new())]).collect()
}

/// The labels that a node registers itself with. (`kubernetes.io/arch`, `kubernetes.io/os` and `kubernetes.io/hostname` are
/// its kubelet's to add.) Hoist's own win over the inventory's.
pub fn node_labels(offer: &Offer, claim: &str, burst: &Burst) -> BTreeMap<String, String> {
    let mut labels = common_labels(burst);
    labels.extend(offer_labels(offer));
    labels.insert(CLAIM.to_owned(), claim.to_owned());
    labels
}

/// What a node that is not asked for yet will have whatever it is; that of its claim stands for the name that it will get.
pub fn future_labels(burst: &Burst) -> BTreeMap<String, String> {
    let mut labels = common_labels(burst);
    labels.insert(CLAIM.to_owned(), String::new());
    labels
}

/// The taints that a node registers itself with and keeps.
pub fn node_taints(burst: &Burst) -> Vec<Taint> {
    // A taint that is none was refused with the inventory.
    burst.taints.iter().filter_map(|text| taint(text)).collect()
}

/// `key=value:Effect`, or `key:Effect`, as `kubectl taint` takes it.
fn taint(text: &str) -> Option<Taint> {
    let (name, effect) = text.rsplit_once(':')?;
    let (key, value) = name.split_once('=').unwrap_or((name, ""));
    Some(Taint { key: key.to_owned(), value: value.to_owned(), effect: Effect::named(effect)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::burst::offer::{Capacity, Money};

    fn offer() -> Offer {
        Offer {
            instance_type: "m7i.large".into(),
            zone: "eu-central-1a".into(),
            capacity: Capacity::Spot,
            price: Money(1),
        }
    }

    #[test]
    fn a_node_says_where_it_is_whose_it_is_and_what_the_inventory_says() {
        let mut burst = Burst::default();
        burst.labels.insert("team".into(), "web".into());
        burst.labels.insert(CLAIM.into(), "mine".into());
        let labels: Vec<String> = node_labels(&offer(), "burst-1", &burst)
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(
            labels,
            [
                "hoist.dev/capacity-type=spot",
                "hoist.dev/claim=burst-1",
                "node.kubernetes.io/exclude-from-external-load-balancers=",
                "node.kubernetes.io/instance-type=m7i.large",
                "team=web",
                "topology.kubernetes.io/region=eu-central-1",
                "topology.kubernetes.io/zone=eu-central-1a",
            ]
        );
    }

    #[test]
    fn taints_are_those_of_the_inventory() {
        let told =
            |burst: &Burst| -> Vec<String> { node_taints(burst).iter().map(Taint::to_string).collect() };
        let mut burst = Burst::default();
        assert_eq!(told(&burst), ["hoist.dev/burst=true:NoSchedule"]);
        burst.taints = vec!["cloud:NoExecute".into()];
        assert_eq!(told(&burst), ["cloud:NoExecute"]);
        burst.taints.clear();
        assert!(told(&burst).is_empty());
    }
}
