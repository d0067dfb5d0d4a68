//! As many control planes as there may be, with etcd on them: three become seven, and three may be lost at once.

use std::collections::BTreeMap;

use crate::stage::{Stage, text, until};

const LAB: &str = "cluster-seven";
const SAMPLE: &str = include_str!("../../inventory/lab-ha.yaml");

const CONTROL_PLANES: [&str; 7] = ["cp1", "cp2", "cp3", "cp4", "cp5", "cp6", "cp7"];
/// Writes down the tenths of seconds at which a node has the virtual address, for ten minutes.
const WATCH: &str = "touch /root/had; systemd-run --quiet --collect --unit watch sh -c 'for turn in $(seq 6000); do \
                     [ -z \"$(ip -4 -o address show to 10.77.0.10)\" ] || date +%s%N | cut -c 1-11 >>/root/had; sleep 0.1; done'";
/// Lets a node take half a minute to find a configuration of its keeper well.
const SLOW: &str = "cd /usr/local/sbin && printf '%s\\n' '#!/bin/sh' 'case $1 in --config-test) sleep 30 ;; esac' \
                    'exec /usr/sbin/keepalived \"$@\"' >keepalived && chmod +x keepalived";

/// One story: each step needs the ones before it.
#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn seven() {
    let (before, from_hosts) = SAMPLE.split_once("\nhosts:\n").unwrap();
    let (_, vars) = from_hosts.split_once("\nvars:\n").unwrap();
    let host = |number| format!("  cp{number}: {{address: 10.77.0.1{number}, roles: [control-plane]}}\n");
    let (hosts, later): (String, String) = ((1..8).map(host).collect(), (4..8).map(host).collect());
    let sample =
        format!("{before}\nhosts:\n{hosts}  w1: {{address: 10.77.0.31, roles: [worker]}}\n\nvars:\n{vars}");
    let sample = sample.replace("hoist-ha", "hoist-lab").replace("etcd: external", "etcd: stacked");
    let stage = Stage::new(LAB, sample.leak());
    let inventory = stage.path("inventory.yaml");
    eprintln!();
    stage.step("eight nodes", || stage.hoist(&["lab", "up", "-i", text(&inventory)]).exits(0));
    stage.step("an apply makes three control planes", || {
        let three = stage.inventory("three.yaml", &[(later.as_str(), "")]);
        stage.hoist(&["apply", "-i", text(&three)]).exits(0).says("4 nodes ready");
    });
    stage.step("another makes them seven, of which never two have the virtual address", || {
        for name in CONTROL_PLANES {
            stage.on(name, WATCH);
        }
        // The old keepers are told of the new ones long after these could start.
        for name in &CONTROL_PLANES[..3] {
            stage.on(name, SLOW);
        }
        stage.hoist(&["apply"]).exits(0).says("8 nodes ready");
        let mut had: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for name in CONTROL_PLANES {
            for moment in stage.on(name, "systemctl stop watch; cat /root/had").lines() {
                had.entry(moment.to_owned()).or_default().push(name);
            }
        }
        assert!(had.len() > 100, "somebody had it for some time: {}", had.len());
        let shared: Vec<_> = had.iter().filter(|(_, names)| names.len() > 1).collect();
        assert!(shared.is_empty(), "{shared:?}");
        stage.on("cp1", "grep -q 10.77.0.17 /etc/keepalived/keepalived.conf");
        for name in &CONTROL_PLANES[..3] {
            stage.on(name, "rm /usr/local/sbin/keepalived");
        }
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
