//! What stops a run in the middle: each time its message says why, and the next run mends it.

use crate::{
    followed::{Run, is},
    stage::{Stage, text, until},
};

const JOIN: &str = "the host is a node of the cluster";

/// In place of `ctr`: the disk fills up when an image has come and is about to be imported. Root may use every block.
const FILLS: &str = "cat > /usr/local/bin/ctr <<'EOT'
#!/bin/sh
case \" $* \" in
*' images import '*) fallocate -l $(($(stat -f -c '%f * %S' /) - 262144)) /filled ;;
esac
exec /usr/bin/ctr \"$@\"
EOT
chmod 755 /usr/local/bin/ctr";

/// In place of `kubeadm`: a join that waits until it may go on, and then looks for its token for twenty seconds and not
/// for five minutes.
const WAITS: &str = "cat > /usr/local/sbin/kubeadm <<'EOT'
#!/bin/sh
[ \"$1\" = join ] || exec /usr/local/bin/kubeadm \"$@\"
touch /run/waits
until [ -e /run/go ]; do sleep 0.1; done
sed 's/^discovery:$/&\\n  timeout: 20s/' | /usr/local/bin/kubeadm \"$@\"
EOT
chmod 755 /usr/local/sbin/kubeadm";

/// One story: each step needs the ones before it.
#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn repairs() {
    let stage = Stage::new("cluster-repairs", include_str!("../../inventory/lab.yaml"));
    let inventory = stage.path("inventory.yaml");
    eprintln!();
    stage.step("three nodes with disks of their own", || {
        stage.hoist(&["lab", "up", "-i", text(&inventory), "--disk", "6G"]).exits(0);
    });
    stage.step("a disk that fills up while an image is imported", || full_disk(&stage));
    stage.step("a node that loses its power while it joins", || power_lost(&stage));
    stage.step("a token that is deleted before the node has joined with it", || token_deleted(&stage));
}

/// One run makes everything true, and the next finds nothing to do.
fn mended(stage: &Stage) {
    stage.hoist(&["apply"]).exits(0).says("3 nodes ready");
    stage.hoist(&["plan"]).exits(0).says("Nothing to change");
    assert!(!stage.holds_on("w2", "test -e /var/lib/hoist"), "nothing of ours is left on the node");
}

fn full_disk(stage: &Stage) {
    stage.on("w2", FILLS);
    let failed =
        stage.hoist(&["apply"]).exits(1).says("w2: kubernetes: image ").says("no space left on device");
    failed.says("likely cause: the host's disk is full").says("100%").says("Not finished: w2 failed");
    assert!(stage.holds_on("w2", "! ls /var/lib/hoist/image-* 2>/dev/null"), "the archive is removed");
    stage.on("w2", "rm -f /filled /usr/local/bin/ctr");
    mended(stage);
}

/// A worker that the cluster does not know any more.
fn reset(stage: &Stage) {
    stage.hoist(&["kubeconfig", "--file", text(&stage.path("kubeconfig"))]).exits(0);
    stage.kubectl(&["delete", "node", "w2"]).exits(0);
    stage.on("w2", "kubeadm reset --force");
}

fn power_lost(stage: &Stage) {
    reset(stage);
    let mut run = Run::begin(stage);
    run.until(|event| is(event, "step-started", "w2", JOIN));
    until("kubeadm is at work on w2", 20, || stage.holds_on("w2", "test -e /var/lib/hoist/kubeadm-at-work"));
    stage.hoist(&["lab", "stop", "w2"]).exits(0);
    let failed = run.until(|event| event["event"] == "host-failed");
    assert_eq!((&failed["host"], &failed["failure"]["step"]), (&"w2".into(), &JOIN.into()), "{failed}");
    let (what, next) = (&failed["failure"]["what"], &failed["failure"]["next"]);
    assert!(what.as_str().unwrap().contains("the connection to w2"), "{failed}");
    assert!(next.as_str().unwrap().contains("run the same command again"), "{failed}");
    assert_eq!(run.end(), Some(1));
    stage.hoist(&["apply"]).exits(69).says("Not finished: w2 cannot be used");
    stage.hoist(&["lab", "start", "w2"]).exits(0);
    mended(stage);
}

fn token_deleted(stage: &Stage) {
    reset(stage);
    stage.on("w2", WAITS);
    let mut run = Run::begin(stage);
    run.until(|event| is(event, "step-started", "w2", JOIN));
    until("the join waits", 30, || stage.holds_on("w2", "test -e /run/waits"));
    let tokens = "type=bootstrap.kubernetes.io/token";
    stage.kubectl(&["-n", "kube-system", "delete", "secrets", "--field-selector", tokens]).exits(0);
    until("nobody vouches for the token any more", 60, || {
        let info =
            stage.kubectl(&["-n", "kube-public", "get", "configmap", "cluster-info", "-o", "yaml"]).exits(0);
        !info.stdout.contains("jws-kubeconfig-")
    });
    stage.on("w2", "touch /run/go");
    let failed = run.until(|event| event["event"] == "host-failed");
    let cause = failed["failure"]["cause"].as_str().unwrap_or_default();
    assert!(cause.contains("the token to join with has expired or was deleted"), "{failed}");
    let next = failed["failure"]["next"].as_str().unwrap();
    assert!(next.contains("run the same command again, which asks for a new one"), "{failed}");
    assert_eq!(run.end(), Some(1));
    stage.on("w2", "rm -f /usr/local/sbin/kubeadm /run/waits /run/go");
    mended(stage);
}
