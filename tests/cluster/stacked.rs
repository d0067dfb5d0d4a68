//! Three control planes with etcd on them: begun, changed, killed, and each of them replaced.

use std::{
    fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use crate::stage::{Stage, text, until};

const LAB: &str = "cluster-stacked";
const NODES: [(&str, &str); 3] = [("cp1", "10.77.0.11"), ("cp2", "10.77.0.12"), ("cp3", "10.77.0.13")];
/// What the installer promises for a stack on a dead node, in seconds.
const PROMISED: u64 = 150;

/// One story: each step needs the ones before it.
#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn stacked() {
    let stage = Stage::new(LAB, include_str!("../fixtures/cluster/stacked.yaml"));
    let inventory = stage.path("inventory.yaml");
    eprintln!();
    stage.step("three nodes", || {
        stage.hoist(&["lab", "up", "-i", text(&inventory)]).exits(0);
        endpoint_to(&stage, "cp1");
    });
    stage.step("an apply makes three control planes", || {
        stage.hoist(&["apply"]).exits(0).says("3 nodes ready");
        nothing_to_change(&stage);
        assert_eq!(members(&stage, "cp1"), ["cp1", "cp2", "cp3"]);
        stage.hoist(&["kubeconfig", "--file", text(&stage.path("kubeconfig"))]).exits(0);
        stage.hoist(&["sample"]).exits(0);
    });
    stage.step("changed settings reach all, one at a time; killed in the middle it goes on", || {
        changed_settings(&stage);
    });
    stage.step("settings that a kubelet refuses come to one host, which keeps its old ones", || {
        refused_settings(&stage);
    });
    stage.step("a stack on a dead node is back in time", || dead_node(&stage));
    stage.step("status, kubeconfig and sample work without the first control plane", || {
        endpoint_to(&stage, "cp2");
        stage.hoist(&["lab", "stop", "cp1"]).exits(0);
        stage.hoist(&["status"]).exits(69).says("cp2 Ready");
        stage.hoist(&["kubeconfig", "--file", text(&stage.path("kubeconfig"))]).exits(0);
    });
    stage.step("it comes back with a fresh disk, killed while it joins", || replaced(&stage, "cp1"));
}

/// Gives the endpoint's address to this node, as a balancer would.
fn endpoint_to(stage: &Stage, node: &str) {
    for (other, _) in NODES.iter().filter(|(other, _)| *other != node) {
        stage.holds_on(other, "ip addr del 10.77.0.50/24 dev host0 2>/dev/null");
    }
    stage.on(node, "ip addr replace 10.77.0.50/24 dev host0");
}

fn nothing_to_change(stage: &Stage) {
    stage.hoist(&["plan"]).exits(0).says("Nothing to change");
}

/// The names of the members of etcd, as one of them lists them.
fn members(stage: &Stage, node: &str) -> Vec<String> {
    let pki = "/etc/kubernetes/pki/etcd";
    let list = stage.on(
        node,
        &format!(
            "echo '{{}}' | kubectl --kubeconfig /dev/null --certificate-authority {pki}/ca.crt \
             --client-certificate {pki}/server.crt --client-key {pki}/server.key \
             --server https://127.0.0.1:2379 create --raw /v3/cluster/member/list -f -"
        ),
    );
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let members = list["members"].as_array().unwrap().iter();
    let mut names: Vec<String> =
        members.map(|member| member["name"].as_str().unwrap_or("unstarted").to_owned()).collect();
    names.sort();
    names
}

fn edit(stage: &Stage, from: &str, to: &str) {
    let path = stage.path("inventory.yaml");
    let before = fs::read_to_string(&path).unwrap();
    assert!(before.contains(from), "{from:?} is not in the inventory");
    fs::write(path, before.replace(from, to)).unwrap();
}

