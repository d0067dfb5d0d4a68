//! From nothing to a real Kubernetes cluster that serves an application, and everything that may happen to it then.
//!
//! Needs root and a cache that `hoist lab setup` has filled; takes minutes. `tests/run` runs it:
//! `cargo test --test first_light -- --ignored --nocapture`.

#[path = "../support/followed.rs"]
mod followed;
mod interruptions;
mod kills;
mod moments;
mod refusals;
mod secrets;
#[path = "../support/stage.rs"]
mod stage;
mod traces;

use std::{fs, os::unix::fs::PermissionsExt};

use stage::{Stage, text};

const LAB: &str = "first-light";
const HOSTS: [(&str, &str); 3] = [("cp1", "10.77.0.11"), ("w1", "10.77.0.12"), ("w2", "10.77.0.13")];

fn stage() -> Stage {
    Stage::new(LAB, include_str!("../../inventory/lab.yaml"))
}

/// One story: each step needs the ones before it.
#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn first_light() {
    let before = traces::machine();
    let stage = stage();
    eprintln!();
    stage.step("demo makes a cluster and an application", || demo(&stage));
    stage.step("plan says that nothing would change", || nothing_to_change(&stage));
    stage.step("a second apply changes nothing and is quick", || second_apply(&stage));
    stage.step("kubectl works with the kubeconfig", || kubeconfig(&stage));
    stage.step("the application answers through every node", || application(&stage));
    stage.step("a changed sysctl is shown, alone, and mended", || changed_sysctl(&stage));
    stage.step("a changed configuration is shown as a diff, and mended", || changed_configuration(&stage));
    stage.step("a missing network route is mended, and pods reach each other", || missing_route(&stage));
    stage.step("two runs at once: the second is refused", || interruptions::two_at_once(&stage));
    stage.step("killed at each event of a change, a run goes on", || {
        interruptions::killed_while_changing(&stage)
    });
    stage.step("killed in the middle of a join, a run goes on", || {
        interruptions::killed_while_joining(&stage)
    });
    let bed = kills::Bed::three_nodes(stage);
    bed.stage.step("killed at five random points, a run goes on", || kills::at_random(&bed, 1, 5, false));
    let stage = bed.stage;
    stage.step("a node that reboots comes back", || reboot(&stage));
    stage.step("a node that is off is named, and holds up nobody", || refusals::node_off(&stage));
    stage.step("a control plane that is off is not replaced by a new cluster", || {
        refusals::control_plane_off(&stage)
    });
    stage.step("an unknown host key is refused until it is trusted", || refusals::unknown_host_key(&stage));
    stage.step("a changed host key is refused", || refusals::changed_host_key(&stage));
    stage.step("a wrong login key is refused", || refusals::wrong_login_key(&stage));
    stage.step("not root, a missing package, a full disk", || refusals::machine(&stage));
    stage.step("no secret was printed, logged or journalled", || secrets::kept(&stage));
    stage.step("down leaves nothing behind", || down(&stage, &before));
}

/// Runs that are killed at random points: fifty on three nodes, thirty on a highly available cluster.
#[test]
#[ignore = "takes a quarter of an hour: run tests/soak"]
fn soak() {
    let seed = std::env::var("HOIST_SOAK_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let kind = std::env::var("HOIST_SOAK_CLUSTER").unwrap_or_else(|_| "lab".into());
    eprintln!("\n  seed {seed}");
    let (bed, kills) = match kind.as_str() {
        "lab" => {
            let sample = include_str!("../../inventory/lab.yaml");
            (kills::Bed::three_nodes(Stage::new("soak", sample)), 50)
        }
        "lab-ha" => {
            let sample = include_str!("../../inventory/lab-ha.yaml").replace("hoist-ha", "hoist-lab");
            (kills::Bed::highly_available(Stage::new("cluster-soak", sample.leak())), 30)
        }
        _ => panic!("HOIST_SOAK_CLUSTER is {kind}: lab or lab-ha"),
    };
    bed.stage.step("killed at random points, runs go on", || kills::at_random(&bed, seed, kills, true));
}

fn demo(stage: &Stage) {
    let ran = stage
        .hoist(&["demo", "--yes", "--kubernetes", "debian", "-i", text(&stage.path("inventory.yaml"))])
        .exits(0);
    let mut ran =
        ran.says("3 nodes ready").says("hoist apply").says("What to do next").says("lab --lab first-light");
    for (node, address) in HOSTS {
        ran = ran.says(&format!("http://{address}:30080 answers through {node}"));
    }
    stage.hoist(&["status"]).exits(0).says("w2 Ready");
    let json = stage.hoist(&["lab", "status", "--output", "json"]).exits(0).stdout;
    assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&json).unwrap().len(), 3, "{json}");
}

pub fn nothing_to_change(stage: &Stage) {
    stage.hoist(&["plan"]).exits(0).says("Nothing to change").within(15);
}

