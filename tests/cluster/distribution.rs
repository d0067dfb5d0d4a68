//! Files on real nodes: each leaves this machine once, images are there when their archives have gone, and a disk that
//! is full is said to be.

use std::fs;

use serde_json::Value;

use crate::stage::{Ran, Stage, text};

const LAB: &str = "distribution";
const NODES: [&str; 3] = ["cp1", "w1", "w2"];
const SIZE: usize = 60_000_000;

#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn distribution() {
    let stage = Stage::new(LAB, include_str!("../../inventory/lab.yaml"));
    eprintln!();
    stage.step("three nodes with small disks", || {
        stage.hoist(&["lab", "up", "-i", text(&stage.path("inventory.yaml")), "--disk", "4G"]).exits(0)
    });
    roles(&stage);
    stage.step("a file leaves this machine once", || once(&stage));
    stage.step("a second site gets it from this machine once, too", || second_site(&stage));
    stage.step("image archives are passed on before they go", || images(&stage));
    stage.step("a node that no other reaches is sent to", || cut_off(&stage));
    stage.step("a full disk is named, and freed of what came", || full(&stage));
    stage.step("an image that would not fit is not sent", || full_for_an_image(&stage));
}

fn roles(stage: &Stage) {
    let content: Vec<u8> =
        (0..SIZE / 4).flat_map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(stage.path("file"), &content).unwrap();
    let sha256 = hoist::task::sha256(&content);
    let source = stage.path("file");
    let folder = stage.path("roles/roles/file");
    fs::create_dir_all(&folder).unwrap();
    let role = format!(
        "description: a test\ntasks:\n  - name: the file\n    artifact: {{source: {}, sha256: {sha256}, path: /srv/file}}\n",
        source.display()
    );
    fs::write(folder.join("role.yaml"), role).unwrap();
    // The images of a worker, without all the rest.
    let folder = stage.path("roles/roles/images");
    fs::create_dir_all(&folder).unwrap();
    let role = "description: a test
tasks:
  - name: containerd runs
    service: {unit: containerd.service}
  - name: \"image {{ item.reference }}\"
    loop: host.images
    image:
      reference: \"{{ item.reference }}\"
      digest: \"{{ item.digest }}\"
      source: \"{{ item.source }}\"
      sha256: \"{{ item.sha256 }}\"
";
    fs::write(folder.join("role.yaml"), role).unwrap();
}

fn apply(stage: &Stage, role: &str) -> Ran {
    let roles = stage.path("roles");
    stage.hoist(&["apply", "--roles", text(&roles), "--only", role, "--output", "json"])
}

fn events(ran: &Ran, kind: &str) -> Vec<Value> {
    let lines = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|event| event["event"] == kind).collect()
}

/// Of the one host that failed.
fn failure(ran: &Ran) -> Value {
    let failed = events(ran, "host-failed");
    assert_eq!(failed.len(), 1, "{ran}");
    failed[0]["failure"].clone()
}

/// What this machine has put on its only link to the nodes.
fn left() -> u64 {
    let counter = "/sys/class/net/gateway0/statistics/tx_bytes";
    crate::stage::output_of("ip", &["netns", "exec", LAB, "cat", counter]).trim().parse().unwrap()
}

fn nobody_serves(stage: &Stage) {
    for node in NODES {
        let left = stage.on(node, "ps -eo args | grep -E '^(socat|sleep 7200)' || true");
        assert_eq!(left, "", "{node}");
    }
}

fn once(stage: &Stage) {
    let before = left();
    let ran = apply(stage, "file").exits(0);
    let sent = left() - before;
    assert!(sent as f64 <= 1.05 * SIZE as f64, "{sent} of {SIZE}: {ran}");
    assert_eq!(events(&ran, "received").len(), NODES.len(), "{ran}");
    assert_eq!(events(&ran, "fallback"), [] as [Value; 0]);
    nobody_serves(stage);
    for node in NODES {
        assert_eq!(stage.on(node, "sha256sum /srv/file").len(), 64 + "  /srv/file\n".len());
        assert_eq!(stage.on(node, "ls -A /srv"), "file\n");
    }
    apply(stage, "file").exits(0).says("\"changes\":0");
}

