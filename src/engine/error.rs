//! What can go wrong in the engine before hosts are changed; what goes wrong on one of them is a `Failure`.

use std::{ops::Range, path::PathBuf};

use super::Mistake;
use crate::{exit::Exit, transport, yaml};

/// Why roles could not be compiled or a run not be carried out at all.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error("there is no role \"{name}\"")]
    #[diagnostic(help("the roles are: {}", known.join(", ")))]
    NoRole { name: String, known: Vec<String> },
    #[error("there is no template \"{path}\"")]
    #[diagnostic(help("a role names it: add templates/{path}, or mend the name in the role"))]
    NoTemplate { path: String },
    #[error("there is no file \"{path}\"")]
    #[diagnostic(help("a role copies it: add it, or mend the name in the role"))]
    NoFile { path: String },
    #[error("role \"{role}\" needs `vars.{name}`")]
    #[diagnostic(help(
        "the role has no default for it: give it under `vars` in the inventory, or under the host's"
    ))]
    NoInput { role: String, name: String },
    #[error("roles need each other in a circle: {}", circle.join(" -> "))]
    #[diagnostic(help("remove one of them from the `needs` of the other"))]
    Circle { circle: Vec<String> },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Role(#[from] yaml::Problems),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Template(Box<Mistake>),
    #[error("two roles provide \"{name}\": {first} and {second}")]
    #[diagnostic(help("rename one of them"))]
    ProvidedTwice { name: String, first: String, second: String },
    #[error("no role of this run provides \"{name}\", which {place} uses")]
    #[diagnostic(help("give a host the role that provides it"))]
    NotProvided { name: String, place: String },
    #[error("failed to read {}", path.display())]
    #[diagnostic(help("check the folder given with --roles"))]
    Unreadable {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("failed to write the run's journal {}", path.display())]
    #[diagnostic(help(
        "nothing is changed without a journal: make room or make the folder writable, then run again"
    ))]
    Journal {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("another run is at work on {host}: {holder}")]
    #[diagnostic(help("wait for it to end; the lock goes away with the other run's connection"))]
    Locked { host: String, holder: String },
    #[error("failed to lock {host}: {reason}")]
    #[diagnostic(help("flock (of util-linux) must be installed there, and /run be writable"))]
    Unlockable { host: String, reason: String },
    #[error("{} is no plan that this hoist can read: {reason}", path.display())]
    #[diagnostic(help("make one with `hoist plan --out FILE`; an inventory is given with `-i`"))]
    NoPlan { path: PathBuf, reason: String },
    #[error("failed to read the plan {}", path.display())]
    #[diagnostic(help("name the file that `hoist plan --out FILE` wrote; an inventory is given with `-i`"))]
    UnreadablePlan {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("failed to write the plan {}", path.display())]
    #[diagnostic(help("the file's folder must exist and be writable, with some space left"))]
    UnwritablePlan {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("the plan does not fit any more: {}", differences.join("; "))]
    #[diagnostic(help(
        "nothing was changed: make the plan again with `hoist plan --out FILE` and look at it"
    ))]
    Outdated { differences: Vec<String> },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Transport(#[from] transport::Error),
}

impl Error {
    /// The same, saying for which statement a template was rendered.
    pub(super) fn used_by(self, user: &str) -> Error {
        match self {
            Error::Template(mistake) => mistake.used_by(user).into(),
            other => other,
        }
    }

    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Locked { .. } => Exit::Temporary,
            Error::Outdated { .. } => Exit::Outdated,
            Error::Unlockable { .. } => Exit::Failed,
            Error::Journal { .. }
            | Error::Unreadable { .. }
            | Error::UnreadablePlan { .. }
            | Error::UnwritablePlan { .. } => Exit::Os,
            Error::Transport(error) => error.exit(),
            _ => Exit::Data,
        }
    }
}

/// What an error of the template language says.
pub(super) struct Reason {
    /// The whole chain: the outermost message alone does not say which name it is.
    pub words: String,
    /// The innermost alone, without its place.
    pub core: String,
    pub help: &'static str,
    /// What was rendered when it occurred: the innermost, of templates that include others. So are these two.
    pub name: Option<String>,
    pub line: Option<usize>,
    /// In bytes.
    pub range: Option<Range<usize>>,
}

pub(super) fn reason(error: &minijinja::Error) -> Reason {
    let mut words = error.to_string();
    let mut inner = error;
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words.push_str(&format!(": {cause}"));
        inner = cause.downcast_ref().unwrap_or(inner);
        source = cause.source();
    }
    let help = match inner.kind() {
        minijinja::ErrorKind::UndefinedError => {
            "a name in it is not defined: check its spelling, or give it a value under `vars`"
        }
        _ => "mend the template",
    };
    let detail = inner.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    let core = format!("{}{detail}", inner.kind());
    Reason {
        words,
        core,
        help,
        name: inner.name().map(str::to_owned),
        line: inner.line(),
        range: inner.range(),
    }
}
