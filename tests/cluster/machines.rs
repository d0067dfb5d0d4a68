//! A node that is a virtual machine, which looks like a guest of VMware: a clock, a kernel and its modules of its own.
//!
//! Nothing is installed but the roles that are about that: emulated, the rest would take too long.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::stage::{Stage, text, until};

const INVENTORY: [(&str, &str); 2] = [
    ("  w2: {address: 10.77.0.13, roles: [worker]}\n", ""),
    ("w1: {address: 10.77.0.12, roles: [worker]}", "w1: {address: 10.77.0.12, roles: [worker, storage]}"),
];
/// The node has no package sources, and no NFS client.
const VARS: (&str, &str) = ("vars:\n", "vars:\n  storage: {nfs: false}\n");
const ROLES: [&str; 4] = ["--limit", "w1", "--only", "base,vmware,storage"];

/// One story: each step needs the ones before it.
#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn machines() {
    let stage = Stage::new("cluster-machines", include_str!("../../inventory/lab.yaml"));
    let inventory = stage.inventory("inventory.yaml", &[&INVENTORY[..], &[VARS]].concat());
    eprintln!();
    stage.step("what virtual machines need, made once", || {
        stage.hoist(&["lab", "setup", "--virtual", "--yes"]).exits(0);
    });
    stage.step("a container and a virtual machine", || {
        stage.hoist(&["lab", "up", "-i", text(&inventory), "--virtual", "w1"]).exits(0);
        assert_eq!(stage.on("w1", "systemd-detect-virt"), "vmware\n");
        stage.hoist(&["lab", "fill", "w1"]).exits(64).says("it alone can write to its disk");
    });
    stage.step("its links are cut and slow like those of others", || links(&stage));
    stage.step("a clock that is ten minutes off is found, and one that is right is not", || clock(&stage));
    stage.step("roles that want a kernel of their own", || roles(&stage));
    stage.step("it boots anew, and all is as it was", || {
        reboot(&stage);
        as_wanted(&stage);
    });
    stage.step("it shuts down in order", || {
        stage.hoist(&["lab", "stop", "w1", "--gently"]).exits(0);
        let console = crate::stage::cache().join("lab/labs/cluster-machines/run/w1.console.log");
        let console = std::fs::read_to_string(console).unwrap();
        assert!(console.contains("Power down"), "{console}");
    });
}

fn links(stage: &Stage) {
    let reaches = || stage.holds_on("cp1", "ping -c 1 -W 3 10.77.0.12");
    assert!(reaches());
    stage.hoist(&["lab", "cut", "w1", "cp1"]).exits(0);
    assert!(!reaches());
    stage.hoist(&["lab", "slow", "w1", "cp1", "--delay", "200ms"]).exits(0);
    assert!(reaches());
    let told = stage.on("cp1", "ping -c 2 -q 10.77.0.12 | sed -n 's|.*= \\([0-9]*\\).*|\\1|p'");
    assert!(told.trim().parse::<u32>().unwrap() >= 400, "{told}");
    stage.hoist(&["lab", "heal"]).exits(0);
}

fn clock(stage: &Stage) {
    stage.hoist(&["lab", "clock", "cp1", "--ahead", "10m"]).exits(64).says("cp1` is not a virtual machine");
    let set = |word: &[&str]| stage.hoist(&[&["lab", "clock", "w1"], word].concat()).exits(0);
    set(&["--behind", "2h"]);
    let there: u64 = stage.on("w1", "date +%s").trim().parse().unwrap();
    let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!((7195..7230).contains(&(here - there)), "{} s behind", here - there);
    // Not added to the last one.
    set(&["--ahead", "10m"]);
    let found = || {
        let found = stage.hoist(&["preflight", "--output", "json"]).stdout;
        let found: Vec<serde_json::Value> = serde_json::from_str(&found).unwrap();
        found.into_iter().find(|finding| finding["check"] == "clock" && finding["severity"] != "ok")
    };
    let wrong = found().expect("a finding about the clock");
    assert_eq!((&wrong["severity"], &wrong["hosts"][0]), (&"error".into(), &"w1".into()), "{wrong}");
    let observed = wrong["observed"].as_str().unwrap();
    let seconds: f64 = observed.split(' ').next().unwrap().parse().unwrap();
    assert!((590.0..610.0).contains(&seconds) && observed.contains("ahead"), "{wrong}");
    set(&["--right"]);
    assert_eq!(found(), None);
}

fn roles(stage: &Stage) {
    let apply = [&["apply"][..], &ROLES].concat();
    stage.hoist(&apply).exits(0);
    as_wanted(stage);
    stage.hoist(&apply).exits(0).says("0 changes");
}

fn as_wanted(stage: &Stage) {
    stage.hoist(&[&["plan"][..], &ROLES].concat()).exits(0).says("Nothing to change");
    let units = "open-vm-tools tunnel-offload systemd-timesyncd iscsid";
    stage.on("w1", &format!("systemctl is-active {units} >&2 && test -d /sys/module/iscsi_tcp"));
    let offload = stage.on("w1", "ethtool -k host0 | grep udp_tnl");
    assert!(offload.lines().count() == 2 && offload.lines().all(|line| line.contains(": off")), "{offload}");
}

fn reboot(stage: &Stage) {
    let boot = "cat /proc/sys/kernel/random/boot_id";
    let before = stage.on("w1", boot);
    // The connection may end before the answer comes.
    stage.holds_on("w1", "systemctl reboot");
    until("it has booted anew", 300, || {
        stage.holds_on("w1", &format!("[ \"$({boot})\" != {} ]", before.trim()))
    });
}
