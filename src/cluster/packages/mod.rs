//! Packages of the hosts' operating systems where no host has a repository: which they are, and who gets which files.
//!
//! [`ask`] learns from one host of each distribution and release what the roles' packages need, to be pinned; [`Pinned`]
//! gives the statements of a run the files that were pinned.

mod answer;
mod ask;
mod pinned;

use crate::{engine, exit::Exit, transport};

pub use ask::ask;
pub use pinned::Pinned;

/// Why packages cannot be pinned or installed from what is pinned.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Engine(#[from] engine::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Transport(#[from] transport::Error),
    #[error("packages can be pinned only when every host says what it is, and these do not: {}", hosts.join(", "))]
    #[diagnostic(help(
        "see to it that they can be reached, or name hosts that stand for them with --ask: an inventory of machines \
         with the same operating systems"
    ))]
    Unreached { hosts: Vec<String>, exit: Exit },
    #[error("{host} is of the architecture {architecture}, for which nothing is released")]
    #[diagnostic(help("hosts are x86_64 or aarch64"))]
    Architecture { host: String, architecture: String },
    #[error("the repositories of {host} ({os}) do not give what roles install:\n{output}")]
    #[diagnostic(help(
        "`apt-get update` and `apt-get install` (or dnf) must work on this host; if it has no way to a repository, ask \
         another machine of the same operating system with --ask"
    ))]
    Refused { host: String, os: String, output: String },
    #[error("{host} answers what is no package with an http address: {line}")]
    #[diagnostic(help(
        "packages are downloaded from the addresses in the host's package sources: they must begin with http:// or \
         https://"
    ))]
    BadAnswer { host: String, line: String },
    #[error("no packages are pinned for {host}, which is {os}")]
    #[diagnostic(help(
        "`hoist lock -i INVENTORY --update` asks a host of each operating system and pins them; `hoist bundle create` \
         then makes the bundle anew; pinned are those for: {pinned}"
    ))]
    UnknownSystem { host: String, os: String, pinned: String },
    #[error("{host}: the role {role} installs {name}, which is not pinned for {os}")]
    #[diagnostic(help(
        "`hoist lock -i INVENTORY --update` asks a host and pins it; `hoist bundle create` then makes the bundle anew"
    ))]
    NotPinned { host: String, role: String, name: String, os: String },
}

impl Error {
    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Engine(error) => error.exit(),
            Error::Transport(error) => error.exit(),
            Error::Unreached { exit, .. } => *exit,
            Error::Architecture { .. } | Error::Refused { .. } | Error::BadAnswer { .. } => Exit::Failed,
            Error::UnknownSystem { .. } | Error::NotPinned { .. } => Exit::Data,
        }
    }
}
