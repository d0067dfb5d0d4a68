//! What control planes answer, and what is made of it.

use super::*;
use crate::{
    facts::{Interface, InterfaceAddress},
    inventory,
    preflight::{
        Severity::{self, Error, Ok, Skipped},
        Subject,
        tests::Fleet,
    },
};

fn inventory() -> Inventory {
    let text = "cluster: {name: a, kubernetes: \"1.20.2\", etcd: external, endpoint: {vip: 10.0.0.9}}\nhosts:\n  \
                cp1: {address: 10.0.0.1, roles: [control-plane]}\n  cp2: {address: 10.0.0.2, roles: [control-plane]}\n  \
                w1: {address: 10.0.0.3, roles: [worker, etcd]}\n";
    inventory::parse("test", text).unwrap().inventory
}

fn facts(last: u8, prefix: u8) -> Facts {
    let interface = "eth0".to_owned();
    Facts {
        addresses: vec![InterfaceAddress {
            interface: interface.clone(),
            address: [10, 0, 0, last].into(),
            prefix,
        }],
        interfaces: vec![Interface {
            name: interface,
            mac: format!("00:00:00:00:00:0{last}"),
            mtu: 1500,
            hardware: true,
        }],
        ..Facts::default()
    }
}

/// What is said when cp1 and cp2 answer so, of a check.
fn said(check: &str, answers: &[&str]) -> Vec<(Severity, String)> {
    let names = ["cp1", "cp2"];
    let answers: Vec<Answer> =
        names.iter().zip(answers).map(|(name, answer)| Answer::parse(name, &names, answer)).collect();
    let facts: Vec<(&str, Facts)> =
        [("cp1", 1), ("cp2", 2), ("w1", 3)].into_iter().map(|(name, last)| (name, facts(last, 24))).collect();
    let facts = facts.iter().map(|(name, facts)| (*name, facts)).collect();
    let findings = judge(&inventory(), &facts, &answers);
    let of_check = findings.into_iter().filter(|finding| finding.check == check);
    of_check
        .map(|finding| (finding.severity, format!("{}: {}", finding.hosts.join(","), finding.observed)))
        .collect()
}

#[test]
fn who_has_the_address() {
    let first = |answers: &[&str]| said("vip-free", answers).swap_remove(0);
    for (answers, severity, observed) in [
        (&["owner=nobody", "owner=nobody"][..], Ok, "nobody"),
        (&["owner=00:00:00:00:00:02", "owner=self\nkeeps=yes"], Ok, "cp2 has it, by its keepalived"),
        (&["owner=self\nkeeps=yes", "owner=00:00:00:00:00:01"], Ok, "cp1 has it, by its keepalived"),
        (&["owner=00:00:00:00:00:02", "owner=self"], Error, "cp2 has it, but not by a keepalived of hoist's"),
        (&["owner=self\nkeeps=yes", "owner=self\nkeeps=yes"], Error, "cp1, cp2 have it at the same time"),
        (&["owner=00:00:00:00:00:03", "owner=nobody"], Error, "w1 has it (00:00:00:00:00:03)"),
        (&["owner=AA:00:00:00:00:03", ""], Error, "a machine with the MAC address aa:00:00:00:00:03"),
        (
            &["owner=aa:00:00:00:00:03"],
            Skipped,
            "a machine with the MAC address aa:00:00:00:00:03, which may be cp2",
        ),
        (&["unasked=no ip", ""], Skipped, "no ip"),
        (&["", ""], Skipped, "no answer"),
    ] {
        assert_eq!(first(answers), (severity, format!("cp1: {observed}")), "{answers:?}");
    }
}

#[test]
fn who_hears_whom() {
    let all = |answers: &[&str]| said("vrrp", answers);
    let fine = |host: &str| (Ok, format!("{host}: packets of the others arrive"));
    assert_eq!(all(&["listens=yes\nhears=1", "listens=yes\nhears=0"]), [fine("cp1"), fine("cp2")]);
    let deaf = (Error, "cp2: nothing arrives from cp1".to_owned());
    assert_eq!(all(&["listens=yes\nhears=1", "listens=yes"]), [fine("cp1"), deaf]);
    let alone = all(&["listens=yes", ""]);
    assert!(alone.iter().all(|(severity, _)| *severity == Skipped), "{alone:?}");
    let at_work = (Ok, "cp1,cp2: one has the address, and the others hear it".to_owned());
    assert_eq!(all(&["keeps=yes\nowner=self", "keeps=yes"]), [at_work]);
    assert_eq!(all(&["keeps=yes\nowner=self", "keeps=yes\nowner=self"])[0].0, Error);
    assert_eq!(all(&["keeps=yes", "keeps=yes"])[0].0, Skipped);
    assert_eq!(all(&["listens=yes"]), [], "one has nobody to hear");
}

