//! Nodes boot, answer SSH, reboot, keep their data, and go without a trace.

use std::{fs, process::Command, time::Instant};

use super::stage::{HOIST, Lab, possible, said, wait};

const NODES: [&str; 2] = ["--nodes", "a=10.77.0.21,b=10.77.0.22"];

#[test]
fn a_namespace_of_somebody_else_is_left_alone() {
    // Not part of the other test's name: both look for theirs.
    const FOREIGN: &str = "hoist-foreign";
    if !possible() {
        return;
    }
    let ip = |verb| Command::new("ip").args(["netns", verb, FOREIGN]).status().unwrap().success();
    assert!(ip("add"));
    let lab = |verb| Command::new(HOIST).args(["lab", "--lab", FOREIGN, verb]).output().unwrap();
    let up = lab("up");
    let down = lab("down");
    let still_there = ip("del");
    assert!(said(&up).contains("did not make it"), "{up:?}");
    assert!(down.status.success() && still_there, "{down:?}");
}

#[test]
fn nodes_live_and_go_without_a_trace() {
    let Some(lab) = Lab::open("hoist-test") else { return };
    let before = lab.traces();

    let since = Instant::now();
    lab.ok(&[&["up"][..], &NODES].concat());
    eprintln!("up: {:.1} s", since.elapsed().as_secs_f64());

    // Names, users, sudo, network between nodes, writable control groups.
    assert_eq!(lab.ok(&["ssh", "a", "--", "hostname"]), "a\n");
    assert_eq!(lab.ok(&["ssh", "a", "--", "sudo -u admin sudo -n id -u"]), "0\n");
    assert_eq!(lab.ok(&["ssh", "a", "--", "systemctl is-system-running --wait"]), "running\n");
    lab.ok(&["ssh", "a", "--", "ping -c 1 -W 2 10.77.0.22"]);
    lab.ok(&["ssh", "a", "--", "echo kept > /root/data"]);
    // However often and fast it asks, it learns that no name server is there, each time before a resolver gives up waiting
    // after five seconds. A kernel says so fifty times within a hundredth of a second, if nobody tells it otherwise.
    let ask = "timeout 4 getent ahosts no.such.name; [ $? != 124 ]";
    lab.ok(&["ssh", "a", "--", &format!("seq 200 | xargs -P 50 -I{{}} sh -c '{ask}'")]);
    // Between them is a switch: no rule for packets that are routed has a say in it.
    let closed =
        "table ip closed { chain forward { type filter hook forward priority filter; policy drop; }; }";
    lab.ok(&["exec", "--", "nft", closed]);
    lab.ok(&["ssh", "a", "--", "ping -c 1 -W 2 10.77.0.22"]);
    lab.ok(&["exec", "--", "nft", "delete table ip closed"]);
    // A sysctl of the whole machine is the node's own to change.
    let swappiness = fs::read_to_string("/proc/sys/vm/swappiness").unwrap();
    lab.ok(&["ssh", "a", "--", "sysctl -w vm.swappiness=7"]);
    assert_eq!(fs::read_to_string("/proc/sys/vm/swappiness").unwrap(), swappiness);
    // Exit statuses pass through.
    assert_eq!(lab.run(&["ssh", "a", "--", "exit 7"]).status.code(), Some(7));
    assert_eq!(lab.run(&["exec", "--", "sh", "-c", "ip link show br0 && exit 3"]).status.code(), Some(3));
    assert_eq!(lab.run(&["ssh", "none"]).status.code(), Some(69));

    // A second `up` changes nothing; a name that runs elsewhere and an address that is taken are refused.
    let first = lab.boot("a").unwrap();
    assert!(said(&lab.run(&[&["up"][..], &NODES].concat())).contains("running already"));
    assert_eq!(lab.boot("a").unwrap(), first);
    assert!(!lab.run(&["up", "--nodes", "a=10.77.0.29"]).status.success());
    let refused = lab.run(&["up", "--nodes", "c=10.77.0.22"]);
    assert!(said(&refused).contains("the address of node `b`"));

    let slow = lab.run(&["up", "--nodes", "c=10.77.0.23", "--boot-limit", "0"]);
    assert_eq!(slow.status.code(), Some(69));
    assert!(said(&slow).contains("c.console.log"), "the error names the console");

    // A reboot comes back, with the data.
    lab.reboot("a");
    assert_eq!(lab.ok(&["ssh", "a", "--", "cat /root/data"]), "kept\n");

    let status = lab.status();
    assert_eq!(status[0]["state"], "running");
    assert!(status[1]["memory"].as_u64().unwrap() > 1_000_000);

    // A node that is powered off starts again with its data; so does a lab that keeps its disks.
    lab.run(&["ssh", "b", "--", "echo kept > /root/data; systemctl poweroff"]);
    wait("b powers off", || lab.ok(&["status"]).contains("stopped"));
    lab.ok(&[&["up"][..], &NODES].concat());
    assert_eq!(lab.ok(&["ssh", "b", "--", "cat /root/data"]), "kept\n");
    lab.ok(&["down", "--keep-disks"]);
    lab.ok(&[&["up"][..], &NODES].concat());
    assert_eq!(lab.ok(&["ssh", "a", "--", "cat /root/data"]), "kept\n");

    let marks = lab.marks();
    assert_eq!(marks.len(), 4, "{marks:?}");
    let since = Instant::now();
    lab.close(&before, &marks);
    eprintln!("down: {:.1} s", since.elapsed().as_secs_f64());
    lab.ok(&["down"]);
}