fn second_site(stage: &Stage) {
    for node in NODES {
        stage.on(node, "rm /srv/file");
    }
    let sites = [
        ("\nhosts:\n", "\nsites: [north, south]\nhosts:\n"),
        ("[control-plane]}", "[control-plane], site: north}"),
        ("10.77.0.12, roles: [worker]}", "10.77.0.12, roles: [worker], site: north}"),
        ("10.77.0.13, roles: [worker]}", "10.77.0.13, roles: [worker], site: south}"),
    ];
    let inventory = stage.inventory("sites.yaml", &sites);
    let before = left();
    let (roles, inventory) = (stage.path("roles"), text(&inventory).to_owned());
    let only = ["apply", "-i", &inventory, "--roles", text(&roles), "--only", "file", "--output", "json"];
    let ran = stage.hoist(&only).exits(0);
    let sent = left() - before;
    assert!((1.95..=2.1).contains(&(sent as f64 / SIZE as f64)), "{sent} of {SIZE}: {ran}");
    let received = events(&ran, "received");
    let from = |host: &str| received.iter().find(|event| event["host"] == host).unwrap()["from"].clone();
    assert_eq!(from("w2"), "installer", "{ran}");
    assert!([from("cp1"), from("w1")].iter().any(|from| from == "cp1" || from == "w1"), "{ran}");
    nobody_serves(stage);
}

fn images(stage: &Stage) {
    let ran = apply(stage, "images").exits(0);
    let received = events(&ran, "received");
    let of = |from: &str| received.iter().filter(|event| event["from"] == from).count();
    let mut steps: Vec<&str> = received.iter().map(|event| event["step"].as_str().unwrap()).collect();
    steps.sort();
    steps.dedup();
    // cp1 needs what no worker needs; everything goes from here once.
    assert_eq!(of("installer"), steps.len(), "{ran}");
    assert!(received.len() > steps.len(), "{ran}");
    for node in NODES {
        assert_eq!(stage.on(node, "ls -A /var/lib/hoist 2>/dev/null || true"), "", "{node}");
    }
    nobody_serves(stage);
    apply(stage, "images").exits(0).says("\"changes\":0");
}

fn cut_off(stage: &Stage) {
    for node in NODES {
        stage.on(node, "rm /srv/file");
    }
    stage.hoist(&["lab", "cut", "w2", "w1"]).exits(0);
    stage.hoist(&["lab", "cut", "w2", "cp1"]).exits(0);
    let ran = apply(stage, "file").exits(0);
    let received = events(&ran, "received");
    let w2 = received.iter().find(|event| event["host"] == "w2").unwrap();
    assert_eq!(w2["from"], "installer", "{ran}");
    assert!(events(&ran, "run-ended")[0]["seconds"].as_f64().unwrap() < 60.0, "{ran}");
    stage.hoist(&["lab", "heal"]).exits(0);
}

fn full(stage: &Stage) {
    stage.on("w1", "rm /srv/file");
    stage.hoist(&["lab", "fill", "w1", "--leave", "50M"]).exits(0);
    let ran = apply(stage, "file").exits(1);
    let failure = failure(&ran);
    let what = failure["what"].as_str().unwrap();
    assert!(what.starts_with("no space for /srv/file on w1: 58 MiB needed, "), "{failure}");
    assert!(failure["next"].as_str().unwrap().contains("make room"), "{failure}");
    assert_eq!(stage.on("w1", "ls -A /srv"), "");
    stage.hoist(&["lab", "fill", "w1", "--undo"]).exits(0);
    apply(stage, "file").exits(0);
    assert_eq!(stage.on("w1", "ls -A /srv"), "file\n");
}

fn full_for_an_image(stage: &Stage) {
    let all = stage.on("w1", "ctr -n k8s.io images ls -q");
    let image = all.lines().find(|line| line.contains("kube-proxy")).unwrap();
    stage.on("w1", &format!("ctr -n k8s.io images rm --sync {image}"));
    // Room for the archive, not for its layers besides.
    stage.hoist(&["lab", "fill", "w1", "--leave", "30M"]).exits(0);
    let ran = apply(stage, "images").exits(1);
    let failure = failure(&ran);
    let what = failure["what"].as_str().unwrap();
    assert!(what.starts_with("no space for /var/lib/containerd on w1: "), "{failure}");
    assert_eq!(stage.on("w1", "ls -A /var/lib/hoist 2>/dev/null || true"), "");
    stage.hoist(&["lab", "fill", "w1", "--undo"]).exits(0);
    apply(stage, "images").exits(0);
    assert!(stage.on("w1", "ctr -n k8s.io images ls -q").contains(image));
    // As after an import that was cut off.
    let label = format!("ctr -n k8s.io images label {image} io.cri-containerd.pinned=");
    stage.on("w1", &label);
    let ran = apply(stage, "images").exits(0).says("\"changes\":1");
    assert!(events(&ran, "received").is_empty(), "{ran}");
    let pinned =
        format!("ctr -n k8s.io images ls | grep -F {image} | grep -c io.cri-containerd.pinned=pinned");
    assert_eq!(stage.on("w1", &pinned).trim(), "1");
    apply(stage, "images").exits(0).says("\"changes\":0");
}
