//! Runs that end too early, and runs that come together.

use nix::sys::signal::Signal;

use crate::{
    followed::{Run, is},
    nothing_to_change,
    stage::{Stage, until},
};

/// The first is held still while it has the lock, so that there is no race.
pub fn two_at_once(stage: &Stage) {
    stage.on("w1", "sysctl -qw net.ipv4.ip_forward=0");
    let mut first = Run::begin(stage);
    first.until(|_| true);
    first.signal(Signal::SIGSTOP);
    let second = stage.hoist(&["apply"]);
    first.signal(Signal::SIGCONT);
    second.exits(75).says("another run is at work on").says("hoist apply").within(15);
    assert_eq!(first.end(), Some(0), "the first goes on undisturbed");
    nothing_to_change(stage);
}

/// Killed right after its first event about the changed host, after its second, and so on until it ends before it
/// can be killed.
pub fn killed_while_changing(stage: &Stage) {
    let mut after = 1;
    loop {
        stage.on(
            "w1",
            "echo '# edited by hand' >> /etc/containerd/config.toml; sysctl -qw net.ipv4.ip_forward=0",
        );
        let mut run = Run::begin(stage);
        let mut left = after;
        let killed = loop {
            let Some(event) = run.next() else { break false };
            if event["host"] != "w1" || event["event"] == "role-done" {
                continue;
            }
            left -= 1;
            if event["event"] == "host-done" || left == 0 {
                break event["event"] != "host-done";
            }
        };
        if !killed {
            assert_eq!(run.end(), Some(0));
            break;
        }
        run.kill();
        stage.hoist(&["apply"]).exits(0).says("3 nodes ready");
        nothing_to_change(stage);
        after += 1;
    }
    assert!(after > 5, "only {after} events");
    nothing_to_change(stage);
}

/// A worker that lost everything joins again, and the run is killed while kubeadm is at work.
pub fn killed_while_joining(stage: &Stage) {
    const STEP: &str = "the host is a node of the cluster";
    stage.kubectl(&["delete", "node", "w2"]).exits(0);
    stage.on("w2", "kubeadm reset --force");
    stage.hoist(&["plan"]).exits(2).says("known after: the control plane is initialised");
    let mut run = Run::begin(stage);
    run.until(|event| is(event, "step-started", "w2", STEP));
    until("kubeadm is at work on w2", 20, || stage.holds_on("w2", "test -e /var/lib/hoist/kubeadm-at-work"));
    run.kill();
    stage.hoist(&["plan"]).exits(2);
    stage.hoist(&["apply"]).exits(0).says(&format!("w2 worker: {STEP}: was in flight")).says("3 nodes ready");
    nothing_to_change(stage);
    assert!(!stage.holds_on("w2", "test -e /var/lib/hoist"), "nothing of ours is left on the node");
    stage.kubectl(&["wait", "--for=condition=Ready", "node/w2", "--timeout=30s"]).exits(0);
}
