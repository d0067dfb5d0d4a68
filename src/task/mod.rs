//! The task kinds: each is one idempotent statement about a host and says how to probe, diff and apply it.
//!
//! A task never talks to a host. It names what must be observed ([`Probe`]), compares what was observed
//! with what it states ([`Task::diff`]) and says what to do about it ([`Act`]). The probes of all tasks of a
//! host are compiled into one script, so that reading a host costs one round trip however many tasks it has.

mod account;
mod archive;
mod artifact;
mod change;
mod command;
mod copy;
mod debian_version;
mod edit;
mod file;
mod filesystem;
mod hostname;
mod image;
mod kernel;
mod line;
mod mount;
mod package;
mod probe;
mod require;
mod service;
mod swap;
#[cfg(test)]
mod tests;
mod whole;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::transport::quote;
use probe::octal;

pub use account::{AuthorizedKey, User};
pub use archive::Archive;
pub use artifact::{Artifact, fetch_script};
pub use change::{Change, Detail};
pub use command::{Command, Wait, main_line};
pub use copy::{Copy, Payload};
pub use file::{Absent, Directory, File, Mode, sha256};
pub(crate) use file::{file_mode, root};
pub use filesystem::Filesystem;
pub use hostname::Hostname;
pub use image::Image;
pub use kernel::{KernelModules, Sysctl};
pub use line::{Block, Line};
pub use mount::Mount;
pub use package::{Package, PackageFile};
pub use probe::{
    DiskState, ImageState, Observations, PathState, Probe, Text, UnitState, UserState, contents_script,
    probe_script,
};
pub use require::Require;
pub use service::Service;
pub use swap::SwapOff;

/// What a task does to a host, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Run this; a status other than 0 is a failure.
    Script { text: String, stdin: Option<Stdin>, timeout: Duration },
    /// Run this again and again until its status is 0, which is to be so within that time; then `explain`, which says
    /// why not. Each run lasts a few seconds at most, so that the host answers others in between: what is awaited may
    /// be the work of hosts that need something of this one first.
    Await { slice: String, explain: String, timeout: Duration },
    /// Put a file there.
    Send(Delivery),
}

/// A file on its way to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The local file.
    pub source: String,
    /// Absolute path on the host.
    pub destination: String,
    /// Lower-case hex.
    pub sha256: String,
    pub mode: Mode,
    /// Where the host can fetch it itself; what it cannot is sent.
    pub url: Option<String>,
    /// Whether hosts may pass it on to each other. Not so with what others must not read.
    pub public: bool,
    /// A folder where it will take up so many times its size besides.
    pub beside: Option<(String, u64)>,
}

impl Act {
    /// So long a check may take beyond the time in which it is to succeed.
    pub const SLOW_CHECK: Duration = Duration::from_secs(60);

    /// All of [`Act::Await`] as one script, for where nobody else asks the host.
    pub fn await_at_once(slice: &str, explain: &str, timeout: Duration) -> String {
        format!(
            "end=$(($(date +%s) + {}))\nuntil (\n{slice}\n); do\n[ \"$(date +%s)\" -lt $end ] || {{\n{explain}\n}}\ndone",
            timeout.as_secs()
        )
    }

    /// A script that answers at once.
    pub fn quick(text: String) -> Act {
        Act::Script { text, stdin: None, timeout: Duration::from_secs(60) }
    }

