//! Addresses, interfaces and routes.

use std::net::IpAddr;

use indexmap::IndexMap;
use ipnet::Ipv4Net;

use super::{
    JOINED, Subject,
    finding::{Check, Finding},
    survey::Survey,
};
use crate::inventory::{BRIDGE, Inventory, Routing};

const ADDRESS: Check = Check {
    name: "address",
    checked: "whether the address in the inventory is one of the host's own",
    expected: "on an interface of the host: the kubelet accepts no other",
};
const TAKEN: Check = Check {
    name: "address-taken",
    checked: "whether another host has the address in the inventory",
    expected: "one host for each address",
};
const NETWORKS: Check = Check {
    name: "network-overlap",
    checked: "the networks of the host's interfaces",
    expected: "none that the cluster takes for pods or services",
};
const ROUTES: Check = Check {
    name: "route-overlap",
    checked: "the host's routes",
    expected: "none into the networks that the cluster takes for pods or services",
};
const OUTWARD: Check = Check {
    name: "default-route",
    checked: "the address with which packets leave by the default route",
    expected: "the address in the inventory",
};
const MTU: Check = Check {
    name: "mtu",
    checked: "the MTU of the interfaces by which the hosts know each other",
    expected: "the same on all hosts: the smallest decides what arrives",
};

const POD_MTU: Check = Check {
    name: "pod-mtu",
    checked: "whether the host sends packets as large as Cilium is told",
    expected: "the MTU of its interface is no smaller than `addons.cilium.mtu`",
};
const NATIVE: Check = Check {
    name: "native-routing",
    checked: "whether all nodes are in one network, as native routing needs it",
    expected: "every other node's address is in the network of its own",
};

/// What facts tell of one host.
pub fn from_facts(inventory: &Inventory, host: &Subject) -> Vec<Finding> {
    if host.facts.addresses.is_empty() {
        let why = "the host told no address: there is no `ip` (iproute2), or no interface is up";
        return vec![ADDRESS.skipped(host.name, why), NETWORKS.skipped(host.name, why)];
    }
    vec![address(host), networks(inventory, host)]
}

fn address(host: &Subject) -> Finding {
    let wanted = host.host.address;
    match host.facts.interface_of(wanted.into()) {
        Some(interface) => ADDRESS.ok(host.name, format!("{wanted} is on {}", interface.name)),
        None => {
            let own: Vec<String> = host.facts.addresses.iter().map(|own| own.address.to_string()).collect();
            ADDRESS.error(
                host.name,
                format!("{wanted} is not among {}", own.join(", ")),
                "give the inventory an address of the host itself, not one that is translated on the way (NAT)",
            )
        }
    }
}

fn networks(inventory: &Inventory, host: &Subject) -> Finding {
    if host.facts.kubernetes.joined {
        return NETWORKS.skipped(host.name, JOINED);
    }
    let own = host.facts.addresses.iter().filter(|own| own.interface != BRIDGE);
    let networks = own.filter_map(|own| match own.address {
        IpAddr::V4(address) => {
            Some((own.interface.as_str(), Ipv4Net::new(address, own.prefix).ok()?.trunc()))
        }
        IpAddr::V6(_) => None,
    });
    for (interface, network) in networks {
        if let Some((whose, taken)) = overlap(inventory, network) {
            return NETWORKS.error(
                host.name,
                format!("{network} on {interface} overlaps {taken}, the network of the {whose}"),
                format!("choose another `network.{whose}` in the inventory, or remove {interface} if a former cluster left it"),
            );
        }
    }
    NETWORKS.ok(host.name, "no overlap")
}

fn overlap(inventory: &Inventory, network: Ipv4Net) -> Option<(&'static str, Ipv4Net)> {
    let own = &inventory.cluster.network;
    let taken = [("pods", own.pods), ("services", own.services)];
    taken.into_iter().find(|(_, taken)| taken.contains(&network) || network.contains(taken))
}

/// What only the survey tells of one host.
pub fn from_survey(inventory: &Inventory, host: &Subject, survey: &Survey) -> Vec<Finding> {
    if host.facts.addresses.is_empty() {
        let why = "there is no `ip` (iproute2), or no interface is up";
        return vec![ROUTES.skipped(host.name, why), OUTWARD.skipped(host.name, why)];
    }
    vec![routes(inventory, host, survey), outward(host, survey)]
}

fn routes(inventory: &Inventory, host: &Subject, survey: &Survey) -> Finding {
    if host.facts.kubernetes.joined {
        return ROUTES.skipped(host.name, JOINED);
    }
    let peers = |via| inventory.hosts.values().any(|peer| Some(peer.address) == via);
    // A run that was interrupted has set its routes already.
    let foreign = survey.routes.iter().filter(|route| route.device != BRIDGE && !peers(route.via));
    for route in foreign {
        if let Some((whose, taken)) = overlap(inventory, route.network) {
            return ROUTES.error(
                host.name,
                format!("{route} overlaps {taken}, the network of the {whose}"),
                format!("choose another `network.{whose}` in the inventory, or remove the route if nobody needs it"),
            );
        }
    }
    ROUTES.ok(host.name, "no overlap")
}

