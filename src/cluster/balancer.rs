//! What the load balancer on a host needs to know, and the virtual address that control planes hand to each other.

use std::net::Ipv4Addr;

use serde::Serialize;

use super::Observed;
use crate::{
    facts::Facts,
    inventory::{Host, Inventory, Role},
};

/// The balancer of one host, as templates see it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Balancer<'a> {
    /// Address and port to listen on, as haproxy writes them.
    bind: String,
    /// Seconds between two looks at an API server.
    check_every: usize,
    /// All API servers.
    api_servers: Vec<Server<'a>>,
    /// Only where the host is one of those that can have the virtual address.
    vrrp: Option<Vrrp<'a>>,
    /// The address to listen on, where the host gives it to itself and to nobody else.
    own_address: Option<Ipv4Addr>,
}

/// Where something listens.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Server<'a> {
    name: &'a str,
    address: Ipv4Addr,
    port: u16,
}

/// The part of one control plane in keeping the virtual address (RFC 5798).
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Vrrp<'a> {
    vip: Ipv4Addr,
    router_id: u8,
    /// The interface that has the host's address. Undefined for templates where no interface has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<&'a str>,
    /// Those at the head of the inventory come first when nobody has the address.
    priority: usize,
    /// The balancers of the other control planes.
    peers: Vec<Server<'a>>,
    /// Whether one of these keeps the address already, as far as they were reached.
    kept: bool,
}

/// The balancer of a host; `None` where it has none.
pub(super) fn balancer<'a>(
    inventory: &'a Inventory,
    name: &str,
    host: &Host,
    observed: &'a Observed,
) -> Option<Balancer<'a>> {
    if !inventory.balances(host) {
        return None;
    }
    let port = inventory.cluster.endpoint.port;
    let on = |port| control_planes(inventory, port);
    let keeps = |peer: &Server| observed.get(peer.name).is_some_and(|facts| facts.keeper.is_some());
    let others = |port| on(port).filter(|server| server.name != name);
    let is_control_plane = host.has(Role::ControlPlane);
    Some(Balancer {
        bind: if is_control_plane { format!("*:{port}") } else { format!("127.0.0.1:{port}") },
        check_every: if is_control_plane { 1 } else { check_every(inventory) },
        api_servers: on(inventory.api_port()).collect(),
        vrrp: inventory.cluster.endpoint.vip.filter(|_| is_control_plane).map(|vip| Vrrp {
            vip,
            router_id: inventory.cluster.endpoint.router_id().unwrap_or_default(),
            interface: observed.get(name).and_then(|facts| interface(host, facts)),
            priority: priority(on(port).position(|server| server.name == name).unwrap_or_default()),
            peers: others(port).collect(),
            kept: others(port).any(|peer| keeps(&peer)),
        }),
        own_address: None,
    })
}

/// The balancer of a rented node. The virtual address is on one machine at a time, and a tunnel leads to it by that machine
/// alone: so the node has the address itself, for itself, and finds all API servers behind it.
pub(super) fn rented(inventory: &Inventory) -> Option<Balancer<'_>> {
    let endpoint = &inventory.cluster.endpoint;
    let own_address = endpoint.vip.filter(|_| !endpoint.local);
    let address = own_address.or(endpoint.local.then_some(Ipv4Addr::LOCALHOST))?;
    Some(Balancer {
        bind: format!("{address}:{}", endpoint.port),
        check_every: check_every(inventory),
        api_servers: control_planes(inventory, inventory.api_port()).collect(),
        vrrp: None,
        own_address,
    })
}

fn control_planes(inventory: &Inventory, port: u16) -> impl Iterator<Item = Server<'_>> {
    let hosts = inventory.with_role(Role::ControlPlane);
    hosts.map(move |(name, host)| Server { name, address: host.address, port })
}

/// Each look is a TLS handshake for the API server: so that all nodes together ask at most some hundred times a second,
/// those of a large cluster ask less often. What fails meanwhile is noticed by the connections that fail.
fn check_every(inventory: &Inventory) -> usize {
    (inventory.hosts.len() / 100).clamp(2, 10)
}

/// Between 1 and 254, as a router that does not own the address must have it. Ten apart, so that two which begin at the
/// same time wait noticeably different times before they take the address.
fn priority(position: usize) -> usize {
    200_usize.saturating_sub(10 * position).max(1)
}

