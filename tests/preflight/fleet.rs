//! Several hosts that are really different, and what is between them.

use std::time::{Duration, Instant};

use hoist::{
    cluster::{Session, Visit},
    inventory::Inventory,
    preflight::before,
};

use super::{
    hosts::{Hosts, has_ping},
    preflight, said,
    support::skip::skip,
};

#[test]
fn hosts_that_differ_are_no_clones_and_reach_each_other() {
    let Some(hosts) = Hosts::make(&["cp1", "w1", "w2"], "") else { return };
    let (_, findings) = preflight(&hosts.inventory(), &[]);
    let all = "cp1,w1,w2";
    for (check, expected) in [
        ("clone-machine-id", "no two are the same"),
        ("clone-mac", "no two are the same"),
        ("clone-hostname", "no two are the same"),
        ("address-taken", "none of the others' addresses"),
        ("mtu", "1500"),
        ("ports", "all 16 ways are open"),
        ("ssh-forwarding", "it does"),
        ("network-overlap", "no overlap"),
        ("route-overlap", "no overlap"),
    ] {
        assert_eq!(said(&findings, check), [format!("ok {all}: {expected}")], "{check}");
    }
    for check in ["hostname", "address", "default-route", "tcp-full-size"] {
        assert!(
            said(&findings, check).iter().all(|line| line.starts_with("ok ")),
            "{:?}",
            said(&findings, check)
        );
        assert_eq!(said(&findings, check).len(), 3);
    }
    if has_ping() {
        let sizes = said(&findings, "path-mtu");
        assert_eq!(sizes[0], "ok cp1: 1500 bytes reach w1, w2", "{sizes:?}");
    }
}

#[test]
fn a_way_that_is_blocked_is_named_from_where_to_where() {
    let Some(hosts) = Hosts::make(&["cp1", "w1", "w2"], "") else { return };
    // What w1 answers to cp1 disappears; what it asks there is refused on its own side.
    hosts.ip(1, "route add blackhole 10.7.0.11/32");
    // And w2 is told that there is no way to w1.
    hosts.ip(2, "route add unreachable 10.7.0.12/32");
    let (exit, findings) = preflight(&hosts.inventory(), &[]);
    assert_eq!(exit, 1);
    let ports = said(&findings, "ports");
    for expected in [
        "error cp1: w1:10250: no answer",
        "error w2: w1:10250: the host itself has no route there, or a rule against it",
    ] {
        assert!(ports.iter().any(|line| line == expected), "{ports:?}");
    }
    assert!(ports.iter().any(|line| line.starts_with("error w1: cp1:6443, cp1:10250: ")), "{ports:?}");
    if has_ping() {
        let sizes = said(&findings, "path-mtu");
        let filtered = "skipped cp1,w2: no answer to ping from w1: it may be filtered";
        assert!(sizes.iter().any(|line| line == filtered), "{sizes:?}");
    }
}

#[test]
fn packets_that_are_too_large_for_the_way() {
    if !has_ping() {
        return;
    }
    let Some(hosts) = Hosts::make(&["cp1", "w1"], "") else { return };
    hosts.narrow(1, "1450");
    let (exit, findings) = preflight(&hosts.inventory(), &[]);
    assert_eq!(exit, 1);
    let sizes = said(&findings, "path-mtu");
    assert!(
        sizes.iter().any(|line| {
            line == "error cp1: to w1: 1450 bytes pass, 1500 do not, and nobody says so: connections hang"
        }),
        "{sizes:?}"
    );
    hosts.narrow(1, "1500");
    hosts.ip(1, "link set eth0 mtu 1400");
    let (_, findings) = preflight(&hosts.inventory(), &[]);
    assert_eq!(said(&findings, "mtu"), ["warning w1,cp1: 1400 on w1; 1500 on cp1"]);
}

#[test]
fn networks_of_a_host_that_the_cluster_would_take() {
    let Some(hosts) = Hosts::make(&["cp1", "w1"], "") else { return };
    hosts.ip(1, "link add left type bridge");
    hosts.ip(1, "addr add 10.96.7.1/24 dev left");
    hosts.ip(1, "link set left up");
    hosts.ip(0, "route add 10.244.0.0/16 via 10.7.0.1");
    let (exit, findings) = preflight(&hosts.inventory(), &[]);
    assert_eq!(exit, 1);
    let overlap = "error w1: 10.96.7.0/24 on left overlaps 10.96.0.0/12, the network of the services";
    assert_eq!(said(&findings, "network-overlap")[0], overlap);
    let route =
        "error cp1: 10.244.0.0/16 via 10.7.0.1 on eth0 overlaps 10.244.0.0/16, the network of the pods";
    assert!(said(&findings, "route-overlap").contains(&route.to_owned()), "{findings:#?}");
}

