//! The lab for real: nodes boot, answer SSH, reboot, keep their data, and go without a trace.
//!
//! Needs root and a cache that `hoist lab setup` has filled. Elsewhere it says so and passes, except in CI.

use std::{
    collections::BTreeSet,
    env, fs,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

const HOIST: &str = env!("CARGO_BIN_EXE_hoist");
/// Not the default, so that somebody's running lab stays as it is.
const LAB: &str = "hoist-test";
const NODES: [&str; 4] = ["--node", "a=10.77.0.21", "--node", "b=10.77.0.22"];

fn hoist(arguments: &[&str]) -> Output {
    let output = Command::new(HOIST).args(["lab", "--lab", LAB]).args(arguments).output().unwrap();
    eprintln!("hoist lab {}: {}", arguments.join(" "), output.status);
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn hoist_ok(arguments: &[&str]) -> String {
    let output = hoist(arguments);
    assert!(output.status.success(), "hoist lab {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command said, without the line breaks that depend on the width of names.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).replace('│', "").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the machine can do this; where it should be able to, not being able is a failure.
fn possible() -> bool {
    let reason = if !nix::unistd::geteuid().is_root() {
        "not root"
    } else if Command::new("systemd-nspawn").arg("--version").output().is_err() {
        "no systemd-nspawn"
    } else {
        return true;
    };
    assert!(env::var("CI").as_deref() != Ok("true"), "the lab cannot be tested here: {reason}");
    eprintln!("skipped: {reason}");
    false
}

/// What the lab could leave on the machine, except what belongs to labs of other names.
fn traces() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in fs::read_to_string("/proc/self/mountinfo").unwrap().lines() {
        found.extend(line.contains(LAB).then(|| format!("mount {line}")));
    }
    for item in fs::read_dir("/proc").unwrap().flatten() {
        let command = fs::read_to_string(item.path().join("cmdline")).unwrap_or_default().replace('\0', " ");
        // Our own hoist children have ended; this test itself does not carry the lab's name.
        found.extend(command.contains(LAB).then(|| format!("process {} {command}", item.path().display())));
    }
    for (folder, ours) in [
        ("/run/netns", LAB),
        ("/run/systemd/nspawn/propagate", LAB),
        ("/run/systemd/nspawn/locks", ""),
        ("/sys/class/net", ""),
    ] {
        let Ok(items) = fs::read_dir(folder) else { continue };
        let names = items.flatten().map(|item| item.path().display().to_string());
        found.extend(names.filter(|name| name.contains(ours)));
    }
    for root in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let group = root.path().join(LAB);
        found.extend(group.exists().then(|| format!("control group {}", group.display())));
    }
    found.extend(fs::exists(format!("/sys/fs/cgroup/{LAB}")).unwrap().then(|| "control group".to_owned()));
    found
}

/// Ends what a failed test leaves, so that the next one starts clean.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            hoist(&["down"]);
        }
    }
}

fn boot_id(node: &str) -> Option<String> {
    // Containers share the machine's boot_id; the start time of the node's own first process tells boots apart.
    let output = hoist(&["ssh", node, "--", "cut -d' ' -f22 /proc/1/stat"]);
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

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
    if !possible() {
        return;
    }
    let _guard = Guard;
    hoist_ok(&["down"]);
    let before = traces();

    let since = Instant::now();
    hoist_ok(&[&["up"][..], &NODES].concat());
    eprintln!("up: {:.1} s", since.elapsed().as_secs_f64());

    // Names, users, sudo, network between nodes, writable control groups.
    assert_eq!(hoist_ok(&["ssh", "a", "--", "hostname"]), "a\n");
    assert_eq!(hoist_ok(&["ssh", "a", "--", "sudo -u admin sudo -n id -u"]), "0\n");
    assert_eq!(hoist_ok(&["ssh", "a", "--", "systemctl is-system-running --wait"]), "running\n");
    hoist_ok(&["ssh", "a", "--", "ping -c 1 -W 2 10.77.0.22"]);
    hoist_ok(&["ssh", "a", "--", "echo kept > /root/data"]);
    // A sysctl of the whole machine is the node's own to change.
    let swappiness = fs::read_to_string("/proc/sys/vm/swappiness").unwrap();
    hoist_ok(&["ssh", "a", "--", "sysctl -w vm.swappiness=7"]);
    assert_eq!(fs::read_to_string("/proc/sys/vm/swappiness").unwrap(), swappiness);
    // Exit statuses pass through.
    assert_eq!(hoist(&["ssh", "a", "--", "exit 7"]).status.code(), Some(7));
    assert_eq!(hoist(&["exec", "--", "sh", "-c", "ip link show br0 && exit 3"]).status.code(), Some(3));
    assert_eq!(hoist(&["ssh", "none"]).status.code(), Some(69));

    // A second `up` changes nothing; a name that runs elsewhere and an address that is taken are refused.
    let first = boot_id("a").unwrap();
    assert!(said(&hoist(&[&["up"][..], &NODES].concat())).contains("running already"));
    assert_eq!(boot_id("a").unwrap(), first);
    assert!(!hoist(&["up", "--node", "a=10.77.0.29"]).status.success());
    let refused = hoist(&["up", "--node", "c=10.77.0.22"]);
    assert!(said(&refused).contains("in use"));

    let slow = hoist(&["up", "--node", "c=10.77.0.23", "--boot-limit", "0"]);
    assert_eq!(slow.status.code(), Some(69));
    assert!(said(&slow).contains("c.console.log"), "the error names the console");

    // A reboot comes back, with the data.
    hoist(&["ssh", "a", "--", "systemctl reboot"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while boot_id("a").is_none_or(|id| id == first) {
        assert!(Instant::now() < deadline, "the node does not come back from its reboot");
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(hoist_ok(&["ssh", "a", "--", "cat /root/data"]), "kept\n");

    let status: serde_json::Value = serde_json::from_str(&hoist_ok(&["status", "--output", "json"])).unwrap();
    assert_eq!(status[0]["state"], "running");
    assert!(status[1]["memory"].as_u64().unwrap() > 1_000_000);

    // A node that is powered off starts again with its data; so does a lab that keeps its disks.
    hoist(&["ssh", "b", "--", "echo kept > /root/data; systemctl poweroff"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !hoist_ok(&["status"]).contains("stopped") {
        assert!(Instant::now() < deadline, "the node does not power off");
        thread::sleep(Duration::from_millis(200));
    }
    hoist_ok(&[&["up"][..], &NODES].concat());
    assert_eq!(hoist_ok(&["ssh", "b", "--", "cat /root/data"]), "kept\n");
    hoist_ok(&["down", "--keep-disks"]);
    hoist_ok(&[&["up"][..], &NODES].concat());
    assert_eq!(hoist_ok(&["ssh", "a", "--", "cat /root/data"]), "kept\n");

    let since = Instant::now();
    hoist_ok(&["down"]);
    eprintln!("down: {:.1} s", since.elapsed().as_secs_f64());
    let left: Vec<_> = traces().difference(&before).cloned().collect();
    assert!(left.is_empty(), "{left:#?}");
    hoist_ok(&["down"]);
}
