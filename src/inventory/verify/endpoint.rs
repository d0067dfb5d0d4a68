//! Where the API server is reached.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;
use miette::Severity;

use super::{addressed, hosts::unusable};
use crate::{
    inventory::{Host, Inventory, Role},
    yaml::{Document, Problem, Span},
};

/// No network of machines is larger: the largest private one has this length (RFC 1918).
const LARGEST: u8 = 8;
/// Beyond this many bits less than that, machines on one wire are unusual.
const USUAL: u8 = 16;
/// As long as that of most networks of machines.
const SMALL: u8 = 24;

/// What else listens on every control plane, on addresses of its own choice.
const LISTENERS: [(u16, &str); 9] = [
    (2379, "etcd"),
    (2380, "etcd"),
    (2381, "etcd"),
    (10248, "the kubelet"),
    (10249, "kube-proxy"),
    (10250, "the kubelet"),
    (10256, "kube-proxy"),
    (10257, "the controller manager"),
    (10259, "the scheduler"),
];

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let endpoint = &document.value.cluster.endpoint;
    let at = |key| document.tree.at(&["cluster", "endpoint", key]);
    ports(document, at("port"), problems);
    let whole = document.is_whole(&["cluster", "endpoint"]);
    if endpoint.virtual_router_id.is_some() && endpoint.vip.is_none() && whole {
        problems.push(
            Problem::new(at("virtual_router_id"), "the virtual router ID has no effect")
                .label("not used")
                .severity(Severity::Warning)
                .help("only a virtual address needs one: set `vip`, or remove it"),
        );
    }
    if let Some(vip) = endpoint.vip {
        virtual_address(document, vip, at("vip"), problems);
        if endpoint.address.is_some() {
            problems.push(
                Problem::new(at("address"), "the endpoint has both an address and a virtual address")
                    .label("one of them")
                    .also(at("vip"), "the other")
                    .help("keep `vip` to have the control planes share an address, else keep `address`"),
            );
        }
        return;
    }
    let address = endpoint.address.as_deref();
    if let Some((reason, help)) = address.and_then(|address| leads_nowhere(&document.value, address)) {
        let title = format!("the API server cannot be reached at {}", address.unwrap_or_default());
        problems.push(Problem::new(at("address"), title).label(reason).help(help));
        return;
    }
    let ip = address.and_then(|text| text.parse::<Ipv4Addr>().ok());
    let host = ip.and_then(|ip| host_at(document, ip));
    match host {
        Some((name, host)) if !host.has(Role::ControlPlane) && document.is_whole(&["hosts", name, "roles"]) => problems.push(
            Problem::new(
                at("address"),
                format!("the endpoint is the address of `{name}`, which runs no API server"),
            )
            .label("its address")
            .also(document.tree.at(&["hosts", name, "roles"]), "no `control-plane` here")
            .help("write the address of a control-plane host, or leave the endpoint out to take the first one's"),
        ),
        _ if endpoint.local => {}
        _ if whole && (address.is_none() || host.is_some()) => one_for_all(document, problems),
        _ => {}
    }
}

/// Why an address of the endpoint leads to no API server, and what to do.
fn leads_nowhere(inventory: &Inventory, address: &str) -> Option<(&'static str, &'static str)> {
    if address.parse::<Ipv6Addr>().is_ok() {
        return Some(("an IPv6 address", "hosts are IPv4: write an IPv4 address or a DNS name"));
    }
    let ip = match address {
        "localhost" => Ipv4Addr::LOCALHOST,
        _ => address.parse().ok()?,
    };
    // With `local` it is for people alone, who may have a tunnel that begins on their own machine. And a cluster of one
    // machine that was begun so works, and keeps its endpoint for life.
    let alone = inventory.hosts.len() == 1 && !inventory.burst.is_wanted();
    if ip.is_loopback() && (inventory.cluster.endpoint.local || alone) {
        return None;
    }
    let help = match ip.is_loopback() {
        true => {
            "write the address at which all nodes reach it, or `local: true` for a load balancer on every node"
        }
        false => {
            "write the address at which all nodes reach it, or leave it out to take that of the first control plane"
        }
    };
    Some((unusable(ip)?, help))
}

/// The endpoint's port, and where balancers listen on it the API servers' own.
fn ports(document: &Document<Inventory>, span: Span, problems: &mut Vec<Problem>) {
    let endpoint = &document.value.cluster.endpoint;
    if endpoint.is_balanced() && endpoint.port == u16::MAX {
        problems.push(
            Problem::new(span, "the API servers behind the load balancers have no port")
                .label(format!("there is none after {}", u16::MAX))
                .help("choose a smaller one: the API servers take the port after it; 6443 is usual"),
        );
        return;
    }
    for (port, what) in [
        (Some(endpoint.port), "the endpoint"),
        (endpoint.is_balanced().then(|| document.value.api_port()), "the API servers behind it"),
    ] {
        let Some((port, other)) = LISTENERS.into_iter().find(|(taken, _)| Some(*taken) == port) else {
            continue;
        };
        problems.push(
            Problem::new(span, format!("{what} and {other} would both listen on port {port}"))
                .label(if port == endpoint.port {
                    "taken".to_owned()
                } else {
                    format!("{port} comes after it")
                })
                .help("choose another port for the endpoint: 6443 is usual"),
        );
    }
}

