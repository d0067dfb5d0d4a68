//! One machine, alone or under several names.

use std::{fs, net::TcpListener};

use assert_cmd::Command;

use super::{hosts::Hosts, preflight, said};

/// For servers that have all of these.
const LISTEN: &str = "ListenAddress 10.7.0.12\nListenAddress 10.7.0.13";

/// Three names, and three addresses, of one machine.
fn three_names(hosts: &Hosts) -> Vec<(&'static str, usize, String)> {
    for last in [12, 13] {
        hosts.ip(0, &format!("addr add 10.7.0.{last}/24 dev eth0"));
    }
    ["cp1", "w1", "w2"]
        .into_iter()
        .zip(11..)
        .map(|(name, last)| (name, 0, format!("10.7.0.{last}")))
        .collect()
}

#[test]
fn a_machine_under_three_names_is_found_out() {
    let Some(hosts) = Hosts::make(&["cp1"], LISTEN) else { return };
    let (exit, findings) = preflight(&hosts.inventory_of("", &three_names(&hosts)), &[]);
    assert_eq!(exit, 1);
    let shared = format!("error cp1,w1,w2: the same on cp1, w1, w2: {:032x}", 0xabc0);
    assert_eq!(said(&findings, "clone-machine-id"), [shared]);
    assert!(said(&findings, "clone-mac")[0].starts_with("error cp1,w1,w2"), "{findings:#?}");
    assert_eq!(said(&findings, "clone-hostname"), ["warning cp1,w1,w2: the same on cp1, w1, w2: cp1"]);
    assert_eq!(
        said(&findings, "address-taken")[0],
        "error cp1,w1: cp1 has 10.7.0.12, which the inventory gives to w1"
    );
    // Its clock agrees with itself, and its disk is measured once: where etcd will be.
    assert!(said(&findings, "clock").iter().all(|line| line.starts_with("ok ")), "{findings:#?}");
    let fsync = said(&findings, "disk-fsync");
    assert!(
        fsync.len() == 1 && fsync[0].contains(" cp1: ") && fsync[0].contains("99 of 100 within "),
        "{fsync:?}"
    );
    assert_eq!(said(&findings, "reached"), ["ok cp1,w1,w2: it answers"]);
    assert_eq!(said(&findings, "answered"), Vec::<String>::new());
}

#[test]
fn only_the_hosts_that_are_meant_are_asked() {
    let Some(hosts) = Hosts::make(&["cp1"], LISTEN) else { return };
    // Nobody has the address of w1, and nobody answers for it.
    hosts.ip(0, "addr add 10.7.0.13/24 dev eth0");
    let three = [("cp1", 11), ("w1", 12), ("w2", 13)].map(|(name, last)| (name, 0, format!("10.7.0.{last}")));
    let inventory = hosts.inventory_of("", &three);
    let (_, findings) = preflight(&inventory, &["--limit", "control-plane,w2"]);
    assert_eq!(said(&findings, "reached"), ["ok cp1,w2: it answers"]);
    // What they would use on the others is tried all the same.
    let ports = said(&findings, "ports");
    assert!(ports.iter().any(|line| line.starts_with("error cp1,w2: w1:10250: ")), "{ports:?}");
    let (exit, findings) = preflight(&inventory, &["--limit", "cp1,w1"]);
    assert_eq!(exit, 69, "a host that does not answer weighs more than a finding");
    let reached = said(&findings, "reached");
    assert!(reached[0].starts_with("error w1: failed to connect to w1"), "{reached:?}");
    assert_eq!(reached[1], "ok cp1: it answers");
    assert!(!said(&findings, "memory").is_empty(), "the others are examined nevertheless");
}

#[test]
fn ports_that_are_taken_are_named_with_their_owner() {
    let Some(hosts) = Hosts::make(&["cp1"], "") else { return };
    let inventory = hosts.inventory();
    let listener = hosts.inside(0, || TcpListener::bind("127.0.0.1:10257").unwrap());
    let (exit, findings) = preflight(&inventory, &[]);
    let own = fs::read_to_string("/proc/self/comm").unwrap();
    let taken = format!("error cp1: 10257 by {} (127.0.0.1)", own.trim());
    assert_eq!((exit, said(&findings, "ports-taken")), (1, vec![taken]));
    drop(listener);
    let (_, findings) = preflight(&inventory, &[]);
    assert_eq!(said(&findings, "ports-taken"), ["ok cp1: nobody else"]);
}

#[test]
fn people_read_what_is_wrong_first_and_how_much_is_fine_last() {
    let Some(hosts) = Hosts::make(&["cp1"], "") else { return };
    let _listener = hosts.inside(0, || TcpListener::bind("0.0.0.0:10250").unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
    let inventory = hosts.inventory();
    let output =
        command.args(["preflight", "-i"]).arg(&inventory).env("HOME", "/nonexistent").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour in a pipe");
    let taken =
        "error cp1: who listens on the ports that Kubernetes will need (ports-taken)\n  observed   10250 by ";
    assert!(text.starts_with("error ") && text.contains(taken), "{text}");
    assert!(!text.contains("\nok "), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.ends_with(" checks found nothing wrong on 1 host."), "{last}");
    let all = command.arg("--all").output().unwrap();
    assert!(String::from_utf8(all.stdout).unwrap().contains("\nok cp1: "));
}

#[test]
fn a_server_that_forwards_nothing_is_an_error_where_the_api_server_will_be() {
    let Some(hosts) = Hosts::make(&["cp1"], &format!("{LISTEN}\nAllowTcpForwarding no")) else { return };
    let (exit, findings) = preflight(&hosts.inventory_of("", &three_names(&hosts)), &[]);
    assert_eq!(exit, 1);
    assert_eq!(
        said(&findings, "ssh-forwarding"),
        ["error cp1: it does not", "warning w1,w2: it does not, so its ports cannot be tested"]
    );
    let ports = said(&findings, "ports");
    assert!(
        !ports.is_empty() && ports.iter().all(|line| line.starts_with("skipped")),
        "never fine: {ports:?}"
    );
}