/// Starts an apply and kills it as soon as it is so.
fn killed_when(stage: &Stage, what: &str, so: impl Fn() -> bool) {
    let mut run = stage.command(&["apply"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(what, 180, so);
    run.kill().unwrap();
    run.wait().unwrap();
}

fn changed_settings(stage: &Stage) {
    edit(stage, "toleration_seconds: 30", "toleration_seconds: 31");
    edit(stage, "maxPods: 110", "maxPods: 111");
    stage.hoist(&["plan", "--diff"]).exits(2).says("+maxPods: 111").says("interrupts this host's API server");
    let has = |node: &str| {
        stage.holds_on(node, "grep -q toleration-seconds=31 /etc/kubernetes/manifests/kube-apiserver.yaml")
    };
    killed_when(stage, "the first API server gets its settings", || NODES.iter().any(|(node, _)| has(node)));
    assert!(!NODES.iter().all(|(node, _)| has(node)), "one at a time");
    stage.hoist(&["apply"]).exits(0).says("3 nodes ready");
    nothing_to_change(stage);
    for (node, _) in NODES {
        assert!(has(node), "{node}");
        stage.on(node, "grep -q '^maxPods: 111$' /var/lib/kubelet/config.yaml");
    }
}

/// A setting with which no kubelet starts.
fn refused_settings(stage: &Stage) {
    edit(stage, "maxPods: 111", "maxPods: -1");
    stage.hoist(&["apply"]).exits(1).says("it has its old ones again").says("not begun, because of");
    for (node, _) in NODES {
        stage.on(node, "grep -q '^maxPods: 111$' /var/lib/kubelet/config.yaml");
    }
    edit(stage, "maxPods: -1", "maxPods: 111");
    stage.hoist(&["apply"]).exits(0).says("3 nodes ready");
    nothing_to_change(stage);
}

fn dead_node(stage: &Stage) {
    // The scheduler puts replicas where it likes: here all of them on the node that dies.
    for node in ["cp1", "cp2"] {
        stage.kubectl(&["cordon", node]).exits(0);
    }
    stage.kubectl(&["-n", "hoist-sample", "delete", "pods", "--all"]).exits(0);
    stage.kubectl(&["-n", "hoist-sample", "rollout", "status", "deployment/web", "--timeout=120s"]).exits(0);
    for node in ["cp1", "cp2"] {
        stage.kubectl(&["uncordon", node]).exits(0);
    }
    stage.hoist(&["lab", "stop", "cp3"]).exits(0);
    let begun = Instant::now();
    let elsewhere = || {
        let pods = stage.kubectl(&[
            "-n",
            "hoist-sample",
            "get",
            "pods",
            "-o",
            "jsonpath={range .items[*]}{.spec.nodeName} {.metadata.deletionTimestamp}{.status.containerStatuses[0].ready}\n{end}",
        ]);
        pods.stdout.lines().filter(|line| line.ends_with(" true") && !line.starts_with("cp3")).count()
    };
    assert_eq!(elsewhere(), 0, "all of it was on the dead node");
    until("three replicas are ready elsewhere", PROMISED, || elsewhere() == 3);
    eprint!("{} s ", begun.elapsed().as_secs());
    stage.hoist(&["lab", "start", "cp3"]).exits(0);
    until("cp3 is as it should be", 180, || stage.hoist(&["plan"]).exit == Some(0));
    stage.hoist(&["apply"]).exits(0).says("3 nodes ready");
}

/// The API still has its node, and etcd its member.
fn replaced(stage: &Stage, node: &str) {
    let inventory = stage.path("inventory.yaml");
    stage.hoist(&["lab", "down", node]).exits(0);
    stage.hoist(&["lab", "up", "-i", text(&inventory)]).exits(0);
    assert_eq!(members(stage, "cp2"), ["cp1", "cp2", "cp3"]);
    killed_when(stage, "etcd has a manifest again", || {
        stage.holds_on(node, "test -e /etc/kubernetes/manifests/etcd.yaml")
    });
    // What the run had begun ends with its connection.
    thread::sleep(Duration::from_secs(3));
    assert!(stage.holds_on(node, "test -e /var/lib/hoist/kubeadm-at-work"));
    stage.hoist(&["apply"]).exits(0).says("3 nodes ready");
    nothing_to_change(stage);
    assert_eq!(members(stage, "cp2"), ["cp1", "cp2", "cp3"]);
    assert!(!stage.holds_on(node, "test -e /var/lib/hoist"));
}
