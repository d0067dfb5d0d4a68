//! As many control planes as there may be, with etcd on them: three may be lost at once.

use crate::stage::{Stage, text, until};

const LAB: &str = "cluster-seven";
const SAMPLE: &str = include_str!("../../inventory/lab-ha.yaml");

/// One story: each step needs the ones before it.
#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn seven() {
    let (before, from_hosts) = SAMPLE.split_once("\nhosts:\n").unwrap();
    let (_, vars) = from_hosts.split_once("\nvars:\n").unwrap();
    let hosts: String = (1..8)
        .map(|number| format!("  cp{number}: {{address: 10.77.0.1{number}, roles: [control-plane]}}\n"))
        .collect();
    let sample =
        format!("{before}\nhosts:\n{hosts}  w1: {{address: 10.77.0.31, roles: [worker]}}\n\nvars:\n{vars}");
    let sample = sample.replace("hoist-ha", "hoist-lab").replace("etcd: external", "etcd: stacked");
    let stage = Stage::new(LAB, sample.leak());
    let inventory = stage.path("inventory.yaml");
    eprintln!();
    stage.step("eight nodes", || stage.hoist(&["lab", "up", "-i", text(&inventory)]).exits(0));
    stage.step("an apply makes seven control planes", || {
        stage.hoist(&["apply"]).exits(0).says("8 nodes ready");
        stage.hoist(&["plan"]).exits(0).says("Nothing to change");
        stage.hoist(&["kubeconfig", "--file", text(&stage.path("kubeconfig"))]).exits(0);
    });
    stage.step("three of them lose their power, and the API server answers", || {
        stage.hoist(&["lab", "stop", "cp1", "cp2", "cp3"]).exits(0);
        let answers =
            || stage.kubectl(&["get", "--raw", "/readyz", "--request-timeout", "5s"]).stdout == "ok";
        until("the virtual address leads to one that lives", 60, answers);
        stage.kubectl(&["create", "configmap", "written", "--from-literal", "by=four"]).exits(0);
    });
    stage.step("they come back", || {
        stage.hoist(&["lab", "start", "cp1", "cp2", "cp3"]).exits(0);
        stage.hoist(&["apply"]).exits(0).says("8 nodes ready");
        stage.hoist(&["plan"]).exits(0).says("Nothing to change");
        stage.kubectl(&["get", "configmap", "written"]).exits(0);
    });
}
