//! The addresses that MetalLB shall give to services: whether nodes are in their network, and whether machines have them
//! already. What a DHCP server will hand out later, nobody tells.

use std::{collections::BTreeMap, net::Ipv4Addr};

use ipnet::Ipv4Net;

use super::{
    finding::{Check, Finding},
    is_node,
};
use crate::{
    facts::{Facts, Owners},
    inventory::{Inventory, Metallb, Pool, Protocol},
};

const NETWORK: Check = Check {
    name: "pool-network",
    checked: "whether nodes are in the network of MetalLB's addresses",
    expected: "at least one, which can answer for them there",
};
const FREE: Check = Check {
    name: "pool-free",
    checked: "who has MetalLB's addresses (ARP)",
    expected: "nobody, or nodes that announce them for services",
};

/// So many addresses are asked for; the kernel remembers 1024 neighbours.
const MOST: usize = 256;
/// Where kube-proxy keeps the addresses of services in its mode `ipvs`, on every node.
const IPVS: &str = "kube-ipvs0";

/// Who is asked for what, by host.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Questions {
    pub by_host: BTreeMap<String, Vec<Ipv4Addr>>,
    /// Ranges in no node's network.
    lost: Vec<Pool>,
    /// How many addresses nobody is asked for.
    left_out: usize,
}

/// Each address that nodes would answer for is asked for by the first node in its network, up to a limit.
pub fn questions(inventory: &Inventory, facts: &BTreeMap<&str, &Facts>) -> Questions {
    let mut questions = Questions::default();
    let mut asked = 0;
    for (_, _, range, protocol) in inventory.addons.metallb.iter().flat_map(Metallb::ranges) {
        if protocol != Protocol::L2 {
            continue;
        }
        let mut networks = inventory.hosts.iter().filter_map(|(name, host)| {
            let facts = facts.get(name.as_str()).filter(|_| is_node(host))?;
            let own = facts.addresses.iter().find(|own| own.address == host.address)?;
            Some((name, Ipv4Net::new(host.address, own.prefix.min(32)).ok()?))
        });
        let inside =
            |(_, network): &(_, Ipv4Net)| network.contains(&range.first) && network.contains(&range.last);
        let Some((name, _)) = networks.find(inside) else {
            questions.lost.push(range);
            continue;
        };
        let size = u64::from(u32::from(range.last)) - u64::from(u32::from(range.first)) + 1;
        let taken = usize::try_from(size).unwrap_or(usize::MAX).min(MOST - asked);
        let addresses = (u32::from(range.first)..=u32::from(range.last)).map(Ipv4Addr::from).take(taken);
        questions.by_host.entry(name.clone()).or_default().extend(addresses);
        asked += taken;
        questions.left_out += usize::try_from(size).unwrap_or(usize::MAX) - taken;
    }
    questions
}

/// Judges the answers of hosts, by their names, with the facts of all hosts that were asked anything.
pub fn judge(
    inventory: &Inventory,
    facts: &BTreeMap<&str, &Facts>,
    questions: &Questions,
    answers: &[(&str, Owners)],
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = questions.lost.iter().map(|range| lost(*range)).collect();
    findings.extend(held(inventory, facts));
    for (host, answer) in answers {
        findings.push(taken(facts, host, answer, questions));
    }
    findings
}

fn lost(range: Pool) -> Finding {
    NETWORK.error(
        "",
        format!("{range} is in the network of no node that answered"),
        "choose free addresses of a network that nodes are in; elsewhere routers have to be told: `protocol: bgp`",
    )
}

/// Hosts that have such an address on an interface of their own.
fn held(inventory: &Inventory, facts: &BTreeMap<&str, &Facts>) -> Vec<Finding> {
    let ranges: Vec<Pool> =
        inventory.addons.metallb.iter().flat_map(Metallb::ranges).map(|(_, _, range, _)| range).collect();
    let mut findings = Vec::new();
    for (name, facts) in facts {
        let own = facts.addresses.iter().filter(|own| own.interface != IPVS);
        let inside = own.filter(|own| match own.address {
            std::net::IpAddr::V4(address) => ranges.iter().any(|range| range.contains(address)),
            std::net::IpAddr::V6(_) => false,
        });
        findings.extend(inside.map(|own| {
            FREE.error(name, format!("{} has {} on {}", name, own.address, own.interface), TAKEN)
        }));
    }
    findings
}

const TAKEN: &str = "take the address out of the pool, or from that machine; an address that a DHCP server hands out comes back";

