//! Finds Nodes that stand for nothing any more: neither for a claim nor for an instance. Pure.
//!
//! A claim that ends takes its Node along. A Node stays behind when the claim itself is lost, as with the namespace that holds
//! it; and as long as there is a Node, its pods are made nowhere else.

use std::collections::BTreeMap;

use super::{
    claim::{Claim, NodeSeen},
    cloud::{Instance, State},
    collect::Collection,
    time::Time,
};

/// A Node to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    pub node: String,
    /// Whose Node it was.
    pub instance: String,
}

/// What is remembered between two looks, by instance. A restart begins anew.
#[derive(Debug, Clone, Default)]
pub struct Strays {
    seen: BTreeMap<String, Time>,
}

impl Strays {
    /// Takes in a look, and tells which Nodes of no claim were strays in the one before, too: those whose instance EC2 calls
    /// terminated, and those whose instance it has not shown for [`Collection::AGE`]. A Node that is ready has an instance,
    /// whatever EC2 shows.
    pub fn look(
        &mut self,
        nodes: &[NodeSeen],
        instances: &[Instance],
        claims: &[&Claim],
        now: Time,
    ) -> Vec<Stray> {
        let state = |id: &str| instances.iter().find(|it| it.id == id).map(|it| it.state);
        let is_lone = |node: &&NodeSeen| {
            node.labelled && !node.ready && claims.iter().all(|claim| claim.name != node.name)
        };
        let strays: Vec<Stray> = nodes
            .iter()
            .filter(is_lone)
            .filter_map(|node| {
                let instance = node.provider_id.strip_prefix("aws:///")?.rsplit('/').next()?.to_owned();
                Some(Stray { node: node.name.clone(), instance })
            })
            .filter(|stray| state(&stray.instance).is_none_or(|state| state == State::Terminated))
            .collect();
        let before = std::mem::take(&mut self.seen);
        let first = |id: &String| before.get(id).map_or(now, |first| now.min(*first));
        self.seen = strays.iter().map(|it| (it.instance.clone(), first(&it.instance))).collect();
        let is_sure = |stray: &Stray| {
            let missing = now.since(self.seen[&stray.instance]);
            before.contains_key(&stray.instance)
                && (state(&stray.instance).is_some() || missing >= Collection::AGE)
        };
        strays.into_iter().filter(is_sure).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time(1_000_000 + seconds * 1000)
    }

    fn node() -> NodeSeen {
        NodeSeen {
            name: "burst-1".into(),
            provider_id: "aws:///a/i-1".into(),
            ready: false,
            cordoned: false,
            pods: vec![],
            notice: false,
            labelled: true,
        }
    }

    fn instance(state: State) -> Instance {
        Instance {
            id: "i-1".into(),
            state,
            reason: None,
            launched: at(0),
            client_token: "x".into(),
            address: None,
            claim: None,
        }
    }

    /// At which of these looks, in seconds, the Node is told.
    fn told(node: &NodeSeen, instances: &[Instance], claims: &[&Claim]) -> Vec<u64> {
        let mut strays = Strays::default();
        let nodes = std::slice::from_ref(node);
        let mut looks = vec![0, 10, 299, 300];
        looks.retain(|second| !strays.look(nodes, instances, claims, at(*second)).is_empty());
        looks
    }

    #[test]
    fn a_node_without_a_claim_goes_when_its_instance_has_ended_or_is_missed_for_five_minutes() {
        assert_eq!(told(&node(), &[instance(State::Terminated)], &[]), [10, 299, 300]);
        assert_eq!(told(&node(), &[], &[]), [300]);
        let mut strays = Strays::default();
        strays.look(&[node()], &[], &[], at(0));
        let stray = Stray { node: "burst-1".into(), instance: "i-1".into() };
        assert_eq!(strays.look(&[node()], &[], &[], at(300)), [stray]);
    }

    #[test]
    fn a_node_with_a_claim_or_an_instance_and_one_that_is_not_rented_stay() {
        let none: [u64; 0] = [];
        for state in [State::Pending, State::Running, State::ShuttingDown, State::Stopped] {
            assert_eq!(told(&node(), &[instance(state)], &[]), none, "{state:?}");
        }
        let claim = Claim::new("burst-1".into(), vec![], vec![], at(0));
        assert_eq!(told(&node(), &[], &[&claim]), none);
        let others = [
            NodeSeen { ready: true, ..node() },
            NodeSeen { labelled: false, ..node() },
            NodeSeen { provider_id: String::new(), ..node() },
            NodeSeen { provider_id: "vsphere://4211".into(), ..node() },
        ];
        for other in others {
            assert_eq!(told(&other, &[instance(State::Terminated)], &[]), none, "{other:?}");
        }
    }

    #[test]
    fn a_node_whose_instance_comes_back_is_missed_anew() {
        let mut strays = Strays::default();
        assert_eq!(strays.look(&[node()], &[], &[], at(0)), []);
        assert_eq!(strays.look(&[node()], &[instance(State::Running)], &[], at(290)), []);
        assert_eq!(strays.look(&[node()], &[], &[], at(300)), []);
        assert_eq!(strays.look(&[node()], &[], &[], at(599)), []);
    }
}
