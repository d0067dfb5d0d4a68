//! etcd on hosts of its own, two control planes behind a virtual address, workers: and every one of them may be lost.

use std::time::{Duration, Instant};

use crate::{
    endpoint::longest_silence,
    stage::{Stage, text, until},
};

const LAB: &str = "cluster-ha";
const VIP: &str = "10.77.0.10";

/// One story: each step needs the ones before it.
#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn high_availability() {
    let inventory = include_str!("../../inventory/lab-ha.yaml");
    // The stage knows the lab by the name that the other sample has.
    let stage = Stage::new(LAB, Box::leak(inventory.replace("hoist-ha", "hoist-lab").into_boxed_str()));
    let inventory = stage.path("inventory.yaml");
    eprintln!();
    stage.step("seven nodes", || {
        stage.hoist(&["lab", "up", "-i", text(&inventory)]).exits(0);
    });
    stage.step("a cluster of three members, two control planes and two workers", || {
        stage.hoist(&["apply"]).exits(0).says("4 nodes ready");
        nothing_to_change(&stage);
        stage.hoist(&["apply"]).exits(0).says("0 changes, 4 nodes ready").within(30);
    });
    stage.step("an application answers through every node", || {
        let ran = stage.hoist(&["sample"]).exits(0);
        let ran = ran.says("answers through cp1").says("answers through cp2");
        ran.says("answers through w1").says("answers through w2");
        stage.hoist(&["kubeconfig", "--file", text(&stage.path("kubeconfig"))]).exits(0);
    });
    stage.step("pods on different nodes reach each other, and a service", || pods_reach_each_other(&stage));
    stage.step("the holder of the address loses its power: the API server answers again within 5 s", || {
        let holder = holder(&stage);
        let gap = longest_silence(LAB, VIP, || drop(stage.hoist(&["lab", "stop", &holder]).exits(0)));
        assert!(gap < Duration::from_secs(5), "{gap:?}");
        stage.kubectl(&["get", "nodes"]).exits(0);
        stage.hoist(&["status"]).exits(69).says(&format!("{holder} unreachable"));
        stage.hoist(&["lab", "start", &holder]).exits(0);
        until("the node is ready again", 180, || ready(&stage, &holder));
    });
    stage.step("a member of etcd and a control plane are lost at once: the API server stays", || {
        stage.hoist(&["lab", "stop", "e1", "cp2"]).exits(0);
        // What was under way to the member has to time out first: the API server asks etcd whether a connection lives
        // every 30 s, and waits for the answer for 10 s.
        let create = ["create", "configmap", "written", "--from-literal=while=e1-and-cp2-are-off"];
        let begun = Instant::now();
        until("the API server writes", 60, || stage.kubectl(&create).exit == Some(0));
        eprint!("written after {:.1} s ", begun.elapsed().as_secs_f64());
        stage.hoist(&["lab", "start", "e1", "cp2"]).exits(0);
        until("cp2 is ready again", 180, || ready(&stage, "cp2"));
        stage.kubectl(&["get", "configmap", "written", "-o", "yaml"]).exits(0).says("e1-and-cp2-are-off");
    });
    stage.step("a member loses its disk, and the next apply brings it back", || {
        stage.hoist(&["lab", "down", "e2"]).exits(0);
        stage.hoist(&["lab", "up", "-i", text(&inventory)]).exits(0);
        stage.hoist(&["apply"]).exits(0);
        nothing_to_change(&stage);
        stage.hoist(&["status"]).exits(0).says("e2 Ready");
    });
    stage.step("a control plane loses its disk, and the next apply brings it back", || {
        stage.hoist(&["lab", "down", "cp1"]).exits(0);
        stage.hoist(&["lab", "up", "-i", text(&inventory)]).exits(0);
        stage.hoist(&["apply"]).exits(0).says("4 nodes ready");
        nothing_to_change(&stage);
    });
    stage.step("a node reboots", || {
        stage.reboot("w1");
        stage.hoist(&["apply"]).exits(0).says("4 nodes ready");
        stage.hoist(&["sample"]).exits(0).says("answers through w1");
    });
}

fn nothing_to_change(stage: &Stage) {
    stage.hoist(&["plan"]).exits(0).says("Nothing to change");
}

/// The control plane that has the virtual address.
fn holder(stage: &Stage) -> String {
    let has = |node: &&str| stage.holds_on(node, &format!("ip -4 address show to {VIP} | grep -q {VIP}"));
    ["cp1", "cp2"].into_iter().find(has).expect("one of them has the address").to_string()
}

fn ready(stage: &Stage, node: &str) -> bool {
    let nodes = stage.kubectl(&["get", "node", node, "--no-headers"]);
    nodes.exit == Some(0) && nodes.stdout.split_whitespace().nth(1) == Some("Ready")
}

fn pods_reach_each_other(stage: &Stage) {
    let pods = ["-n", "hoist-sample", "get", "pods", "-o", "jsonpath={.items[*].status.podIP}"];
    let pods = stage.kubectl(&pods).exits(0).stdout;
    let service = ["-n", "hoist-sample", "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"];
    let service = format!("{}:80", stage.kubectl(&service).exits(0).stdout);
    let addresses: Vec<String> =
        pods.split_whitespace().map(|pod| format!("{pod}:8080")).chain([service]).collect();
    assert_eq!(addresses.len(), 4, "{pods}");
    let nodes = ["-n", "hoist-sample", "get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}"];
    let nodes = stage.kubectl(&nodes).exits(0).stdout;
    assert!(["w1", "w2"].iter().all(|worker| nodes.contains(worker)), "a pod on each worker: {nodes}");
    // From a host, and from the network of a pod.
    let inside = "nsenter --net --target $(pgrep -o -x static-server)";
    for (node, way) in [("cp1", ""), ("w1", ""), ("w1", inside), ("w2", inside)] {
        for address in &addresses {
            let (host, port) = address.split_once(':').unwrap();
            // Nodes have no curl: bash speaks enough HTTP.
            let ask = format!(
                "{way} bash -c 'exec 3<>/dev/tcp/{host}/{port}; printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3; cat <&3'"
            );
            let answer = stage.on(node, &ask);
            assert!(answer.contains("It works."), "{way} {node} to {address}: {answer}");
        }
    }
}