#[test]
fn tcp_in_a_tunnel_is_tried_at_full_size_and_leaves_nothing() {
    let Some(hosts) = Hosts::make(&["cp1", "w1", "w2"], "") else { return };
    let inventory = hosts.inventory_with(", network: {plugin: cilium}");
    let (_, findings) = preflight(&inventory, &[]);
    let overlay = said(&findings, "overlay");
    if overlay.iter().any(|line| line.contains("no VXLAN interface can be made")) {
        skip("the kernel makes no VXLAN interface");
        return;
    }
    let expected = ["ok cp1: 256 KiB came back from w1, w2", "ok w1: 256 KiB came back from cp1, w2"];
    assert_eq!(overlay[..2], expected, "{overlay:?}");
    for host in 0..3 {
        assert!(!hosts.shows(host, "link").contains("vxlan"), "it is in no network of a host");
    }
    assert!(hosts.runs(0, "sshd -D"), "what a host runs is seen");
    let servers = || (0..3).any(|host| hosts.runs(host, "listen=198.18.0.[234]:10250"));
    let mut waits = (0..50).map(|_| std::thread::sleep(std::time::Duration::from_millis(100)));
    assert!(waits.any(|()| !servers()), "a server is left");
}

#[test]
fn datagrams_pass_on_each_port_that_nodes_will_use() {
    let Some(hosts) = Hosts::make(&["cp1", "w1", "w2"], "") else { return };
    let inventory = hosts.inventory();
    let metallb = "addons: {metallb: {pools: [10.7.0.200-10.7.0.202]}}\n";
    std::fs::write(&inventory, std::fs::read_to_string(&inventory).unwrap() + metallb).unwrap();
    // Another program has the port of w2.
    let taken = hosts.inside(2, || std::net::UdpSocket::bind("10.7.0.13:7946").unwrap());
    let (_, findings) = preflight(&inventory, &[]);
    let all = format!("{findings:#?}");
    let said = |findings: &[serde_json::Value]| said(findings, "udp-ports");
    let came =
        |to: &str, from: &str| format!("ok {to}: full-size datagrams came to UDP port 7946 from {from}");
    let expected = [
        "skipped w2: UDP port 7946 could not be listened on".to_owned(),
        came("cp1", "w1, w2"),
        came("w1", "cp1, w2"),
    ];
    assert_eq!(said(&findings), expected, "{all}");
    drop(taken);
    // What is larger than the network carries is lost.
    hosts.narrow(1, "1450");
    let (_, findings) = preflight(&inventory, &[]);
    let lost =
        |to: &str, from: &str| format!("error {to}: no full-size datagram came to UDP port 7946 from {from}");
    assert!(said(&findings).contains(&lost("w1", "cp1, w2")), "{:?}", said(&findings));
}

#[test]
fn ping_works_and_tcp_in_a_tunnel_dies() {
    let Some(hosts) = Hosts::make(&["cp1", "w1"], "") else { return };
    // What the network loses are packets of more than 1450 bytes, which the hosts must make themselves.
    hosts.narrow(1, "1450");
    for host in 0..2 {
        hosts.ip(host, "link set eth0 gso_max_segs 1");
    }
    let (exit, findings) = preflight(&hosts.inventory_with(", network: {plugin: cilium}"), &[]);
    assert_eq!(exit, 1);
    let overlay = said(&findings, "overlay");
    if overlay.iter().any(|line| line.contains("no VXLAN interface can be made")) {
        skip("the kernel makes no VXLAN interface");
        return;
    }
    assert!(
        overlay.contains(&"error cp1: to w1: small packets come through and large ones do not".to_owned()),
        "{overlay:?}"
    );
    // Without a tunnel the same is seen of TCP itself.
    let (_, findings) = preflight(&hosts.inventory(), &[]);
    let plain = said(&findings, "tcp-full-size");
    assert!(
        plain.contains(&"error cp1: to w1: a connection is made, but large packets are lost".to_owned()),
        "{plain:?}"
    );
}

#[test]
fn the_rule_that_closes_a_port_is_named() {
    let Some(hosts) = Hosts::make(&["cp1", "w1"], "") else { return };
    let rules =
        "table inet guard { chain input { type filter hook input priority 0; tcp dport 10250 drop; }; }";
    let set = hosts.inside(1, move || std::process::Command::new("nft").arg(rules).output());
    if !set.is_ok_and(|output| output.status.success()) {
        return skip("there is no nft (Debian: nftables), or it makes no rules here");
    }
    let (exit, findings) = preflight(&hosts.inventory(), &[]);
    assert_eq!(exit, 1);
    let expected =
        "error cp1: w1:10250: no answer (on w1: nft: table inet guard, chain input: tcp dport 10250 drop)";
    assert_eq!(said(&findings, "ports")[0], expected);
}

