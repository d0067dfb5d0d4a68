//! What happens during a run: the one source of the terminal's progress, the JSON lines and the log.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::Failure;

/// Something that happened. Times are seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A step was in flight when the run before was interrupted; it is looked at again.
    Interrupted { host: String, role: String, step: String },
    /// A host cannot be reached or used; the run goes on without it.
    HostUnreached { host: String, reason: String },
    /// Something about hosts that the run goes on with, although it may come to matter.
    Warned { check: String, hosts: Vec<String>, observed: String, expected: String, fix: String },
    /// A host's work begins.
    HostStarted { host: String, changes: usize },
    /// A host waits for a value that only other hosts' roles give, one of these.
    Waiting { host: String, role: String, step: String, value: String, from: Vec<String> },
    /// A statement is about to be made true.
    StepStarted { host: String, role: String, step: String, summary: String },
    /// How much of a file has been sent from here.
    Sent { host: String, step: String, bytes: u64 },
    /// A file cannot be had from a neighbour or a URL; the next way is taken.
    Fallback { host: String, step: String, from: String, reason: String },
    /// A host has a file that others need, and cannot pass it on to them.
    NotPassedOn { host: String, step: String, reason: String },
    /// A file is there: from `installer`, a neighbour by its name, or a URL.
    Received { host: String, step: String, from: String, bytes: u64, seconds: f64 },
    /// It is true now.
    StepDone { host: String, role: String, step: String, seconds: f64 },
    /// A role's statements all hold.
    RoleDone { host: String, role: String, seconds: f64 },
    /// A host was probed again after its last change, and nothing is left to change.
    HostDone { host: String, changes: usize, seconds: f64 },
    /// A host stops here.
    HostFailed { host: String, failure: Failure },
    /// A host stops here because of another one.
    HostBlocked { host: String, role: String, step: String, by: String },
    /// A node has the labels and taints that the inventory gives it.
    NodeMarked { node: String, summary: String },
    /// An add-on's work begins.
    AddonStarted { addon: String, changes: usize },
    /// A step of it is about to be made.
    AddonStep { addon: String, step: String },
    /// What it waits for, or why something is tried again.
    AddonWaits { addon: String, reason: String },
    /// It was used, and did what it is for: what was seen.
    AddonProved { addon: String, gate: String, seen: Vec<String> },
    /// It is as it shall be.
    AddonDone { addon: String, changes: usize, seconds: f64 },
    /// It stops here.
    AddonFailed { addon: String, failure: Failure },
    /// It is not begun, because of another one.
    AddonBlocked { addon: String, by: String },
    /// The run is over, with so many changes made; the lists name the hosts that did not get to their end.
    RunEnded {
        changes: usize,
        failed: Vec<String>,
        blocked: Vec<String>,
        unreached: Vec<String>,
        /// Add-ons that failed or are blocked.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        addons: Vec<String>,
        /// How many scripts and files each host that was reached was given, by name.
        exchanges: BTreeMap<String, usize>,
        seconds: f64,
    },
}

impl Event {
    /// One line of JSON: the event, and before everything else when it happened.
    pub fn line(&self, at: Timestamp) -> String {
        let mut line = Map::from_iter([("at".to_string(), Value::String(moment(at)))]);
        // Events hold strings, numbers and lists of them: they always have a JSON form.
        if let Ok(Value::Object(fields)) = serde_json::to_value(self) {
            line.extend(fields);
        }
        Value::Object(line).to_string()
    }
}

/// A point in time as everything that is written down has it: RFC 3339, UTC, milliseconds.
pub(super) fn moment(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Where events go. Nobody listening is fine.
#[derive(Debug, Clone)]
pub struct Events(mpsc::UnboundedSender<Event>);

/// A way in and a way out.
pub fn events() -> (Events, mpsc::UnboundedReceiver<Event>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Events(sender), receiver)
}

impl Events {
    /// Tells whoever listens.
    pub fn send(&self, event: Event) {
        // The listener may have gone; the run goes on.
        let _ = self.0.send(event);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_event_stands_in_the_documents() {
        let between = |text: &'static str, begin: &str, end: &str| {
            text.split_once(begin).unwrap().1.split_once(end).unwrap().0
        };
        let kinds = between(include_str!("event.rs"), "pub enum Event {\n", "\n}\n");
        let kinds = kinds.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(" {"));
        let kinds = kinds.filter(|(kind, _)| kind.starts_with(char::is_uppercase));
        let kebab = |kind: &str| {
            let letters = kind.chars().map(|letter| match letter.is_uppercase() {
                true => format!("-{}", letter.to_ascii_lowercase()),
                false => letter.to_string(),
            });
            letters.collect::<String>().trim_start_matches('-').to_owned()
        };
        let kinds: BTreeSet<String> = kinds.map(|(kind, _)| kebab(kind)).collect();
        let told = between(include_str!("../../docs/operations.md"), "Events are\n", " with the names");
        let told: BTreeSet<String> = told.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert_eq!(told, kinds);
    }

    #[test]
    fn a_line_begins_with_its_time() {
        let event = Event::HostStarted { host: "w1".into(), changes: 2 };
        let at = Timestamp::from_millisecond(1_795_239_764_007).unwrap();
        insta::assert_snapshot!(
            event.line(at),
            @r#"{"at":"2026-11-21T05:42:44.007Z","event":"host-started","host":"w1","changes":2}"#
        );
    }
}
