//! Commands behind a guard, and waiting for a condition.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, Change, Detail, Kind, Observations, Probe, Stdin, probe::later, quote};

fn ten_minutes() -> u64 {
    600
}

fn two_minutes() -> u64 {
    120
}

/// A command that runs when its guard says that it has not done its work yet: `creates`, `unless`, or `after` with
/// `stamp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// POSIX sh.
    pub run: String,
    /// A path that exists when the work is done.
    #[serde(default)]
    pub creates: Option<String>,
    /// A check (POSIX sh) that succeeds when the work is done.
    #[serde(default)]
    pub unless: Option<String>,
    /// Files that the command reads. Its work is done when `stamp` is there and none of them is newer.
    #[serde(default)]
    pub after: Vec<String>,
    /// An empty file that hoist makes when the command has succeeded. It is as old as the command's beginning, so
    /// that a file which changes meanwhile counts as newer. Below `/run` it is gone after a reboot.
    #[serde(default)]
    pub stamp: Option<String>,
    /// What the command reads from its standard input, rendered just before it runs.
    #[serde(default)]
    pub stdin: Option<Stdin>,
    /// POSIX sh whose output, on either stream, explains why the command failed.
    #[serde(default)]
    pub explain: Option<String>,
    /// Seconds it may take.
    #[serde(default = "ten_minutes")]
    pub timeout: u64,
    /// What it interrupts, shown in plans.
    #[serde(default)]
    pub disrupts: Option<String>,
    /// A name: of the commands that have it, one runs at a time on all hosts together, in whatever run of the cluster.
    /// When one fails, those that wait are not begun in this run. Empty: no such limit.
    #[serde(default)]
    pub one_at_a_time: Option<String>,
    /// Values that exist only when the run gets there, and after what: shown in plans.
    #[serde(default)]
    pub known_after: Option<String>,
}

/// Something that becomes true by itself soon, such as an API server that starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// What is awaited, in words that fit after "wait until".
    pub until: String,
    /// A check (POSIX sh) that succeeds when it is true.
    pub check: String,
    /// POSIX sh whose output explains why it did not become true.
    #[serde(default)]
    pub explain: Option<String>,
    /// Seconds after which it is a failure.
    #[serde(default = "two_minutes")]
    pub timeout: u64,
}

/// So long others who ask the host something wait at most, besides a check's own time.
const SLICE: Duration = Duration::from_secs(2);

/// The line of a script that says what it does: the last one, after what prepares it.
pub fn main_line(script: &str) -> &str {
    script.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim()
}

impl Command {
    fn is_done(&self, seen: &Observations) -> bool {
        let created = self.creates.as_ref().is_some_and(|path| seen.paths.contains_key(path));
        let passed = self.unless.as_ref().is_some_and(|check| seen.passed.contains(check));
        let stamped = self.stamp.as_ref().and_then(|path| seen.paths.get(path)).is_some_and(|stamp| {
            let files = self.after.iter().filter_map(|path| seen.paths.get(path));
            !files.into_iter().any(|file| later(&file.modified, &stamp.modified))
        });
        created || passed || stamped
    }
}

impl Kind for Command {
    fn probes(&self) -> Vec<Probe> {
        let paths = self.creates.iter().chain(&self.stamp).chain(&self.after);
        paths.cloned().map(Probe::Path).chain(self.unless.clone().map(Probe::Check)).collect()
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        if self.is_done(seen) {
            return None;
        }
        let mut change = Change::new(format!("run {}", main_line(&self.run)));
        change.disrupts = self.disrupts.clone();
        if let Some(after) = &self.known_after {
            change.details.push(Detail::KnownAfter { what: "its input".to_string(), after: after.clone() });
        }
        Some(change)
    }

    fn acts(&self, _: &Observations) -> Vec<Act> {
        let text = match &self.stamp {
            None => self.run.clone(),
            Some(stamp) => {
                let (folder, name) = stamp.rsplit_once('/').unwrap_or(("", stamp));
                let part = quote(&format!("{folder}/.{name}.hoist"));
                format!(
                    "mkdir -p {} && : > {part} || exit 1\n(\n{}\n) || {{ s=$?; rm -f {part}; exit $s; }}\nmv -f {part} {}",
                    quote(if folder.is_empty() { "/" } else { folder }),
                    self.run,
                    quote(stamp)
                )
            }
        };
        let text = match &self.explain {
            None => text,
            Some(explain) => format!("(\n{text}\n) || {{\ns=$?\n(\n{explain}\n) >&2 </dev/null\nexit $s\n}}"),
        };
        let timeout = Duration::from_secs(self.timeout);
        vec![Act::Script { text, stdin: self.stdin.clone(), timeout }]
    }

    fn turn(&self, _: &Observations) -> Option<&str> {
        self.one_at_a_time.as_deref()
    }

    fn mistake(&self) -> Option<String> {
        let other = self.creates.is_some() || self.unless.is_some();
        match (&self.stamp, self.after.is_empty()) {
            (None, true) if !other => Some(
                "a command needs `creates` or `unless`, or `after` with `stamp`, or it would run every time"
                    .to_string(),
            ),
            (None, false) => Some("`after` needs a `stamp` to compare its files with".to_string()),
            (Some(_), true) => Some("`stamp` needs `after`: which files is it compared with?".to_string()),
            (Some(_), false) if other => {
                Some("a command has one guard: `after` with `stamp`, or `creates` and `unless`".to_string())
            }
            _ => None,
        }
    }
}

impl Kind for Wait {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Check(self.check.clone())]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        (!seen.passed.contains(&self.check)).then(|| Change::new(format!("wait until {}", self.until)))
    }

    fn acts(&self, _: &Observations) -> Vec<Act> {
        let message = quote(&format!("waited {} s in vain until {}", self.timeout, self.until));
        let explain = self.explain.as_deref().unwrap_or(":");
        // A check may take long itself, so that the end is a time and not a count.
        let slice = format!(
            "end=$(($(date +%s) + {}))\nwhile :; do\n(\n{}\n) >/dev/null 2>&1 </dev/null && exit 0\n\
             [ \"$(date +%s)\" -lt $end ] || exit 1\nsleep 0.25 2>/dev/null || sleep 1\ndone",
            SLICE.as_secs().min(self.timeout),
            self.check
        );
        let explain = format!("echo {message} >&2\n(\n{explain}\n) >&2\nexit 1");
        vec![Act::Await { slice, explain, timeout: Duration::from_secs(self.timeout) }]
    }
}
