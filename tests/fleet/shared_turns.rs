//! Runs on different hosts of one cluster, whose commands must not run at the same time.

use std::{
    fs,
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Stdio},
};

use serde_json::Value;

use crate::{bed::Fleet, unreached::LIVES};

/// At work until it may go, and fails beside another one.
const ROLE: &str = "tasks:
  - name: alone
    command:
      run: |
        mkdir '{{ vars.root }}/at-work' || exit 9
        until [ -e '{{ vars.root }}/{{ host.name }}.go' ]; do sleep 0.1; done
        rmdir '{{ vars.root }}/at-work'
        touch '{{ vars.root }}/{{ host.name }}.done'
      creates: '{{ vars.root }}/{{ host.name }}.done'
      one_at_a_time: settings
      timeout: 60";

/// A run on one worker, in the background.
struct Run {
    child: Child,
    events: Lines<BufReader<ChildStdout>>,
}

impl Run {
    fn on(fleet: &Fleet, worker: &str) -> Run {
        let roles = fleet.path("roles");
        let arguments = ["apply", "--roles", roles.to_str().unwrap(), "--limit", worker, "--output", "json"];
        let log = fs::File::create(fleet.path(&format!("{worker}.log"))).unwrap();
        let mut child = fleet.command(&arguments).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap()).lines();
        Run { child, events }
    }

    /// Follows it to an event.
    #[track_caller]
    fn until(&mut self, fleet: &Fleet, worker: &str, kind: &str) -> Value {
        let mut seen = Vec::new();
        for line in self.events.by_ref() {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if event["event"] == kind {
                return event;
            }
            seen.push(event);
        }
        let log = fs::read_to_string(fleet.path(&format!("{worker}.log"))).unwrap();
        panic!("{worker} never says {kind}: {seen:?} {log}");
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn what_runs_on_one_host_at_a_time_does_so_in_all_runs_together() {
    let names = ["cp1", "w1", "w2", "w3"];
    let Some(fleet) = Fleet::start(&names) else { return };
    fleet.role("worker", ROLE);
    fleet.on("2222", 0, LIVES);
    fleet.write("root/cp1.touched", "");
    for index in 1..names.len() {
        fleet.on("2222", index, "mkdir -p /etc/kubernetes; touch /etc/kubernetes/kubelet.conf");
    }
    let mut first = Run::on(&fleet, "w1");
    first.until(&fleet, "w1", "step-started");
    let mut second = Run::on(&fleet, "w2");
    let waits = second.until(&fleet, "w2", "waiting");
    assert_eq!(waits["value"], "settings");
    let holder = waits["from"][0].as_str().unwrap();
    assert!(holder.starts_with("ada@") && holder.contains("--limit w1"), "{holder}");
    fleet.write("root/w1.go", "");
    first.until(&fleet, "w1", "host-done");
    second.until(&fleet, "w2", "step-started");

    // The turn of a run that is killed is over soon, though not before what it had begun on its host.
    let mut third = Run::on(&fleet, "w3");
    let waits = third.until(&fleet, "w3", "waiting");
    assert!(waits["from"][0].as_str().unwrap().contains("--limit w2"), "{waits}");
    fleet.write("root/w3.go", "");
    second.kill();
    fs::remove_dir(fleet.root().join("at-work")).unwrap();
    third.until(&fleet, "w3", "host-done");
    assert_eq!(fleet.left(), ["cp1.touched", "w1.done", "w1.go", "w3.done", "w3.go"]);
}