fn taken(facts: &BTreeMap<&str, &Facts>, host: &str, answer: &Owners, questions: &Questions) -> Finding {
    if let Some(reason) = &answer.unasked {
        return FREE.skipped(host, reason.clone());
    }
    let node = |mac: &str| {
        let has = |facts: &&Facts| facts.interfaces.iter().any(|interface| interface.mac == mac);
        facts.iter().find(|(_, facts)| has(facts)).map(|(name, facts)| (*name, facts.kubernetes.joined))
    };
    let (mut strangers, mut announced) = (Vec::new(), 0);
    for (address, mac) in &answer.owners {
        match node(mac) {
            Some((_, true)) => announced += 1,
            Some((name, false)) => strangers.push(format!("{address}: {name}, which is no node yet")),
            None => strangers.push(format!("{address}: a machine with the MAC address {mac}")),
        }
    }
    if !strangers.is_empty() {
        return FREE.error(host, strangers.join("; "), TAKEN);
    }
    if answer.free + announced == 0 {
        return FREE.skipped(host, "the kernel did not ask");
    }
    let mut seen = format!("nobody has {} of them", answer.free);
    if announced > 0 {
        seen.push_str(&format!(", nodes announce {announced}"));
    }
    if questions.left_out > 0 {
        seen.push_str(&format!("; {} more were not asked for", questions.left_out));
    }
    FREE.ok(host, seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::InterfaceAddress,
        preflight::{
            Severity::{self, Error, Ok, Skipped},
            tests::Fleet,
        },
    };

    /// The hosts are 192.168.18.201, .211 and .212 in a /24.
    fn fleet(metallb: &str) -> Fleet {
        let mut fleet = Fleet::three();
        fleet.inventory.addons.metallb = Some(serde_json::from_str(metallb).unwrap());
        fleet
    }

    fn said(fleet: &Fleet, answer: Option<&str>) -> Vec<(Severity, String)> {
        let all = fleet.all_facts();
        let facts: BTreeMap<&str, &Facts> = all.iter().map(|(name, facts)| (name.as_str(), facts)).collect();
        let questions = questions(&fleet.inventory, &facts);
        let answers: Vec<(&str, Owners)> =
            answer.iter().map(|answer| ("cp1", Owners::parse(answer))).collect();
        let findings = judge(&fleet.inventory, &facts, &questions, &answers);
        findings.into_iter().map(|finding| (finding.severity, finding.observed)).collect()
    }

    const POOL: &str = r#"{"pools": ["192.168.18.230-192.168.18.232"]}"#;

    #[test]
    fn one_node_of_the_network_asks_for_as_many_as_the_kernel_remembers() {
        let asked = |metallb: &str| {
            let fleet = fleet(metallb);
            let all = fleet.all_facts();
            let facts = all.iter().map(|(name, facts)| (name.as_str(), facts)).collect();
            let found = questions(&fleet.inventory, &facts);
            let counts: Vec<(String, usize)> =
                found.by_host.into_iter().map(|(name, addresses)| (name, addresses.len())).collect();
            (counts, found.lost.len(), found.left_out)
        };
        let cp1 = |count: usize| vec![("cp1".to_owned(), count)];
        assert_eq!(asked(POOL), (cp1(3), 0, 0));
        assert_eq!(asked(r#"{"pools": ["192.168.18.0/24", "192.168.18.4/31"]}"#), (cp1(256), 0, 2));
        assert_eq!(asked(r#"{"pools": ["192.168.18.250-192.168.19.3"]}"#), (vec![], 1, 0));
        assert_eq!(
            asked(r#"{"protocol": "bgp", "pools": ["10.9.0.0/16"]}"#),
            (vec![], 0, 0),
            "routers are told"
        );
    }

    #[test]
    fn who_answers_is_named() {
        let ours = fleet(POOL).all_facts()["w1"].interfaces[0].mac.clone();
        let mut fleet = fleet(POOL);
        let free = "nobody=192.168.18.231\nnobody=192.168.18.232\n";
        assert_eq!(
            said(&fleet, Some(&format!("nobody=192.168.18.230\n{free}")))[0],
            (Ok, "nobody has 3 of them".into())
        );
        let stranger = format!("owner=192.168.18.230 AA:BB:CC:00:00:01\n{free}");
        assert_eq!(
            said(&fleet, Some(&stranger))[0],
            (Error, "192.168.18.230: a machine with the MAC address aa:bb:cc:00:00:01".into())
        );
        let own = format!("owner=192.168.18.230 {ours}\n{free}");
        assert_eq!(said(&fleet, Some(&own))[0], (Error, "192.168.18.230: w1, which is no node yet".into()));
        fleet.facts("w1").kubernetes.joined = true;
        assert_eq!(said(&fleet, Some(&own))[0], (Ok, "nobody has 2 of them, nodes announce 1".into()));
        assert_eq!(said(&fleet, Some("unasked=no ip"))[0], (Skipped, "no ip".into()));
        assert_eq!(said(&fleet, Some(""))[0].0, Skipped);
    }

    #[test]
    fn a_host_that_has_one_is_known_from_facts() {
        let mut fleet = fleet(POOL);
        for (host, interface) in [("w1", "eth0"), ("w2", IPVS)] {
            fleet.facts(host).addresses.push(InterfaceAddress {
                interface: interface.into(),
                address: [192, 168, 18, 231].into(),
                prefix: 24,
            });
        }
        assert_eq!(said(&fleet, None), [(Error, "w1 has 192.168.18.231 on eth0".into())]);
    }

    #[test]
    fn addresses_that_no_node_can_answer_for_are_named() {
        let found = said(&fleet(r#"{"pools": ["10.9.0.8/30"]}"#), None);
        assert_eq!(found, [(Error, "10.9.0.8-10.9.0.11 is in the network of no node that answered".into())]);
    }
}
