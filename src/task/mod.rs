//! The task kinds: each is one idempotent statement about a host and says how to probe, diff and apply it.
//!
//! A task never talks to a host. It names what must be observed ([`Probe`]), compares what was observed
//! with what it states ([`Task::diff`]) and says what to do about it ([`Act`]). The probes of all tasks of a
//! host are compiled into one script, so that reading a host costs one round trip however many tasks it has.

mod artifact;
mod change;
mod command;
mod file;
mod kernel;
mod package;
mod probe;
mod service;
#[cfg(test)]
mod tests;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::transport::quote;

pub use artifact::{Artifact, Image};
pub use change::{Change, Detail};
pub use command::{Command, Wait, main_line};
pub use file::{Absent, Directory, File, Mode, sha256};
pub use kernel::{KernelModules, SwapOff, Sysctl};
pub use package::Package;
pub use probe::{Observations, PathState, Probe, UnitState, contents_script, probe_script};
pub use service::Service;

/// What a task does to a host, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Run this; a status other than 0 is a failure.
    Script { text: String, stdin: Option<Stdin>, timeout: Duration },
    /// Put a local file there.
    Send { source: String, destination: String, sha256: String, mode: Mode },
}

impl Act {
    /// A script that answers at once.
    pub fn quick(text: String) -> Act {
        Act::Script { text, stdin: None, timeout: Duration::from_secs(60) }
    }
}

/// What a command reads from its standard input: a template that is rendered just before the command runs,
/// because it may use values that exist only then. Never shown, never journalled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stdin {
    /// The template's path in `templates/`.
    pub template: String,
}

/// One statement about a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    File(File),
    Directory(Directory),
    Absent(Absent),
    Package(Package),
    Service(Service),
    Sysctl(Sysctl),
    KernelModules(KernelModules),
    SwapOff(SwapOff),
    Artifact(Artifact),
    Image(Image),
    Command(Command),
    Wait(Wait),
}

/// What every kind answers.
trait Kind {
    /// What must be observed before this statement can be judged.
    fn probes(&self) -> Vec<Probe>;
    /// What is different from the statement; nothing when it already holds.
    fn diff(&self, seen: &Observations) -> Option<Change>;
    /// What makes it hold, given what was observed.
    fn acts(&self, seen: &Observations) -> Vec<Act>;
}

impl Task {
    fn kind(&self) -> &dyn Kind {
        match self {
            Task::File(task) => task,
            Task::Directory(task) => task,
            Task::Absent(task) => task,
            Task::Package(task) => task,
            Task::Service(task) => task,
            Task::Sysctl(task) => task,
            Task::KernelModules(task) => task,
            Task::SwapOff(task) => task,
            Task::Artifact(task) => task,
            Task::Image(task) => task,
            Task::Command(task) => task,
            Task::Wait(task) => task,
        }
    }

    /// What must be observed before this statement can be judged.
    pub fn probes(&self) -> Vec<Probe> {
        self.kind().probes()
    }

    /// What is different from the statement; nothing when it already holds.
    pub fn diff(&self, seen: &Observations) -> Option<Change> {
        self.kind().diff(seen)
    }

    /// What makes it hold, given what was observed.
    pub fn acts(&self, seen: &Observations) -> Vec<Act> {
        self.kind().acts(seen)
    }

    /// Whether it answers at once, so that it can share a round trip with its neighbours.
    pub fn is_quick(&self) -> bool {
        matches!(
            self,
            Task::File(_)
                | Task::Directory(_)
                | Task::Absent(_)
                | Task::Sysctl(_)
                | Task::KernelModules(_)
                | Task::SwapOff(_)
        )
    }

    /// Changes what was observed to what will be, as far as statements that come later on the host depend on it:
    /// a file that is written becomes newer than every unit, and a unit's own file makes the unit stale.
    pub fn foresee(&self, seen: &mut Observations) {
        let path = match self {
            Task::File(file) => &file.path,
            Task::Artifact(artifact) => &artifact.path,
            _ => return,
        };
        seen.paths.entry(path.clone()).or_default().modified = u64::MAX.to_string();
        for (name, unit) in &mut seen.units {
            let own =
                path.strip_prefix("/etc/systemd/system/").and_then(|file| file.strip_prefix(name.as_str()));
            unit.stale |=
                own.is_some_and(|rest| rest.is_empty() || rest.starts_with(".d/")) && unit.load == "loaded";
        }
    }

    /// The text file this statement is about, whose present content a diff wants to show.
    pub fn text_path(&self) -> Option<&str> {
        match self {
            Task::File(file) if !file.secret => Some(&file.path),
            _ => None,
        }
    }
}

/// Several values as words of a shell.
fn quote_all<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    values.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}