fn outward(host: &Subject, survey: &Survey) -> Finding {
    let finding = match survey.outward {
        Some(address) if address == host.host.address => OUTWARD.ok(host.name, address.to_string()),
        Some(address) => OUTWARD.warning(
            host.name,
            address.to_string(),
            "hoist tells the kubelet which address to use; whatever else guesses by the default route guesses wrong. If \
             the other interface is meant for the cluster, put its address into the inventory",
        ),
        None => OUTWARD.warning(
            host.name,
            "there is no default route",
            "without one the host itself does not reach services of the cluster, nor a registry: add a default route, \
             even if nothing answers there",
        ),
    };
    finding.expecting(host.host.address.to_string())
}

/// Whether somebody has the address of somebody else.
pub fn taken(inventory: &Inventory, hosts: &[Subject]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for host in hosts {
        let other = inventory.hosts.iter().find(|(name, other)| {
            name.as_str() != host.name && host.facts.addresses.iter().any(|own| own.address == other.address)
        });
        findings.push(match other {
            None => TAKEN.ok(host.name, "none of the others' addresses"),
            Some((name, other)) => TAKEN
                .error(
                    "",
                    format!("{} has {}, which the inventory gives to {name}", host.name, other.address),
                    format!(
                        "take the address from {}, or correct the inventory: both may be the same machine",
                        host.name
                    ),
                )
                .about(vec![host.name.to_owned(), name.clone()]),
        });
    }
    findings
}

/// Whether all hosts send packets of one size.
pub fn mtu(hosts: &[Subject]) -> Option<Finding> {
    let mut sizes: IndexMap<u32, Vec<String>> = IndexMap::new();
    for host in hosts {
        if let Some(interface) = host.facts.interface_of(host.host.address.into()) {
            sizes.entry(interface.mtu).or_default().push(host.name.to_owned());
        }
    }
    sizes.sort_keys();
    let observed = sizes.iter().map(|(size, hosts)| format!("{size} on {}", hosts.join(", ")));
    let observed = observed.collect::<Vec<_>>().join("; ");
    let smallest = *sizes.first()?.0;
    let several = sizes.len() > 1;
    let all: Vec<String> = sizes.into_values().flatten().collect();
    Some(if several {
        let fix =
            format!("set the same MTU on all of them, {smallest} unless the whole network carries more");
        MTU.warning("", observed, fix).about(all)
    } else {
        MTU.ok("", smallest.to_string()).about(all)
    })
}

/// Whether a host sends packets as large as pods are told by Cilium.
pub fn pod_mtu(inventory: &Inventory, host: &Subject) -> Option<Finding> {
    let told = u32::from(inventory.cilium()?.mtu.filter(|_| host.host.is_node())?);
    let own = host.facts.interface_of(host.host.address.into())?.mtu;
    Some(match own < told {
        false => POD_MTU.ok(host.name, format!("{own}, and {told} is asked for")),
        true => POD_MTU.error(
            host.name,
            format!("{own}, but {told} is asked for"),
            format!("set `addons.cilium.mtu` to {own}, or a larger MTU on the whole network"),
        ),
    })
}

