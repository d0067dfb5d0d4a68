//! Runs that are killed at random points, again and again: whatever they leave, one more run mends it.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    process::Stdio,
    thread,
    time::Instant,
};

use crate::{
    moments::{Moment, Progress},
    stage::{Stage, text},
};

/// The cluster that runs are killed on.
pub struct Bed {
    pub stage: Stage,
    hosts: usize,
    /// How many of its hosts are nodes.
    nodes: usize,
    damages: &'static [Damage],
}

impl Bed {
    /// One control plane and two workers.
    pub fn three_nodes(stage: Stage) -> Bed {
        Bed {
            stage,
            hosts: 3,
            nodes: 3,
            damages: &[Damage::WorkerReset, Damage::ArtifactsLost, Damage::Drift],
        }
    }

    /// Three members of etcd, two control planes behind a virtual address, two workers.
    pub fn highly_available(stage: Stage) -> Bed {
        let damages = &[
            Damage::WorkerReset,
            Damage::ArtifactsLost,
            Damage::Drift,
            Damage::MemberLost,
            Damage::ControlPlaneLost,
        ];
        Bed { stage, hosts: 7, nodes: 4, damages }
    }

    /// One run makes everything true, and the next finds nothing to do.
    fn mended(&self) {
        self.stage.hoist(&["apply"]).exits(0).says(&format!("{} nodes ready", self.nodes));
        self.stage.hoist(&["plan"]).exits(0).says("Nothing to change");
    }

    /// These nodes with new disks.
    fn fresh(&self, nodes: &[&str]) {
        self.stage.hoist(&[&["lab", "down"], nodes].concat()).exits(0);
        self.stage.hoist(&["lab", "up", "-i", text(&self.stage.path("inventory.yaml"))]).exits(0);
    }
}

/// What is done to the cluster so that a run has something to do, and how long its longest step takes about, in seconds.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// Nodes that never saw hoist.
    FreshNodes,
    /// A worker that was taken out of the cluster and emptied.
    WorkerReset,
    /// A worker without two binaries and an image.
    ArtifactsLost,
    /// Changed files, a stopped unit and a changed kernel parameter, on three nodes.
    Drift,
    /// A member of etcd without its disk.
    MemberLost,
    /// A control plane without its disk.
    ControlPlaneLost,
}

impl Damage {
    fn longest_step(self) -> f64 {
        match self {
            Damage::FreshNodes | Damage::ControlPlaneLost => 20.0,
            Damage::WorkerReset | Damage::MemberLost => 8.0,
            Damage::ArtifactsLost | Damage::Drift => 1.0,
        }
    }

    fn inflict(self, bed: &Bed) {
        let stage = &bed.stage;
        match self {
            Damage::FreshNodes => bed.fresh(&[]),
            Damage::MemberLost => bed.fresh(&["e2"]),
            Damage::ControlPlaneLost => bed.fresh(&["cp2"]),
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
                         rm -f /etc/sysctl.d/zz-kubernetes.conf\n\
                         sysctl -qw net.ipv4.ip_forward=0\nsystemctl disable -q --now kubelet",
                    );
                }
            }
        }
    }
}

/// Kills `kills` runs, of which the seed decides what they had to do and when they die, on a cluster that is there or,
/// `from_nothing`, on fresh nodes. After each few of them one run must converge, and then nothing be left to change.
pub fn at_random(bed: &Bed, seed: u64, kills: u32, from_nothing: bool) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut left = kills;
    let mut begins = from_nothing;
    while left > 0 {
        let damage = if begins { Damage::FreshNodes } else { bed.damages[random.usize(..bed.damages.len())] };
        begins = false;
        damage.inflict(bed);
        let begun = Instant::now();
        let mut moments = Vec::new();
        for _ in 0..random.u32(1..=5).min(left) {
            let moment = Moment::any(&mut random, damage.longest_step());
            // One that had ended before it could be killed does not count, and left nothing for another one to do.
            if !killed_at(bed, moment) {
                break;
            }
            left -= 1;
            moments.push(match moment {
                Moment::Before(delay) => format!("{:.2} s after its start", delay.as_secs_f64()),
                Moment::Within { part, later } => {
                    format!("at {:.0} % and {:.2} s", 100.0 * part, later.as_secs_f64())
                }
            });
        }
        bed.mended();
        eprintln!(
            "\n    {damage:?}, killed {}, mended after {:.1} s; {left} to go",
            moments.join(", "),
            begun.elapsed().as_secs_f64()
        );
    }
}

/// Whether the run was still at work when it was killed.
fn killed_at(bed: &Bed, moment: Moment) -> bool {
    let stage = &bed.stage;
    let log = stage.path("killed.log");
    let errors = File::create(&log).unwrap();
    let mut command = stage.command(&["apply", "--output", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    match moment {
        Moment::Before(delay) => thread::sleep(delay),
        Moment::Within { part, later } => {
            let mut progress = Progress::default();
            while !progress.reached(bed.hosts, part) {
                // Where it ends it was not to be killed.
                let Some(line) = lines.next() else { break };
                let line = line.unwrap();
                progress.hear(&serde_json::from_str(&line).unwrap());
                stage.hear(&line);
            }
            thread::sleep(later);
        }
    }
    let at_work = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had said when it died may end in the middle of a line.
    lines.map_while(Result::ok).for_each(|line| stage.hear(&line));
    stage.hear(&std::fs::read_to_string(&log).unwrap());
    at_work
}
