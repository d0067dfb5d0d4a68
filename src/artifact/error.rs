//! Why artifacts cannot be had or used.

use std::path::{Path, PathBuf};

use crate::{exit::Exit, yaml};

/// Why artifacts cannot be had or used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error("there are no artifacts for Kubernetes {version} in {}", folder.display())]
    #[diagnostic(help(
        "`hoist lock --fetch` downloads them, `hoist lab setup` makes those of the lab; `artifacts.folder` in the \
         inventory says where they are"
    ))]
    Missing { version: String, folder: PathBuf },
    #[error("failed to read {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("failed to write {}", path.display())]
    Unwritable {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("{} is no index of artifacts: {reason}", path.display())]
    #[diagnostic(help("make the folder again: `hoist lock --fetch`, or `hoist lab setup` for the lab's"))]
    Broken { path: PathBuf, reason: String },
    #[error("{} is {found} bytes long, its index says {expected}", path.display())]
    #[diagnostic(help("the file is damaged or half copied: remove it and make the folder again"))]
    Damaged { path: PathBuf, expected: u64, found: u64 },
    #[error("nothing is known of Kubernetes {version}")]
    #[diagnostic(help("the catalogue has releases of these minors: {known}"))]
    UnknownRelease { version: String, known: String },
    #[error(transparent)]
    #[diagnostic(transparent)]
    UnreadableLock(#[from] yaml::ReadError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Mistakes(#[from] yaml::Problems),
    #[error("there is no {}", path.display())]
    #[diagnostic(help("write it first: `hoist lock -i INVENTORY`"))]
    NoLock { path: PathBuf },
    #[error("{} does not fit any more:\n{}", path.display(), differences.join("\n"))]
    #[diagnostic(help(
        "if the inventory was changed on purpose, write the lock anew with --update; if a digest changed although the \
         version did not, somebody replaced a released file: find out who before you do that"
    ))]
    LockDiffers { path: PathBuf, differences: Vec<String> },
    #[error("{} is for Kubernetes {locked}, the inventory wants {wanted}", path.display())]
    #[diagnostic(help("write it anew: `hoist lock -i INVENTORY --update`"))]
    OtherVersion { path: PathBuf, locked: String, wanted: String },
    #[error("the artifacts in {} are not those that {} pins", place.display(), lock.display())]
    #[diagnostic(help(
        "bring them there: `hoist lock -i INVENTORY --fetch`; or remove the lock if they are right"
    ))]
    NotPinned { place: PathBuf, lock: PathBuf },
    #[error("there is no {}, which says where hosts fetch files (`artifacts.from: origin`)", lock.display())]
    #[diagnostic(help(
        "write it: `hoist lock -i INVENTORY --fetch`; or have hosts pass files on to each other: `from: peers`"
    ))]
    NoOrigins { lock: PathBuf },
    #[error("{} holds other artifacts: {origin}", folder.display())]
    #[diagnostic(help("name another folder with `artifacts.folder` in the inventory, or remove this one"))]
    NotOurs { folder: PathBuf, origin: String },
    #[error("`{url}` is not an address of artifacts: {reason}")]
    #[diagnostic(help(
        "write http://HOST/PATH, https://HOST/PATH or, for files, an absolute path of a folder"
    ))]
    BadUrl { url: String, reason: String },
    #[error("failed to prepare for downloads")]
    #[diagnostic(help(
        "the certificates of this machine cannot be used: install them (Debian: ca-certificates)"
    ))]
    NoClient {
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("failed to download {url}")]
    #[diagnostic(help(
        "check the network and HTTPS_PROXY; a site without internet takes a mirror (--mirror, --registry) or a bundle"
    ))]
    Unreachable {
        url: String,
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{url} leads to where hoist does not follow")]
    #[diagnostic(help(
        "a redirect must stay with https and come to an end; the server, or a proxy on the way, is set up wrong"
    ))]
    Redirected {
        url: String,
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{url} is answered with {status}")]
    #[diagnostic(help("{}", advice(*status)))]
    Refused { url: String, status: u16 },
    #[error("{url} ended after {found} of {expected} bytes")]
    #[diagnostic(help("the connection was cut again and again: run it again, it goes on where it stopped"))]
    Short { url: String, expected: u64, found: u64 },
    #[error("{url} is larger than {limit} bytes")]
    #[diagnostic(help("no artifact is that large: is this the right address?"))]
    TooLarge { url: String, limit: u64 },
    #[error("{what} has the digest {found}, expected {expected}")]
    #[diagnostic(help(
        "it is damaged, or it is not what was pinned: do not use it; take it from another source"
    ))]
    WrongDigest { what: String, expected: String, found: String },
    #[error("{url} says nothing of {file}")]
    #[diagnostic(help("it should hold a SHA-256, alone or in a line with the file's name"))]
    NoChecksum { url: String, file: String },
    #[error("{what} is not what a container registry answers: {reason}")]
    #[diagnostic(help("is this the address of a registry that has the image?"))]
    BadImage { what: String, reason: String },
    #[error("{url} is no repository of charts as expected: {reason}")]
    #[diagnostic(help(
        "compare name, version and address under `artifacts.charts` with what `helm search repo --versions` says"
    ))]
    BadRepository { url: String, reason: String },
    #[error("there is no chart for the add-on {name}: {reason}")]
    #[diagnostic(help(
        "name its chart under `artifacts.charts` in the inventory, and the images that it runs under \
         `artifacts.images`"
    ))]
    UnknownChart { name: String, reason: String },
    #[error("{what} holds no logins that can be used: {reason}")]
    #[diagnostic(help("write it anew: `docker login REGISTRY`; hoist asks no credential helper"))]
    BadLogins { what: String, reason: String },
    #[error("{registry} lets nobody in without a token, and there is none: {reason}")]
    #[diagnostic(help(
        "`docker login {registry}` keeps a login in ~/.docker/config.json, where hoist finds it; DOCKER_AUTH_CONFIG \
         holds the same in the environment; or take the images from a mirror (--registry)"
    ))]
    NoToken { registry: String, reason: String },
    #[error("no space for {}: up to {needed} bytes are needed, {free} are free there", path.display())]
    #[diagnostic(help(
        "free some, or go where there is more: HOIST_CACHE moves the cache; everything in it but the lab can be deleted"
    ))]
    NoSpace { path: PathBuf, needed: u64, free: u64 },
    #[error("another run is at work on {what}")]
    #[diagnostic(help("wait for it to finish; what it has made is then there"))]
    Busy { what: String },
    #[error("{} has no file {member}", archive.display())]
    #[diagnostic(help(
        "the release is packed in another way than the ones before: this version of hoist cannot use it"
    ))]
    NoMember { archive: PathBuf, member: String },
    #[error("{} is no bundle: {reason}", path.display())]
    #[diagnostic(help(
        "`hoist bundle create` makes one; a file that was cut while it was copied is to be copied again"
    ))]
    BadBundle { path: PathBuf, reason: String },
    #[error("{} is damaged at byte {offset} of its unpacked content: {reason}", path.display())]
    #[diagnostic(help("copy the file again, or make it again: `hoist bundle create`"))]
    DamagedBundle { path: PathBuf, offset: u64, reason: String },
}