/// What hosts that have these addresses (INTERFACE, ADDRESS, PREFIX) say of the virtual address.
fn network_of(vip: [u8; 4], name: &str, addresses: &[(&str, [u8; 4], u8)]) -> Option<(Severity, String)> {
    let mut inventory = inventory();
    inventory.cluster.endpoint.vip = Some(vip.into());
    let addresses = addresses.iter().map(|(interface, address, prefix)| InterfaceAddress {
        interface: (*interface).into(),
        address: std::net::IpAddr::from(*address),
        prefix: *prefix,
    });
    let facts = Facts { addresses: addresses.collect(), ..Facts::default() };
    let subject = Subject { name, host: &inventory.hosts[name], facts: &facts, survey: None };
    network(&inventory, &subject).map(|finding| (finding.severity, finding.observed))
}

#[test]
fn the_address_is_one_of_the_control_planes_network() {
    const VIP: [u8; 4] = [10, 0, 0, 9];
    const OWN: [u8; 4] = [10, 0, 0, 1];
    for (vip, addresses, severity, says) in [
        (VIP, &[("eth0", OWN, 24)][..], Ok, "10.0.0.0/24 on eth0"),
        // 10.0.0.8 begins another one.
        (VIP, &[("eth0", OWN, 29)], Error, "no address for a host in 10.0.0.0/29 on eth0"),
        ([10, 0, 1, 9], &[("eth0", OWN, 24)], Error, "in 10.0.0.0/24 on eth0"),
        ([10, 0, 1, 9], &[("eth0", OWN, 16)], Ok, "10.0.0.0/16 on eth0"),
        ([192, 0, 2, 9], &[("eth0", OWN, 24)], Error, "in 10.0.0.0/24 on eth0"),
        // Clouds give hosts networks of their own, in which nobody answers for another.
        (VIP, &[("eth0", OWN, 32)], Error, "in 10.0.0.1/32 on eth0"),
        ([10, 0, 0, 0], &[("eth0", OWN, 31)], Ok, "10.0.0.0/31 on eth0"),
        // The network's own address and its broadcast.
        ([10, 0, 0, 0], &[("eth0", OWN, 24)], Error, "10.0.0.0 is no address for a host"),
        ([10, 0, 0, 255], &[("eth0", OWN, 24)], Error, "10.0.0.255 is no address for a host"),
        // Two networks, and the other one is meant.
        (
            [172, 16, 0, 9],
            &[("eth0", OWN, 24), ("eth1", [172, 16, 0, 1], 24)],
            Error,
            "10.0.0.0/24 on eth0, but in 172.16.0.0/24 on eth1",
        ),
        // That it has the address already does not make a network of it.
        ([172, 16, 0, 9], &[("eth0", OWN, 24), ("eth0", [172, 16, 0, 9], 32)], Error, "10.0.0.0/24 on eth0"),
        (VIP, &[("eth0", [10, 0, 0, 7], 24)], Skipped, "does not have the address"),
        (VIP, &[], Skipped, "told no address"),
    ] {
        let found = network_of(vip, "cp1", addresses).unwrap();
        assert!(found.1.contains(says), "{found:?}");
        assert_eq!(found.0, severity, "{vip:?} {addresses:?}");
    }
    assert_eq!(
        network_of(VIP, "w1", &[("eth0", [10, 0, 0, 3], 32)]),
        None,
        "only control planes can have it"
    );
}

#[test]
fn a_new_virtual_address_for_a_running_cluster_is_looked_at() {
    let mut fleet = Fleet::three();
    let found = |fleet: &Fleet| moved(&fleet.inventory, &fleet.subjects()).len();
    fleet.inventory.cluster.endpoint.vip = Some([192, 168, 19, 200].into());
    assert_eq!(found(&fleet), 0, "new hosts are judged anyway");
    fleet.facts("cp1").kubernetes.joined = true;
    assert_eq!(found(&fleet), 1);
    let all = crate::preflight::from_facts(&fleet.inventory, &fleet.all_facts());
    let errors = all.iter().filter(|finding| finding.severity == Error).map(|finding| finding.check);
    assert_eq!(errors.collect::<Vec<_>>(), ["vip-network"]);
    fleet.inventory.cluster.endpoint.vip = Some([192, 168, 18, 200].into());
    assert_eq!(found(&fleet), 0);
    // Something leads there: it has worked until now.
    let vip = [192, 168, 19, 200];
    fleet.inventory.cluster.endpoint.vip = Some(vip.into());
    let (interface, address) = ("eth0".to_owned(), std::net::IpAddr::from(vip));
    fleet.facts("cp1").addresses.push(InterfaceAddress { interface, address, prefix: 32 });
    assert_eq!(found(&fleet), 0);
}

#[test]
fn a_worker_that_has_the_address_is_known_from_facts() {
    let mut fleet = Fleet::three();
    let vip = [192, 168, 18, 200].into();
    fleet.inventory.cluster.endpoint.vip = Some(vip);
    assert_eq!(held_by_others(&fleet.inventory, &fleet.subjects()), []);
    for host in ["cp1", "w1"] {
        fleet.facts(host).addresses.push(InterfaceAddress {
            interface: "eth0".into(),
            address: vip.into(),
            prefix: 32,
        });
    }
    let hosts: Vec<Vec<String>> = held_by_others(&fleet.inventory, &fleet.subjects())
        .into_iter()
        .map(|finding| finding.hosts)
        .collect();
    assert_eq!(hosts, [["w1"]]);
}