/// What `apply` asks before its first change, as far as one check is concerned, and how long it took.
struct Before {
    inventory: Inventory,
    session: Session,
    runtime: tokio::runtime::Runtime,
}

impl Before {
    fn open(inventory: &std::path::Path) -> Before {
        let inventory = hoist::inventory::load(inventory).unwrap().inventory;
        let visits: Vec<Visit> = inventory.hosts.keys().map(|name| Visit { name, lock: None }).collect();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let open = Session::open(&inventory, std::path::Path::new("/nonexistent"), &visits);
        let session = runtime.block_on(open).unwrap();
        assert_eq!(session.hosts.len(), 3, "{:?}", session.unreached);
        Before { inventory, session, runtime }
    }

    fn says(&self, check: &str) -> (Vec<String>, Duration) {
        let Before { inventory, session, runtime } = self;
        let begun = Instant::now();
        let found = runtime.block_on(before(inventory, &session.hosts, &session.facts, &|_| true));
        let said = found.into_iter().filter(|finding| finding.check == check).map(|finding| {
            format!("{:?} {}: {}", finding.severity, finding.hosts.join(","), finding.observed)
        });
        (said.collect(), begun.elapsed())
    }
}

/// Whether a host has this rule now, for what comes in.
fn has_rule(hosts: &Hosts, index: usize, rule: &str) -> bool {
    let table =
        format!("table inet guard {{ chain input {{ type filter hook input priority 0; {rule}; }}; }}");
    let set = hosts.inside(index, move || std::process::Command::new("nft").arg(table).output());
    let set = set.is_ok_and(|output| output.status.success());
    if !set {
        skip("there is no nft (Debian: nftables), or it makes no rules here");
    }
    set
}

/// Of hosts of which none is a node yet.
#[test]
fn a_run_stops_before_its_first_change_where_a_firewall_closes_a_port() {
    let Some(hosts) = Hosts::make(&["cp1", "w1", "w2"], "") else { return };
    let before = Before::open(&hosts.inventory());
    let (said, took) = before.says("ports");
    assert_eq!(said, ["Ok cp1,w1,w2: all 8 ways are open"]);
    eprintln!("asked before the first change of three hosts: {took:.1?}");
    if !has_rule(&hosts, 1, "tcp dport 10250 drop") {
        return;
    }
    let (said, took) = before.says("ports");
    let rule = "nft: table inet guard, chain input: tcp dport 10250 drop";
    assert_eq!(said, [format!("Error cp1,w2: w1:10250: no answer (on w1: {rule})")]);
    assert!(took < Duration::from_secs(30), "{took:?}");
}

/// Whatever the hosts have to send a packet of its protocol: nothing is installed there yet.
#[test]
fn a_run_stops_before_its_first_change_where_vrrp_does_not_pass() {
    let Some(hosts) = Hosts::make(&["cp1", "cp2", "cp3"], "") else { return };
    let inventory = hosts.inventory_with(", endpoint: {vip: 10.7.0.100}");
    let text = std::fs::read_to_string(&inventory).unwrap();
    std::fs::write(&inventory, text.replace("roles: [worker]", "roles: [control-plane]")).unwrap();
    hosts.hide(1, "socat");
    if std::path::Path::new("/usr/bin/python3").exists() {
        hosts.hide(2, "socat");
        hosts.hide(2, "perl");
    }
    let before = Before::open(&inventory);
    let (said, took) = before.says("vrrp");
    assert_eq!(said, ["Ok cp1,cp2,cp3: packets of the others arrive"]);
    eprintln!("asked before the first change of three control planes with a virtual address: {took:.1?}");
    assert!(took < Duration::from_secs(6), "nobody waits once all are heard: {took:?}");
    if !has_rule(&hosts, 1, "ip protocol 112 drop") {
        return;
    }
    let (said, took) = before.says("vrrp");
    assert_eq!(said[0], "Error cp2: nothing arrives from cp1, cp3", "{said:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    for program in ["socat", "perl", "/usr/bin/python3"] {
        hosts.hide(0, program);
    }
    let alone = "not tested: the host has neither socat nor perl nor python3";
    assert!(before.says("vrrp").0.iter().any(|said| said == &format!("Skipped cp1: {alone}")));
}