/// Several control planes behind the address of one of them.
fn one_for_all(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let control_planes = document.value.with_role(Role::ControlPlane).count();
    if control_planes > 1 {
        problems.push(
            Problem::new(
                document.tree.key_at(&["cluster", "endpoint"]),
                format!("{control_planes} control planes, but the API server is reached at one of them"),
            )
            .label("lost with that machine")
            .severity(Severity::Warning)
            .help(
                "set `vip` to a free address of their network that they hand to each other, or `local: true` for a load \
                 balancer on every node, or both; or `address` to that of a load balancer of your own",
            ),
        );
    }
}

fn virtual_address(document: &Document<Inventory>, vip: Ipv4Addr, span: Span, problems: &mut Vec<Problem>) {
    if let Some(reason) = unusable(vip) {
        problems.push(
            Problem::new(span, format!("{vip} cannot be a virtual address"))
                .label(reason)
                .help("write a free address of the control planes' network"),
        );
        return;
    }
    if let Some((name, _)) = host_at(document, vip) {
        problems.push(
            Problem::new(span, format!("the virtual address is that of `{name}`"))
                .label("not free")
                .also(document.tree.at(&["hosts", name, "address"]), "the same")
                .help("write an address that no machine has; the control planes hand it to each other"),
        );
        return;
    }
    far(document, vip, span, problems);
    // Only the hosts know how long the prefix of their network is; that it cannot be this short is certain.
    let Some((name, host, prefix)) = addressed(document)
        .filter(|(_, host)| host.has(Role::ControlPlane))
        .map(|(name, host)| (name, host, common_prefix(vip, host.address)))
        .min_by_key(|(_, host, prefix)| (!never_together(vip, host.address), *prefix))
    else {
        return;
    };
    if prefix < USUAL || never_together(vip, host.address) {
        let certain = never_together(vip, host.address);
        let title = match certain {
            true => format!("the virtual address is not in the network of `{name}`"),
            false => format!("the virtual address seems not to be in the network of `{name}`"),
        };
        let network =
            Ipv4Net::new(vip, prefix).map(|network| network.trunc().to_string()).unwrap_or_default();
        problems.push(
            Problem::new(span, title)
                .label(match certain && prefix >= LARGEST {
                    true => "one is private, the other not of the same private addresses".to_owned(),
                    false => format!("both are in {network} at best"),
                })
                .also(document.tree.at(&["hosts", name, "address"]), host.address.to_string())
                .severity(if certain { Severity::Error } else { Severity::Warning })
                .help(match certain {
                    true => "the control planes can hold only an address of the network that they are all in",
                    false => {
                        "the control planes can hold only an address of the network that they are all in: `hoist preflight` \
                         asks them how large it is, and `apply` stops before its first change if it is too small"
                    }
                }),
        );
    }
}

/// Advice where the virtual address may well be in the network of the control planes, which only they know.
fn far(document: &Document<Inventory>, vip: Ipv4Addr, span: Span, problems: &mut Vec<Problem>) {
    let planes = addressed(document).filter(|(_, host)| host.has(Role::ControlPlane));
    let nearest = planes
        .filter(|(_, host)| !never_together(vip, host.address))
        .map(|(_, host)| common_prefix(vip, host.address))
        .max();
    if nearest.is_some_and(|prefix| (USUAL..SMALL).contains(&prefix)) {
        problems.push(
            Problem::new(span, format!("no control plane has an address in the same /{SMALL}"))
                .label("right where their network is larger")
                .severity(Severity::Advice)
                .help("`hoist preflight` asks them how large it is, and `apply` stops before its first change if it is too small"),
        );
    }
}

fn host_at(document: &Document<Inventory>, address: Ipv4Addr) -> Option<(&String, &Host)> {
    addressed(document).find(|(_, host)| host.address == address)
}

/// Whether no network has both addresses: one would be larger than there are, or of private addresses (RFC 1918) and of
/// others.
fn never_together(one: Ipv4Addr, other: Ipv4Addr) -> bool {
    let private = |address: Ipv4Addr| match address.octets() {
        [10, ..] => Some(10),
        [172, 16..=31, ..] => Some(172),
        [192, 168, ..] => Some(192),
        _ => None,
    };
    common_prefix(one, other) < LARGEST || private(one) != private(other)
}