impl Error {
    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Error::UnknownRelease { .. }
            | Error::Mistakes(_)
            | Error::LockDiffers { .. }
            | Error::OtherVersion { .. }
            | Error::NotPinned { .. }
            | Error::NoOrigins { .. }
            | Error::NotOurs { .. }
            | Error::UnknownChart { .. }
            | Error::BadUrl { .. }
            | Error::BadBundle { .. }
            | Error::DamagedBundle { .. } => Exit::Data,
            Error::Unreachable { .. } | Error::Refused { .. } | Error::Short { .. } => Exit::Unavailable,
            Error::Busy { .. } => Exit::Temporary,
            Error::Redirected { .. }
            | Error::TooLarge { .. }
            | Error::WrongDigest { .. }
            | Error::NoChecksum { .. }
            | Error::BadRepository { .. }
            | Error::NoToken { .. }
            | Error::BadImage { .. }
            | Error::NoMember { .. } => Exit::Failed,
            Error::Missing { .. }
            | Error::Unreadable { .. }
            | Error::Unwritable { .. }
            | Error::Broken { .. }
            | Error::Damaged { .. }
            | Error::UnreadableLock(_)
            | Error::NoClient { .. }
            | Error::BadLogins { .. }
            | Error::NoSpace { .. }
            | Error::NoLock { .. } => Exit::Os,
        }
    }

    /// Whether trying again may help.
    pub(super) fn passes(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::Short { .. } => true,
            Error::Refused { status, .. } => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }

    pub(super) fn reading(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        move |cause| Error::Unreadable { path: path.to_owned(), cause }
    }

    pub(super) fn writing(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        move |cause| Error::Unwritable { path: path.to_owned(), cause }
    }
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => {
            "it wants another login than it was given: `docker login` keeps one for a registry where hoist finds it; or \
             take it from a mirror that is open to you"
        }
        404 => {
            "no such release there: check `cluster.kubernetes`; a mirror has official paths below their host's name"
        }
        407 => "the proxy wants a login: write it into HTTPS_PROXY",
        _ => "the server has a problem: try again later, or take another mirror",
    }
}
