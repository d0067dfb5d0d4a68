//! Which host will use which port of which other.

use std::net::SocketAddr;

use indexmap::IndexMap;

use super::{is_node, neighbours::Neighbours};
use crate::inventory::{Cilium, Host, Inventory, Role, Routing};

const KUBELET: u16 = 10250;
const ETCD_CLIENTS: u16 = 2379;
const ETCD_PEERS: u16 = 2380;
/// What Cilium's nodes ask each other for their health on.
const CILIUM_HEALTH: u16 = 4240;
/// What Hubble's relay asks every agent on.
const HUBBLE: u16 = 4244;
/// What MetalLB's speakers find each other on (memberlist), by TCP and UDP.
const METALLB: u16 = 7946;
/// The UDP port of Cilium's tunnels.
pub const VXLAN: u16 = 8472;
/// The UDP port of Cilium's encryption.
const WIREGUARD: u16 = 51871;
/// The first and the last of the ports that services of type NodePort are given by default: a firewall that lets
/// both through lets the range through.
const SERVICES: [u16; 2] = [30000, 32767];

/// A connection to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    pub from: String,
    pub to: String,
    pub address: SocketAddr,
}

/// Every connection from one of these hosts to another of the inventory that a running cluster would open. What
/// control planes and members of etcd have to do with is complete; of what workers use of each other a part is
/// taken where there are many, as [`Neighbours`] says.
pub fn ways(inventory: &Inventory, from: &[&str]) -> Vec<Way> {
    let neighbours = Neighbours::new(inventory);
    let mut ways = Vec::new();
    for source in from {
        let Some(host) = inventory.hosts.get(*source) else { continue };
        for (name, target) in inventory.hosts.iter().filter(|(name, _)| neighbours.meet(source, name)) {
            ways.extend(ports(inventory, host, target).into_iter().map(|port| Way {
                from: (*source).to_owned(),
                to: name.clone(),
                address: (target.address, port).into(),
            }));
        }
    }
    ways
}

/// Ways by the host where they begin.
pub fn by_host(ways: impl IntoIterator<Item = Way>) -> IndexMap<String, Vec<Way>> {
    let mut by_host: IndexMap<String, Vec<Way>> = IndexMap::new();
    for way in ways {
        by_host.entry(way.from.clone()).or_default().push(way);
    }
    by_host
}

/// Every port that others use on this host, node ports aside.
pub fn used_of(inventory: &Inventory, name: &str) -> Vec<u16> {
    let Some(target) = inventory.hosts.get(name) else { return Vec::new() };
    let others = inventory.hosts.iter().filter(|(other, _)| *other != name);
    let mut used: Vec<u16> = others.flat_map(|(_, source)| ports(inventory, source, target)).collect();
    used.retain(|port| !SERVICES.contains(port));
    used.sort_unstable();
    used.dedup();
    used
}

/// The UDP ports that nodes use on each other.
pub fn udp(inventory: &Inventory) -> Vec<u16> {
    let cilium = inventory.cilium();
    let tunnels = cilium.as_ref().is_some_and(|cilium| cilium.routing == Routing::Vxlan);
    let encrypts = cilium.as_ref().is_some_and(Cilium::encrypts);
    let used = [(VXLAN, tunnels), (WIREGUARD, encrypts), (METALLB, inventory.addons.metallb.is_some())];
    used.into_iter().filter(|(_, used)| *used).map(|(port, _)| port).collect()
}

/// Whether it is a port that only stands for those of services.
pub fn is_service(port: u16) -> bool {
    SERVICES.contains(&port)
}

/// What one host uses on another.
fn ports(inventory: &Inventory, source: &Host, target: &Host) -> Vec<u16> {
    let mut ports = Vec::new();
    if is_node(source) && target.has(Role::ControlPlane) {
        let endpoint = &inventory.cluster.endpoint;
        // A node with a balancer of its own needs those of the others only to know who ought to have the address.
        if !inventory.balances(source) || endpoint.vip.is_some() && source.has(Role::ControlPlane) {
            ports.push(endpoint.port);
        }
        // Pods on any node reach the API servers themselves, by the service `kubernetes`.
        if inventory.api_port() != endpoint.port {
            ports.push(inventory.api_port());
        }
    }
    let etcd = inventory.etcd_role();
    if source.has(Role::ControlPlane) && target.has(etcd) {
        ports.push(ETCD_CLIENTS);
    }
    if source.has(etcd) && target.has(etcd) {
        ports.push(ETCD_PEERS);
    }
    if is_node(source) && is_node(target) {
        ports.push(KUBELET);
        if let Some(cilium) = inventory.cilium() {
            ports.push(CILIUM_HEALTH);
            ports.extend(cilium.hubble.relay.then_some(HUBBLE));
        }
        if inventory.addons.metallb.is_some() {
            ports.push(METALLB);
        }
        if target.has(Role::Worker) {
            ports.extend(SERVICES);
        }
    }
    ports.dedup();
    ports
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{inventory, preflight::tests::Fleet};

    fn matrix(inventory: &Inventory, from: &[&str]) -> String {
        let mut lines: IndexMap<String, Vec<String>> = IndexMap::new();
        for way in ways(inventory, from) {
            lines.entry(format!("{}>{}", way.from, way.to)).or_default().push(way.address.port().to_string());
        }
        lines.into_iter().map(|(pair, ports)| format!("{pair} {}\n", ports.join(" "))).collect()
    }

    #[test]
    fn what_a_small_cluster_needs() {
        insta::assert_snapshot!(matrix(&Fleet::three().inventory, &["cp1", "w1"]), @r"
        cp1>w1 10250 30000 32767
        cp1>w2 10250 30000 32767
        w1>cp1 6443 10250
        w1>w2 10250 30000 32767
        ");
    }

    #[test]
    fn what_local_balancers_need() {
        let mut inventory = Fleet::three().inventory;
        inventory.cluster.endpoint.local = true;
        insta::assert_snapshot!(matrix(&inventory, &["w1"]), @r"
        w1>cp1 6444 10250
        w1>w2 10250 30000 32767
        ");
    }

    #[test]
    fn what_a_large_cluster_needs() {
        let text = include_str!("../../inventory/ha.yaml");
        let inventory = inventory::parse("ha.yaml", text).unwrap().inventory;
        insta::assert_snapshot!(matrix(&inventory, &["cp1", "etcd1", "w1"]), @r"
        cp1>cp2 6443 6444 2379 2380 10250 4240 4244 7946
        cp1>etcd1 2379 2380
        cp1>etcd2 2379 2380
        cp1>witness 2379 2380
        cp1>w1 10250 4240 4244 7946 30000 32767
        cp1>w2 10250 4240 4244 7946 30000 32767
        cp1>s1 10250 4240 4244 7946 30000 32767
        cp1>s2 10250 4240 4244 7946 30000 32767
        etcd1>cp1 2380
        etcd1>cp2 2380
        etcd1>etcd2 2380
        etcd1>witness 2380
        w1>cp1 6443 6444 10250 4240 4244 7946
        w1>cp2 6443 6444 10250 4240 4244 7946
        w1>w2 10250 4240 4244 7946 30000 32767
        w1>s1 10250 4240 4244 7946 30000 32767
        w1>s2 10250 4240 4244 7946 30000 32767
        ");
        assert_eq!(used_of(&inventory, "witness"), [2379, 2380]);
        assert_eq!(used_of(&inventory, "w1"), [4240, 4244, 7946, 10250]);
    }
}