/// Whether nodes can send packets of pods to each other as they are.
pub fn native(inventory: &Inventory, hosts: &[Subject]) -> Vec<Finding> {
    let native = inventory.cilium().is_some_and(|cilium| cilium.routing == Routing::Native);
    let nodes = || hosts.iter().filter(|host| native && host.host.is_node());
    let mut findings = Vec::new();
    for host in nodes() {
        let Some(own) = host.facts.addresses.iter().find(|own| own.address == host.host.address) else {
            continue;
        };
        let Ok(network) = Ipv4Net::new(host.host.address, own.prefix.min(32)) else { continue };
        let outside: Vec<&str> =
            nodes().filter(|other| !network.contains(&other.host.address)).map(|other| other.name).collect();
        findings.push(match outside.is_empty() {
            true => NATIVE.ok(host.name, network.trunc().to_string()),
            false => NATIVE.error(
                host.name,
                format!("{} does not hold {}", network.trunc(), outside.join(", ")),
                "set `routing: vxlan` in `addons.cilium`, which needs nothing of the network",
            ),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::InterfaceAddress,
        preflight::{
            Severity::{self, Error, Ok, Skipped, Warning},
            survey::Route,
            tests::Fleet,
        },
    };

    fn say(fleet: &Fleet, check: &str) -> (Severity, String) {
        let hosts = fleet.subjects();
        let (host, inventory) = (&hosts[1], &fleet.inventory);
        let mut all = from_facts(inventory, host);
        all.extend(from_survey(inventory, host, host.survey.unwrap()));
        all.extend(taken(inventory, &hosts));
        all.extend(mtu(&hosts));
        let mut found: Vec<Finding> = all.into_iter().filter(|finding| finding.check == check).collect();
        found.sort_by_key(|finding| finding.severity);
        (found[0].severity, found[0].observed.clone())
    }

    fn with_address(interface: &str, address: &str, prefix: u8) -> Fleet {
        let mut fleet = Fleet::three();
        let address = address.parse().unwrap();
        fleet.facts("w1").addresses.push(InterfaceAddress { interface: interface.into(), address, prefix });
        fleet
    }

    #[test]
    fn what_cilium_is_told_of_the_network_is_so() {
        let with = |cilium: &str, change: fn(&mut Fleet)| {
            let mut fleet = Fleet::three();
            fleet.inventory.cluster.network.plugin = crate::inventory::Plugin::Cilium;
            fleet.inventory.addons.cilium = Some(serde_json::from_str(cilium).unwrap());
            change(&mut fleet);
            let hosts = fleet.subjects();
            let mut all: Vec<Finding> = pod_mtu(&fleet.inventory, &hosts[1]).into_iter().collect();
            all.extend(native(&fleet.inventory, &hosts));
            all.into_iter().map(|finding| finding.severity).collect::<Vec<_>>()
        };
        assert_eq!(with("{}", |_| {}), [], "nothing is told");
        assert_eq!(with(r#"{"mtu": 1500}"#, |_| {}), [Ok]);
        assert_eq!(with(r#"{"mtu": 9000}"#, |_| {}), [Error]);
        let native = r#"{"routing": "native"}"#;
        assert_eq!(with(native, |_| {}), [Ok, Ok, Ok]);
        let narrow = |fleet: &mut Fleet| fleet.facts("w1").addresses[0].prefix = 30;
        assert_eq!(with(native, narrow), [Ok, Error, Ok]);
    }

    #[test]
    fn the_inventorys_address_is_the_hosts() {
        let mut fleet = Fleet::three();
        assert_eq!(say(&fleet, "address"), (Ok, "192.168.18.211 is on eth0".into()));
        fleet.facts("w1").addresses[0].address = "10.0.0.5".parse().unwrap();
        assert_eq!(say(&fleet, "address"), (Error, "192.168.18.211 is not among 10.0.0.5".into()));
        fleet.facts("w1").addresses.clear();
        assert_eq!(say(&fleet, "address").0, Skipped);
        assert_eq!(say(&fleet, "network-overlap").0, Skipped);
        assert_eq!(say(&fleet, "route-overlap").0, Skipped);
        assert_eq!(say(&fleet, "default-route").0, Skipped);
    }

    #[test]
    fn the_address_of_another_host() {
        assert_eq!(say(&Fleet::three(), "address-taken").0, Ok);
        let fleet = with_address("eth0", "192.168.18.201", 24);
        let expected = "w1 has 192.168.18.201, which the inventory gives to cp1";
        assert_eq!(say(&fleet, "address-taken"), (Error, expected.into()));
    }

    #[test]
    fn networks_of_interfaces() {
        for (interface, address, prefix, severity) in [
            ("eth1", "172.16.0.5", 12, Ok),
            ("eth1", "10.0.0.5", 8, Error),
            ("docker0", "10.244.0.1", 16, Error),
            ("tun0", "10.96.0.1", 32, Error),
            ("cni0", "10.244.211.1", 24, Ok),
        ] {
            let fleet = with_address(interface, address, prefix);
            assert_eq!(say(&fleet, "network-overlap").0, severity, "{interface} {address}/{prefix}");
            let mut node = fleet;
            node.facts("w1").kubernetes.joined = true;
            assert_eq!(say(&node, "network-overlap").0, Skipped);
        }
    }

    #[test]
    fn routes_into_the_clusters_networks() {
        for (network, via, device, severity) in [
            ("192.168.18.0/24", None, "eth0", Ok),
            ("10.0.0.0/8", Some("192.168.18.1"), "eth0", Error),
            ("10.244.7.0/24", Some("192.168.18.1"), "eth0", Error),
            ("10.97.0.0/16", None, "tun0", Error),
            // Those of hoist's own plugin.
            ("10.244.201.0/24", Some("192.168.18.201"), "eth0", Ok),
            ("10.244.211.0/24", None, "cni0", Ok),
        ] {
            let mut fleet = Fleet::three();
            let via = via.map(|address| address.parse().unwrap());
            let route = Route { network: network.parse().unwrap(), via, device: device.into() };
            fleet.survey("w1").routes = vec![route];
            assert_eq!(say(&fleet, "route-overlap").0, severity, "{network}");
            fleet.facts("w1").kubernetes.joined = true;
            assert_eq!(say(&fleet, "route-overlap").0, Skipped);
        }
    }

    #[test]
    fn the_default_route() {
        for (address, severity) in
            [(Some("192.168.18.211"), Ok), (Some("10.0.2.15"), Warning), (None, Warning)]
        {
            let mut fleet = Fleet::three();
            fleet.survey("w1").outward = address.map(|address| address.parse().unwrap());
            assert_eq!(say(&fleet, "default-route").0, severity, "{address:?}");
        }
    }

    #[test]
    fn packets_of_different_sizes() {
        let mut fleet = Fleet::three();
        assert_eq!(say(&fleet, "mtu"), (Ok, "1500".into()));
        fleet.facts("cp1").interfaces[0].mtu = 9000;
        assert_eq!(say(&fleet, "mtu"), (Warning, "1500 on w1, w2; 9000 on cp1".into()));
    }
}