fn second_apply(stage: &Stage) {
    let journals = || fs::read_dir(stage.path("state/hoist/lab/runs")).unwrap().count();
    let before = journals();
    stage.hoist(&["apply"]).exits(0).says("0 changes, 3 nodes ready").within(15);
    assert_eq!(journals(), before, "a run without changes writes no journal");
}

fn kubeconfig(stage: &Stage) {
    let file = stage.path("kubeconfig");
    let ran = stage.hoist(&["kubeconfig", "--file", text(&file)]).exits(0);
    assert_eq!(ran.stdout, "", "credentials go to the file only");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let nodes = stage.kubectl(&["get", "nodes", "--no-headers"]).exits(0).stdout;
    let ready = nodes.lines().filter(|line| line.split_whitespace().nth(1) == Some("Ready"));
    assert_eq!(ready.count(), 3, "{nodes}");
    stage.kubectl(&["-n", "hoist-sample", "rollout", "status", "deployment/web", "--timeout=60s"]).exits(0);
}

fn application(stage: &Stage) {
    for (_, address) in HOSTS {
        let url = format!("http://{address}:30080/");
        stage
            .hoist(&["lab", "exec", "--", "curl", "-sS", "--max-time", "10", &url])
            .exits(0)
            .says("It works.");
    }
    // Doing it again changes nothing.
    stage.hoist(&["sample"]).exits(0).says("Deployment hoist-sample/web unchanged");
}

fn changed_sysctl(stage: &Stage) {
    stage.on("w1", "sysctl -qw net.ipv4.ip_forward=0");
    let plan = stage.hoist(&["plan"]).exits(2).says("net.ipv4.ip_forward: 0 -> 1").says("1 of");
    let hosts: Vec<&str> =
        plan.stdout.lines().filter(|line| HOSTS.iter().any(|(name, _)| line == name)).collect();
    assert_eq!(hosts, ["w1"], "{plan}");
    assert_eq!(plan.stdout.matches("->").count(), 1, "exactly one difference: {plan}");
    assert_eq!(stage.on("w1", "sysctl -n net.ipv4.ip_forward"), "0\n", "a plan changes nothing");
    stage.hoist(&["apply"]).exits(0).says("1 change, 3 nodes ready");
    assert_eq!(stage.on("w1", "sysctl -n net.ipv4.ip_forward"), "1\n");
    nothing_to_change(stage);
}

fn changed_configuration(stage: &Stage) {
    let since = "systemctl show -P ActiveEnterTimestampMonotonic containerd";
    let before = stage.on("w1", since);
    stage.on("w1", "sed -i 's/SystemdCgroup = true/SystemdCgroup = false/' /etc/containerd/config.toml");
    let plan = stage.hoist(&["plan", "--diff"]).exits(2).says("interrupts containerd");
    let plan = plan.says("- SystemdCgroup = false").says("+ SystemdCgroup = true");
    assert!(!plan.stdout.contains("cp1") && !plan.stdout.contains("w2"), "{plan}");
    stage.hoist(&["plan"]).exits(2).says("content: sha256");
    stage.hoist(&["apply"]).exits(0).says("3 nodes ready");
    assert_ne!(stage.on("w1", since), before, "containerd was restarted");
    stage.hoist(&["status"]).exits(0);
    nothing_to_change(stage);
}

fn missing_route(stage: &Stage) {
    stage.on("w1", "ip route del 10.244.13.0/24");
    stage.hoist(&["plan"]).exits(2).says("systemctl restart pod-routes.service");
    stage.hoist(&["apply"]).exits(0);
    let pods = stage
        .kubectl(&["-n", "hoist-sample", "get", "pods", "-o", "jsonpath={.items[*].status.podIP}"])
        .exits(0);
    let addresses: Vec<&str> = pods.stdout.split_whitespace().collect();
    assert_eq!(addresses.len(), 3, "{pods}");
    for (node, _) in HOSTS {
        for address in &addresses {
            // Nodes have no curl: bash speaks enough HTTP.
            let ask = format!(
                "bash -c 'exec 3<>/dev/tcp/{address}/8080; printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3; cat <&3'"
            );
            let answer = stage.on(node, &ask);
            assert!(answer.contains("It works."), "{node} to {address}: {answer}");
        }
    }
    nothing_to_change(stage);
}

fn reboot(stage: &Stage) {
    // What another sets at boot comes before.
    stage.on("w2", "echo net.ipv4.ip_forward=0 > /etc/sysctl.d/99-company.conf");
    stage.reboot("w2");
    stage.hoist(&["apply"]).exits(0).says("3 nodes ready");
    stage.hoist(&["sample"]).exits(0).says("answers through w2");
}

fn down(stage: &Stage, before: &traces::Machine) {
    let network = traces::network_namespace(LAB);
    stage.hoist(&["lab", "down"]).exits(0);
    let left: Vec<_> = traces::of_lab(LAB, network).into_iter().chain(before.added()).collect();
    assert_eq!(left, Vec::<String>::new());
    stage.hoist(&["lab", "down"]).exits(0);
    stage.hoist(&["lab", "ssh", "w1"]).exits(69);
}