fn interface<'a>(host: &Host, facts: &'a Facts) -> Option<&'a str> {
    let own = facts.addresses.iter().find(|own| own.address == host.address)?;
    Some(&own.interface)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{facts::InterfaceAddress, inventory};

    fn inventory(endpoint: &str) -> Inventory {
        let text = format!(
            "cluster: {{name: a, kubernetes: \"1.20.2\", etcd: external, endpoint: {endpoint}}}\nhosts:\n  \
             cp1: {{address: 10.0.0.1, roles: [control-plane]}}\n  cp2: {{address: 10.0.0.2, roles: [control-plane]}}\n  \
             w1: {{address: 10.0.0.3, roles: [worker, etcd]}}\n"
        );
        inventory::parse("test", &text).unwrap().inventory
    }

    fn of(inventory: &Inventory, name: &str) -> Value {
        let host = &inventory.hosts[name];
        let address = |interface: &str, address: Ipv4Addr| InterfaceAddress {
            interface: interface.into(),
            address: address.into(),
            prefix: 24,
        };
        let addresses = vec![address("eth0", [172, 16, 0, 1].into()), address("bond0", host.address)];
        let own = Facts { addresses, ..Facts::default() };
        let other = Facts { keeper: Some(Vec::new()), ..Facts::default() };
        let observed = [("cp1".to_owned(), other), (name.to_owned(), own)].into_iter().collect();
        json!(balancer(inventory, name, host, &observed))
    }

    #[test]
    fn behind_a_virtual_address_control_planes_balance() {
        let inventory = inventory("{vip: 10.0.0.9}");
        assert_eq!(inventory.endpoint(), Some(("10.0.0.9".into(), 6443)));
        assert_eq!(of(&inventory, "w1"), Value::Null);
        let cp2 = of(&inventory, "cp2");
        assert_eq!(cp2["bind"], "*:6443");
        assert_eq!(cp2["api_servers"][0], json!({"name": "cp1", "address": "10.0.0.1", "port": 6444}));
        assert_eq!(
            cp2["vrrp"],
            json!({
                "vip": "10.0.0.9", "router_id": 9, "interface": "bond0", "priority": 190,
                "peers": [{"name": "cp1", "address": "10.0.0.1", "port": 6443}], "kept": true,
            })
        );
    }

    #[test]
    fn with_local_balancers_every_node_has_one_and_only_control_planes_listen_to_others() {
        let both = inventory("{vip: 10.0.0.9, local: true, virtual_router_id: 7, port: 8443}");
        assert_eq!(both.endpoint(), Some(("127.0.0.1".into(), 8443)));
        assert_eq!(both.outer_endpoint("cp2"), Some(("10.0.0.9".into(), 8443)));
        assert_eq!(
            (&of(&both, "w1")["bind"], &of(&both, "w1")["vrrp"]),
            (&json!("127.0.0.1:8443"), &Value::Null)
        );
        assert_eq!(of(&both, "w1")["api_servers"][1]["port"], 8444);
        assert_eq!(
            (&of(&both, "cp1")["bind"], &of(&both, "cp1")["vrrp"]["router_id"]),
            (&json!("*:8443"), &json!(7))
        );
        let local = inventory("{local: true}");
        assert_eq!(of(&local, "cp1")["vrrp"], Value::Null);
        // Not the balancer's 6443: cp1, to which that leads as well, has no certificate for 10.0.0.2.
        assert_eq!(local.outer_endpoint("cp2"), Some(("10.0.0.2".into(), 6444)));
    }

    #[test]
    fn a_rented_node_has_the_virtual_address_for_itself() {
        let vip = inventory("{vip: 10.0.0.9}");
        let servers = |balancer: &Value| {
            let servers = balancer["api_servers"].as_array().unwrap().iter();
            servers
                .map(|it| format!("{}:{}", it["address"].as_str().unwrap(), it["port"]))
                .collect::<Vec<_>>()
        };
        let own = json!(rented(&vip));
        assert_eq!((&own["bind"], &own["own_address"]), (&json!("10.0.0.9:6443"), &json!("10.0.0.9")));
        assert_eq!(servers(&own), ["10.0.0.1:6444", "10.0.0.2:6444"]);
        let local = json!(rented(&inventory("{vip: 10.0.0.9, local: true, port: 8443}")));
        assert_eq!((&local["bind"], &local["own_address"]), (&json!("127.0.0.1:8443"), &Value::Null));
        assert_eq!(servers(&local), ["10.0.0.1:8444", "10.0.0.2:8444"]);
    }

    #[test]
    fn without_either_nobody_balances() {
        let plain = inventory("{address: 10.0.0.1}");
        assert!(rented(&plain).is_none());
        assert_eq!((of(&plain, "cp1"), of(&plain, "w1")), (Value::Null, Value::Null));
        assert_eq!((plain.api_port(), plain.outer_endpoint("cp2")), (6443, Some(("10.0.0.1".into(), 6443))));
    }

    #[test]
    fn how_often_and_in_which_order() {
        let mut inventory = inventory("{local: true}");
        let worker = inventory.hosts["w1"].clone();
        for (hosts, every) in [(3, 2), (500, 5), (5000, 10)] {
            for index in inventory.hosts.len()..hosts {
                inventory.hosts.insert(format!("x{index}"), worker.clone());
            }
            assert_eq!(of(&inventory, "w1")["check_every"], every, "{hosts}");
        }
        assert_eq!(of(&inventory, "cp1")["check_every"], 1);
        assert_eq!([0, 1, 6, 19, 20, 99].map(priority), [200, 190, 140, 10, 1, 1]);
    }
}
