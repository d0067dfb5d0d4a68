//! The API server behind balancers: a virtual address for people, a balancer on 127.0.0.1 for nodes.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::stage::{Stage, text};

const LAB: &str = "cluster-endpoint";
const VIP: &str = "10.77.0.100";

/// One story: each step needs the ones before it.
#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn endpoint() {
    let stage = Stage::new(LAB, include_str!("../../inventory/lab.yaml"));
    let inventory = "endpoint: {address: 10.77.0.11, port: 6443}";
    let nodes =
        stage.inventory("inventory.yaml", &[(inventory, "endpoint: {vip: 10.77.0.100, local: true}")]);
    let nodes = text(&nodes).to_owned();
    eprintln!();
    stage.step("three nodes", || stage.hoist(&["lab", "up", "-i", &nodes]).exits(0));
    stage.step("the address is free, and one that is a node's is not", || {
        let findings = stage.hoist(&["preflight", "--all"]);
        findings.says("who has the virtual address (ARP) (vip-free) observed nobody");
        stage.on("w1", "ip address add 10.77.0.100/24 dev host0");
        stage.hoist(&["apply"]).exits(1).says("w1 has 10.77.0.100");
        stage.on("w1", "ip address delete 10.77.0.100/24 dev host0");
    });
    stage.step("an address that is not of the nodes' network is refused before any change", || {
        let outside = stage.inventory("outside.yaml", &[(inventory, "endpoint: {vip: 10.77.1.100}")]);
        let refused = stage.hoist(&["apply", "-i", text(&outside)]).exits(1).within(60);
        refused
            .says("10.77.1.100 is no address for a host in 10.77.0.0/24 on host0")
            .says("nothing was changed");
    });
    stage.step("a cluster behind the address", || {
        stage.hoist(&["apply"]).exits(0).says("3 nodes ready");
        stage.hoist(&["plan"]).exits(0).says("Nothing to change");
        stage.hoist(&["preflight", "--all"]).says("cp1 has it, by its keepalived");
    });
    stage.step("another endpoint and other ranges are refused before any change", || {
        for (name, from, to, says) in [
            ("vip.yaml", inventory, "endpoint: {vip: 10.77.0.100}", "is reached at 127.0.0.1:6443"),
            (
                "port.yaml",
                inventory,
                "endpoint: {vip: 10.77.0.100, local: true, port: 7443}",
                "says 127.0.0.1:7443",
            ),
            ("services.yaml", "services: 10.96.0.0/12", "services: 10.112.0.0/12", "says 10.112.0.0/12"),
            ("pods.yaml", "pods: 10.244.0.0/16", "pods: 10.245.0.0/16", "says 10.245.0.0/16"),
        ] {
            let own = [(inventory, "endpoint: {vip: 10.77.0.100, local: true}")];
            let other = if from == inventory { vec![(from, to)] } else { vec![own[0], (from, to)] };
            let other = stage.inventory(name, &other);
            for verb in ["plan", "apply"] {
                stage
                    .hoist(&[verb, "-i", text(&other)])
                    .exits(1)
                    .says(says)
                    .says("nothing was changed")
                    .within(60);
            }
        }
        stage.hoist(&["plan"]).exits(0).says("Nothing to change");
    });
    stage.step("people reach it at the address, nodes at home", || {
        stage.hoist(&["kubeconfig", "--file", text(&stage.path("kubeconfig"))]).exits(0);
        stage.kubectl(&["config", "view"]).exits(0).says("server: https://10.77.0.100:6443");
        stage.kubectl(&["get", "nodes"]).exits(0).says("w2 Ready");
        stage.on("w1", "grep -q 'server: https://127.0.0.1:6443' /etc/kubernetes/kubelet.conf");
        stage.on("w1", "ss -Hltn 'sport = :6443' | grep -q '127.0.0.1:6443'");
    });
    for unit in ["haproxy", "keepalived"] {
        let title = format!("{unit} is killed, and the address answers again within 5 s");
        stage.step(&title, || {
            let kill = format!("systemctl kill -s KILL {unit}.service");
            let gap = longest_silence(LAB, VIP, || drop(stage.on("cp1", &kill)));
            assert!(gap < Duration::from_secs(5), "{unit}: {gap:?}");
        });
    }
    stage.step("a changed configuration is put right by a reload", || {
        let process = || stage.on("cp1", "systemctl show -P MainPID haproxy");
        let before = process();
        stage.on("cp1", "sed -i 's/retries 3/retries 4/' /etc/haproxy/haproxy.cfg");
        stage.hoist(&["plan"]).exits(2).says("reload haproxy.service");
        stage.hoist(&["apply"]).exits(0);
        assert_eq!(process(), before, "it was reloaded, not restarted");
        stage.hoist(&["plan"]).exits(0).says("Nothing to change");
    });
    stage.step("people get another address, and whoever asks there at once is served", || {
        let process = || stage.on("cp1", "pidof kube-apiserver");
        let before = process();
        stage.inventory("inventory.yaml", &[(inventory, "endpoint: {vip: 10.77.0.101, local: true}")]);
        stage.hoist(&["plan"]).exits(2).says("run name_anew");
        stage.hoist(&["apply"]).exits(0);
        stage.hoist(&["kubeconfig", "--file", text(&stage.path("kubeconfig"))]).exits(0);
        stage.kubectl(&["config", "view"]).exits(0).says("server: https://10.77.0.101:6443");
        stage.kubectl(&["get", "nodes"]).exits(0).says("w2 Ready");
        assert_eq!(process(), before, "it was not started anew");
        assert!(!answers(LAB, VIP), "the old address leads nowhere");
        stage.hoist(&["plan"]).exits(0).says("Nothing to change");
    });
}

/// How long an address of a lab was silent at most, from 1 s before `act` to 10 s after it.
pub fn longest_silence(lab: &str, address: &str, act: impl FnOnce()) -> Duration {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            while !over.load(Ordering::SeqCst) {
                if answers(lab, address) {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
                thread::sleep(Duration::from_millis(50));
            }
            longest.max(last.elapsed())
        });
        thread::sleep(Duration::from_secs(1));
        act();
        thread::sleep(Duration::from_secs(10));
        over.store(true, Ordering::SeqCst);
        watch.join().unwrap()
    })
}

/// Whether an API server answers at the address, asked from the lab's gateway.
fn answers(lab: &str, address: &str) -> bool {
    let mut curl = Command::new("nsenter");
    curl.arg(format!("--net=/run/netns/{lab}")).args(["curl", "-skf", "--max-time", "0.7"]);
    curl.arg(format!("https://{address}:6443/readyz")).output().unwrap().status.success()
}
