//! How a run ended.

use std::{collections::BTreeMap, fmt::Write, path::Path, time::Duration};

use super::count;
use crate::engine::{Event, Outcome, Unread};

/// Who got how far in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Statements made true on the hosts that got to their end.
    pub changes: usize,
    pub converged: Vec<String>,
    pub failed: Vec<String>,
    /// Hosts and the host that each is blocked by.
    pub blocked: Vec<(String, String)>,
    pub unreached: Vec<String>,
    /// Add-ons that failed or are blocked.
    pub addons: Vec<String>,
}

impl Ended {
    /// From the outcomes of those that were worked on, and those that could not be.
    pub fn new(outcomes: &[(String, Outcome)], unread: &[Unread]) -> Ended {
        let unreached = unread.iter().map(|unread| unread.host.clone()).collect();
        let mut ended = Ended {
            changes: 0,
            converged: vec![],
            failed: vec![],
            blocked: vec![],
            unreached,
            addons: vec![],
        };
        for (host, outcome) in outcomes {
            match outcome {
                Outcome::Converged { changes } => {
                    ended.changes += changes;
                    ended.converged.push(host.clone());
                }
                Outcome::Failed(_) => ended.failed.push(host.clone()),
                Outcome::Blocked { by, .. } => ended.blocked.push((host.clone(), by.clone())),
            }
        }
        ended
    }

    /// The event that ends the run, which took so long and so many exchanges with each host.
    pub fn event(&self, took: Duration, exchanges: BTreeMap<String, usize>) -> Event {
        Event::RunEnded {
            changes: self.changes,
            failed: self.failed.clone(),
            blocked: self.blocked.iter().map(|(host, _)| host.clone()).collect(),
            unreached: self.unreached.clone(),
            addons: self.addons.clone(),
            exchanges,
            seconds: took.as_secs_f64(),
        }
    }

    /// What was done, in one line; nothing when a host failed or is blocked. `nodes` is how many are ready.
    pub fn summary(&self, took: Duration, nodes: Option<usize>) -> String {
        let whole = self.failed.is_empty() && self.blocked.is_empty() && self.addons.is_empty();
        if !whole || self.converged.is_empty() {
            return String::new();
        }
        let done = if self.unreached.is_empty() { "Done" } else { "The others are done" };
        let ready = nodes.map(|nodes| format!(", {} ready", count(nodes, "node"))).unwrap_or_default();
        format!("{done} in {:.1} s: {}{ready}.\n", took.as_secs_f64(), count(self.changes, "change"))
    }

    /// The hosts that did not get to their end, named once more, where to read about it and what to run when it is
    /// mended; nothing when all did. `command` is the command that this run was.
    pub fn not_finished(&self, log: Option<&Path>, command: &str) -> String {
        let failed = self.failed.iter().map(|host| format!("{host} failed"));
        let blocked = self.blocked.iter().map(|(host, by)| format!("{host} is blocked by {by}"));
        let unreached = self.unreached.iter().map(|host| format!("{host} cannot be used"));
        let addons = self.addons.iter().map(|addon| format!("add-on {addon} is not done"));
        let hosts: Vec<String> = failed.chain(blocked).chain(unreached).chain(addons).collect();
        if hosts.is_empty() {
            return String::new();
        }
        let mut text = format!("\nNot finished: {}.\n", hosts.join(", "));
        if let Some(log) = log {
            let _ = writeln!(text, "All that happened: {}", log.display());
        }
        let _ = writeln!(text, "When that is mended, run the same again: {command}");
        text
    }
}

/// What failed, a block a host.
pub fn failures(outcomes: &[(String, Outcome)]) -> String {
    let mut text = String::new();
    for (host, outcome) in outcomes {
        let _ = match outcome {
            Outcome::Converged { .. } => Ok(()),
            Outcome::Failed(failure) => writeln!(text, "\n{failure}"),
            Outcome::Blocked { role, step, by } => writeln!(
                text,
                "\n{host}: {role}: {step}: not begun, because of {by}\n  next: {by} comes first: mend it, or make it a \
                 part of the run"
            ),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Failure;

    fn outcomes() -> Vec<(String, Outcome)> {
        let failure = Failure {
            host: "w1".into(),
            role: "base".into(),
            step: "swap is off".into(),
            what: "it ended with status 1".into(),
            output: vec!["swapoff: busy".into()],
            cause: None,
            next: "mend it".into(),
        };
        let blocked =
            Outcome::Blocked { role: "worker".into(), step: "it is a node".into(), by: "cp1".into() };
        vec![
            ("cp1".into(), Outcome::Converged { changes: 1 }),
            ("w1".into(), Outcome::Failed(failure)),
            ("w2".into(), blocked),
        ]
    }

    #[test]
    fn whoever_did_not_get_there_is_named_at_the_end() {
        let unread = [Unread { host: "w3".into(), reason: "off".into() }];
        let ended = Ended::new(&outcomes(), &unread);
        insta::assert_snapshot!(
            failures(&outcomes()) + &ended.not_finished(Some(Path::new("/runs/1.log")), "hoist apply -i office.yaml"),
            @r"

        w1: base: swap is off: it ended with status 1
          | swapoff: busy
          next: mend it

        w2: worker: it is a node: not begun, because of cp1
          next: cp1 comes first: mend it, or make it a part of the run

        Not finished: w1 failed, w2 is blocked by cp1, w3 cannot be used.
        All that happened: /runs/1.log
        When that is mended, run the same again: hoist apply -i office.yaml
        "
        );
        assert_eq!(ended.summary(Duration::ZERO, Some(1)), "");
    }

    #[test]
    fn a_run_that_got_there_says_so_in_one_line() {
        let took = Duration::from_millis(1250);
        let good = Ended::new(&outcomes()[..1], &[]);
        assert_eq!(good.summary(took, Some(1)), "Done in 1.2 s: 1 change, 1 node ready.\n");
        assert_eq!(good.summary(took, None), "Done in 1.2 s: 1 change.\n");
        assert_eq!(good.not_finished(None, "hoist"), "");
        let partial = Ended::new(&outcomes()[..1], &[Unread { host: "w3".into(), reason: "off".into() }]);
        assert_eq!(
            partial.summary(took, Some(2)),
            "The others are done in 1.2 s: 1 change, 2 nodes ready.\n"
        );
    }
}
