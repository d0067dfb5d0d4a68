//! Runs that are killed at random points, again and again: whatever they leave, one more run mends it.

use std::{
    fs::File,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use crate::{
    nothing_to_change,
    stage::{Stage, text},
};

/// What is done to the cluster so that a run has something to do, and how long that run takes about, in seconds.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// Nodes that never saw hoist.
    FreshNodes,
    /// A worker that was taken out of the cluster and emptied.
    WorkerReset,
    /// A worker without two binaries and an image.
    ArtifactsLost,
    /// Changed files, a stopped unit and a changed kernel parameter, on all nodes.
    Drift,
}

impl Damage {
    /// The longest time after which the run is killed.
    fn seconds(self) -> f64 {
        match self {
            Damage::FreshNodes => 60.0,
            Damage::WorkerReset => 15.0,
            Damage::ArtifactsLost => 3.0,
            Damage::Drift => 1.5,
        }
    }

    fn inflict(self, stage: &Stage) {
        match self {
            Damage::FreshNodes => {
                stage.hoist(&["lab", "down"]).exits(0);
                stage.hoist(&["lab", "up"]).exits(0);
            }
            Damage::WorkerReset => {
                stage.hoist(&["kubeconfig", "--file", text(&stage.path("kubeconfig"))]).exits(0);
                stage.kubectl(&["delete", "node", "w2"]).exits(0);
                stage.on("w2", "kubeadm reset --force");
            }
            Damage::ArtifactsLost => {
                stage.on(
                    "w1",
                    "rm -f /usr/local/bin/kubeadm /usr/local/bin/kubectl\n\
                     ctr -n k8s.io images rm k8s.gcr.io/pause:3.2",
                );
            }
            Damage::Drift => {
                for node in ["cp1", "w1", "w2"] {
                    stage.on(
                        node,
                        "echo '# edited by hand' >> /etc/containerd/config.toml\n\
                         rm -f /etc/sysctl.d/90-kubernetes.conf\n\
                         sysctl -qw net.ipv4.ip_forward=0\nsystemctl disable -q --now kubelet",
                    );
                }
            }
        }
    }
}

/// Kills `kills` runs, of which the seed decides what they had to do and when they die. After each few of them one run
/// must converge, and then nothing be left to change.
pub fn at_random(stage: &Stage, seed: u64, kills: u32, damages: Damages) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut left = kills;
    let mut series = 0;
    while left > 0 {
        let damage = match damages {
            Damages::All if series == 0 => Damage::FreshNodes,
            _ => [Damage::WorkerReset, Damage::ArtifactsLost, Damage::Drift][random.usize(..3)],
        };
        series += 1;
        damage.inflict(stage);
        let begun = Instant::now();
        let mut delays = Vec::new();
        for _ in 0..random.u32(1..=5).min(left) {
            // Some early, some late: the beginning of a run is the shortest part of it.
            let delay = damage.seconds() * random.f64() * random.f64();
            delays.push(format!("{delay:.2}"));
            // One that had ended before it could be killed does not count.
            left -= u32::from(killed_after(stage, Duration::from_secs_f64(delay)));
        }
        stage.hoist(&["apply"]).exits(0).says("3 nodes ready");
        nothing_to_change(stage);
        eprintln!(
            "\n    {damage:?}, killed after {} s, mended after {:.1} s; {left} to go",
            delays.join(" s, "),
            begun.elapsed().as_secs_f64()
        );
    }
}

/// What may be done to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damages {
    /// Everything, beginning with fresh nodes.
    All,
    /// What leaves a cluster.
    KeepCluster,
}

/// Whether the run was still at work when it was killed.
fn killed_after(stage: &Stage, delay: Duration) -> bool {
    let log = stage.path("killed.log");
    let errors = File::create(&log).unwrap();
    let mut command = stage.command(&["apply"]);
    let mut child = command.stdout(Stdio::null()).stderr(errors).spawn().unwrap();
    thread::sleep(delay);
    let at_work = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    stage.hear(&std::fs::read_to_string(&log).unwrap());
    at_work
}
