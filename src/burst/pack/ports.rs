//! Ports of nodes as resources of which every node has one.
//!
//! Each combination of port, protocol and address that matters to a pending pod is a resource. Who wants one address takes
//! that; who wants all of them takes all that there are of this port, and one that stands for all addresses.

use super::pod::{HostPort, Pod};

/// Ports that pending pods ask for, by any address that somebody has.
#[derive(Debug, Default)]
pub(super) struct Ports<'a>(Vec<&'a HostPort>);

impl<'a> Ports<'a> {
    /// `others` are pods that run, or that will run on each node.
    pub fn of(pending: &'a [Pod], others: impl Iterator<Item = &'a Pod>) -> Ports<'a> {
        let mut list: Vec<&HostPort> = pending.iter().flat_map(|pod| &pod.ports).collect();
        if list.is_empty() {
            return Ports::default();
        }
        list.sort_unstable();
        list.dedup();
        let asked = list.clone();
        let matters = |port: &&HostPort| asked.iter().any(|other| other.is_alike(port));
        list.extend(others.flat_map(|pod| &pod.ports).filter(matters));
        list.sort_unstable();
        list.dedup();
        Ports(list)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many of each of them pods take that are on one node: none or one.
    pub fn taken<'p>(&self, pods: impl Iterator<Item = &'p Pod> + Clone) -> impl Iterator<Item = u64> {
        self.0.iter().map(move |one| {
            let takes = |port: &HostPort| port.is_alike(one) && (port.ip.is_none() || port.ip == one.ip);
            u64::from(pods.clone().any(|pod| pod.ports.iter().any(takes)))
        })
    }
}
