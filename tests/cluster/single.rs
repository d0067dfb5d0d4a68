//! One machine that is control plane and worker.

use std::fs;

use crate::stage::{Stage, text};

const WORKERS: &str =
    "  w1: {address: 10.77.0.12, roles: [worker]}\n  w2: {address: 10.77.0.13, roles: [worker]}\n";

/// One story: each step needs the ones before it.
#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn single() {
    let stage = Stage::new("cluster-single", include_str!("../../inventory/lab.yaml"));
    let said = |marks: &str| {
        let both = format!("roles: [control-plane, worker]{marks}");
        let inventory =
            stage.inventory("inventory.yaml", &[(WORKERS, ""), ("roles: [control-plane]", &both)]);
        text(&inventory).to_owned()
    };
    let inventory = said(", labels: {disk: ssd}, taints: [slow:PreferNoSchedule]");
    eprintln!();
    stage.step("one node", || stage.hoist(&["lab", "up", "-i", &inventory]).exits(0));
    stage.step("a cluster on it, and nothing to change", || {
        stage.hoist(&["apply"]).exits(0).says("1 node ready");
        stage.hoist(&["plan"]).exits(0).says("Nothing to change");
        stage.hoist(&["apply"]).exits(0).says("0 changes, 1 node ready").within(30);
    });
    stage.step("an application runs on it", || {
        stage.hoist(&["sample"]).exits(0).says("answers through cp1");
        stage.hoist(&["kubeconfig", "--file", text(&stage.path("kubeconfig"))]).exits(0);
    });
    stage.step("labels and taints follow the inventory", || {
        let marks = |expected: &str| {
            let path = "jsonpath={.metadata.labels.disk}/{.metadata.labels.mine}/{.spec.taints[*].key}";
            let ran = stage.kubectl(&["get", "node", "cp1", "-o", path]).exits(0);
            assert_eq!(ran.stdout, expected, "{ran}");
        };
        marks("ssd//slow");
        stage.kubectl(&["label", "node", "cp1", "mine=yes"]).exits(0);
        said(", labels: {disk: hdd, node-role.kubernetes.io/db: ''}, taints: [fast=1:PreferNoSchedule]");
        let plan = stage
            .hoist(&["plan"])
            .exits(2)
            .says("label disk: ssd -> hdd")
            .says("label node-role.kubernetes.io/db");
        plan.says("taint slow:PreferNoSchedule: set -> (none)").says("1 node differs in labels or taints");
        stage.hoist(&["apply", "--limit", "cp1"]).exits(0).says("set the labels and taints of the node");
        marks("hdd/yes/fast");
        said("");
        stage.hoist(&["apply"]).exits(0);
        marks("/yes/");
        stage.hoist(&["plan"]).exits(0).says("Nothing to change");
    });
    let swapless = swapless(&stage);
    let on_swap = |verb: &str| stage.hoist(&[verb, "--roles", &swapless, "--only", "swapless"]);
    let shared = fs::read_to_string("/proc/swaps").unwrap().lines().count() > 1;
    if shared {
        // The node would turn off what is not its own.
        eprintln!("  this machine has swap: what turns it off is not tried");
    } else {
        stage.step("swap is turned off for good", || {
            stage.on("cp1", SWAP);
            let plan = on_swap("plan").exits(2).says("swap.target: not masked -> masked");
            plan.says("started at boot: zramswap.service -> none");
            on_swap("apply").exits(0).says("1 change");
            has_no_swap(&stage);
            on_swap("plan").exits(0);
        });
    }
    stage.step("it reboots", || {
        stage.reboot("cp1");
        if !shared {
            has_no_swap(&stage);
            on_swap("plan").exits(0);
        }
        stage.hoist(&["sample"]).exits(0).says("answers through cp1");
    });
}

/// Swap from a service of a distribution's, and from fstab.
const SWAP: &str = "printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/bin/true\\n\
    [Install]\\nWantedBy=multi-user.target\\n' > /etc/systemd/system/zramswap.service
    echo '/swap.img none swap sw 0 0' >> /etc/fstab
    systemctl daemon-reload && systemctl -q enable --now zramswap.service && systemctl is-active zramswap.service";

/// A folder with a role for the statement, which the built-in role makes of no container.
fn swapless(stage: &Stage) -> String {
    let folder = stage.path("roles/roles/swapless");
    fs::create_dir_all(&folder).unwrap();
    let role = "description: a test\ntasks: [{name: swap is off, swap_off: {}}]\n";
    fs::write(folder.join("role.yaml"), role).unwrap();
    text(&stage.path("roles")).to_owned()
}

/// Nothing starts any, and systemd refuses to.
#[track_caller]
fn has_no_swap(stage: &Stage) {
    let states =
        "systemctl is-enabled swap.target zramswap.service; systemctl is-active zramswap.service; true";
    assert_eq!(stage.on("cp1", states), "masked\ndisabled\ninactive\n");
    assert!(stage.holds_on("cp1", "! systemctl start swap.target && ! grep -q '^/swap' /etc/fstab"));
}