    /// Says why it cannot be done, and fails.
    fn refuse(why: &str) -> Act {
        Act::quick(format!("printf '%s\\n' {} >&2; exit 1", quote(why)))
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
    Copy(Copy),
    Directory(Directory),
    Absent(Absent),
    Line(Line),
    Block(Block),
    Package(Package),
    Service(Service),
    Sysctl(Sysctl),
    KernelModules(KernelModules),
    SwapOff(SwapOff),
    Hostname(Hostname),
    User(User),
    AuthorizedKey(AuthorizedKey),
    Filesystem(Filesystem),
    Mount(Mount),
    Artifact(Artifact),
    Archive(Archive),
    Image(Image),
    Command(Command),
    Wait(Wait),
    Require(Require),
}

/// What every kind answers.
trait Kind {
    /// What must be observed before this statement can be judged.
    fn probes(&self) -> Vec<Probe>;
    /// What is different from the statement; nothing when it already holds.
    fn diff(&self, seen: &Observations) -> Option<Change>;
    /// What makes it hold, given what was observed.
    fn acts(&self, seen: &Observations) -> Vec<Act>;
    /// Changes what was observed to what will be once it holds, as far as other statements depend on it.
    fn foresee(&self, _: &mut Observations) {}
    /// The turn that it needs to be made true, given what was observed.
    fn turn(&self, _: &Observations) -> Option<&str> {
        None
    }
    /// What is wrong with the statement itself, whatever the host.
    fn mistake(&self) -> Option<String> {
        None
    }
}

impl Task {
    fn kind(&self) -> &dyn Kind {
        match self {
            Task::File(task) => task,
            Task::Copy(task) => task,
            Task::Directory(task) => task,
            Task::Absent(task) => task,
            Task::Line(task) => task,
            Task::Block(task) => task,
            Task::Package(task) => task,
            Task::Service(task) => task,
            Task::Sysctl(task) => task,
            Task::KernelModules(task) => task,
            Task::SwapOff(task) => task,
            Task::Hostname(task) => task,
            Task::User(task) => task,
            Task::AuthorizedKey(task) => task,
            Task::Filesystem(task) => task,
            Task::Mount(task) => task,
            Task::Artifact(task) => task,
            Task::Archive(task) => task,
            Task::Image(task) => task,
            Task::Command(task) => task,
            Task::Wait(task) => task,
            Task::Require(task) => task,
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

    /// Changes what was observed to what will be once it holds, as far as statements that come later on the host
    /// depend on it: a text that two of them edit, a file that makes a unit restart.
    pub fn foresee(&self, seen: &mut Observations) {
        self.kind().foresee(seen);
    }

    /// The turn that it needs to be made true, given what was observed: whoever has one of that name is alone.
    pub fn turn(&self, seen: &Observations) -> Option<&str> {
        self.kind().turn(seen).filter(|name| !name.is_empty())
    }

    /// The file that it brings to the host, if that is one of those that hosts have in common.
    pub fn file(&self) -> Option<Delivery> {
        match self {
            Task::Artifact(artifact) => artifact.delivery(),
            Task::Image(image) => Some(image.delivery()),
            _ => None,
        }
    }

    /// What is wrong with the statement itself, whatever the host: what no schema can say.
    pub fn mistake(&self) -> Option<String> {
        self.kind().mistake()
    }

    /// Whether it answers at once, so that it can share a round trip with its neighbours.
    pub fn is_quick(&self) -> bool {
        match self {
            Task::Copy(copy) => copy.is_inline(),
            Task::File(_)
            | Task::Directory(_)
            | Task::Absent(_)
            | Task::Line(_)
            | Task::Block(_)
            | Task::Sysctl(_)
            | Task::KernelModules(_)
            | Task::Hostname(_)
            | Task::User(_)
            | Task::AuthorizedKey(_)
            | Task::Require(_) => true,
            Task::Package(_)
            | Task::Service(_)
            | Task::SwapOff(_)
            | Task::Filesystem(_)
            | Task::Mount(_)
            | Task::Artifact(_)
            | Task::Archive(_)
            | Task::Image(_)
            | Task::Command(_)
            | Task::Wait(_) => false,
        }
    }

    /// The text file this statement is about, whose present content a diff wants to show.
    pub fn text_path(&self) -> Option<&str> {
        match self {
            Task::File(file) if !file.secret => Some(&file.path),
            Task::Copy(copy) if !copy.secret && copy.text().is_some() => Some(&copy.path),
            _ => None,
        }
    }
}

/// Several values as words of a shell.
fn quote_all<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    values.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// Whether a text of a role still has to be rendered, so that it cannot be judged yet.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}