/// Length of the longest prefix that two addresses share.
fn common_prefix(one: Ipv4Addr, other: Ipv4Addr) -> u8 {
    // At most 32.
    (u32::from(one) ^ u32::from(other)).leading_zeros() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{self, Source};

    /// What is said of where the virtual address is, with control planes at these addresses; nothing where only the hosts
    /// know.
    fn said(vip: &str, hosts: &[&str]) -> Option<(Severity, String)> {
        let mut text =
            format!("cluster: {{name: a, kubernetes: 1.34.1, endpoint: {{vip: {vip}}}}}\nhosts:\n");
        for (index, address) in hosts.iter().enumerate() {
            text += &format!("  cp{index}: {{address: {address}, roles: [control-plane]}}\n");
        }
        let mut found = Vec::new();
        let document = yaml::read_and(&Source::new("test", text), |document| {
            verify(document, &mut found);
            Vec::new()
        });
        assert!(document.is_ok(), "{vip} {hosts:?}");
        let problem = found.into_iter().find(|problem| problem.title.contains("in the network of"))?;
        Some((problem.severity, problem.title))
    }

    /// The markers of everything that is said of the endpoint.
    fn labels(text: &str) -> Vec<String> {
        let document = yaml::read::<Inventory>(&Source::new("test", text)).unwrap();
        let mut found = Vec::new();
        verify(&document, &mut found);
        found.into_iter().map(|problem| problem.label).collect()
    }

    #[test]
    fn an_address_leads_somewhere() {
        const LOOPBACK: &str = "a loopback address: every machine has it";
        for (endpoint, reason) in [
            ("{address: \"fd00::9\"}", Some("an IPv6 address")),
            ("{address: \"fd00::9\", local: true}", Some("an IPv6 address")),
            ("{address: \"::1\"}", Some("an IPv6 address")),
            ("{address: 127.0.0.1}", Some(LOOPBACK)),
            ("{address: localhost}", Some(LOOPBACK)),
            ("{address: 0.0.0.0}", Some("no address at all")),
            ("{address: 0.0.0.0, local: true}", Some("no address at all")),
            ("{address: 224.0.0.9}", Some("a multicast address")),
            // A tunnel of one's own may begin there.
            ("{address: 127.0.0.1, local: true}", None),
            ("{address: localhost, local: true}", None),
            ("{address: 10.0.0.9}", None),
            ("{address: api.example.lan}", None),
        ] {
            let text = format!(
                "cluster: {{name: a, kubernetes: 1.34.1, endpoint: {endpoint}}}\nhosts:\n  \
                 cp1: {{address: 10.0.0.1, roles: [control-plane]}}\n  w1: {{address: 10.0.0.2, roles: [worker]}}\n"
            );
            assert_eq!(labels(&text), Vec::from_iter(reason), "{endpoint}");
        }
        let alone = "cluster: {name: a, kubernetes: 1.34.1, endpoint: {address: 127.0.0.1}}\n\
                     hosts: {a: {address: 10.0.0.1, roles: [control-plane, worker]}}\n";
        assert_eq!(labels(alone), Vec::<String>::new());
        assert_eq!(labels(&alone.replace("127.0.0.1", "0.0.0.0")), ["no address at all"]);
    }

    #[test]
    fn virtual_addresses_outside_of_the_network() {
        let wrong = |name: &str| {
            Some((Severity::Error, format!("the virtual address is not in the network of `{name}`")))
        };
        let odd = |name: &str| {
            Some((
                Severity::Warning,
                format!("the virtual address seems not to be in the network of `{name}`"),
            ))
        };
        for (vip, hosts, expected) in [
            // Networks of 24, 23 and 16 bits have both. Whether there is such a one the hosts tell: preflight's `vip-network`.
            ("192.168.18.200", &["192.168.18.1"][..], None),
            ("192.168.19.200", &["192.168.18.1"], None),
            ("192.168.200.200", &["192.168.18.1"], None),
            ("10.0.200.200", &["10.0.18.1"], None),
            // Only 10.0.0.0/8 has both, and 172.16.0.0/12: there are such networks.
            ("10.200.0.1", &["10.0.0.1"], odd("cp0")),
            ("172.31.0.1", &["172.16.0.1"], odd("cp0")),
            // Public addresses, in 198.0.0.0/8 and the like.
            ("198.51.100.1", &["198.20.1.1"], odd("cp0")),
            // No network has both.
            ("192.168.18.200", &["10.0.0.1"], wrong("cp0")),
            ("11.0.0.1", &["10.0.0.1"], wrong("cp0")),
            ("172.32.0.1", &["172.31.0.1"], wrong("cp0")),
            ("192.169.0.1", &["192.168.0.1"], wrong("cp0")),
            ("192.0.2.1", &["192.168.0.1"], wrong("cp0")),
            ("100.64.0.9", &["10.0.0.1"], wrong("cp0")),
            // One of several is enough, and what is certain comes before what is odd.
            ("10.0.0.200", &["10.0.0.1", "10.200.0.2", "10.0.0.3"], odd("cp1")),
            ("10.0.0.200", &["10.0.0.1", "10.200.0.2", "192.168.0.3"], wrong("cp2")),
            ("192.168.0.200", &["192.168.0.1", "192.168.0.2", "192.169.0.3"], wrong("cp2")),
        ] {
            assert_eq!(said(vip, hosts), expected, "{vip} {hosts:?}");
        }
    }
}
