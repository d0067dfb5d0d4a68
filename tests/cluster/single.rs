//! One machine that is control plane and worker.

use crate::stage::{Stage, text};

const WORKERS: &str =
    "  w1: {address: 10.77.0.12, roles: [worker]}\n  w2: {address: 10.77.0.13, roles: [worker]}\n";

/// One story: each step needs the ones before it.
#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn single() {
    let stage = Stage::new("cluster-single", include_str!("../../inventory/lab.yaml"));
    let both = ("roles: [control-plane]", "roles: [control-plane, worker]");
    let inventory = stage.inventory("inventory.yaml", &[(WORKERS, ""), both]);
    let inventory = text(&inventory).to_owned();
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
    stage.step("it reboots", || {
        stage.reboot("cp1");
        stage.hoist(&["sample"]).exits(0).says("answers through cp1");
    });
}
