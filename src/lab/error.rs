//! What can go wrong in the lab, and what to do about it.

use std::{
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use miette::Diagnostic;
use thiserror::Error;

use super::checks::Failure;
use crate::exit::Exit;

#[derive(Debug, Error, Diagnostic)]
pub enum LabError {
    #[error("this machine cannot run the lab yet:{}", bullets(failures))]
    #[diagnostic(help("fix all of these, then run the same command again"))]
    Checks { failures: Vec<Failure> },

    #[error("no place for the cache: neither HOIST_CACHE nor HOME is an absolute path")]
    #[diagnostic(help("set HOIST_CACHE to a folder with some gigabytes of space"))]
    NoCache,

    #[error("the lab is not set up; still to do: {missing}")]
    #[diagnostic(help("run `hoist lab setup`; it says first what it will install and build"))]
    NotSetUp { missing: String },

    #[error("this machine is not set up for virtual machines; still to do: {missing}")]
    #[diagnostic(help("run `hoist lab setup --virtual`; it says first what it will install and build"))]
    NoVirtualMachines { missing: String },

    #[error("set-up asks before it installs anything, and there is no terminal to ask on")]
    #[diagnostic(help("run `hoist lab setup --yes` to go on without the question"))]
    NoTerminal,

    #[error("nothing was installed or built")]
    #[diagnostic(help("run `hoist lab setup` again when you want it"))]
    Declined,

    #[error("step `{step}` failed: {cause}{}", quoted(tail))]
    #[diagnostic(help(
        "the whole output is in {}; what was finished before is kept, so the same command goes on from here",
        log.display()
    ))]
    Step { step: String, cause: String, tail: String, log: PathBuf },

    #[error("kubeadm wants images that the build does not make: {}", names.join(", "))]
    #[diagnostic(help(
        "the image table in src/lab/images.rs must name what `kubeadm config images list` prints"
    ))]
    ImageNames { names: Vec<String> },

    #[error("failed to {action} {}", path.display())]
    #[diagnostic(help("{}", io_help(source)))]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },

    #[error("failed to run `{command}`: {cause}")]
    #[diagnostic(help("check that the program is installed and in PATH, and run it by hand to see more"))]
    Command { command: String, cause: String },

    #[error("something is still mounted in {}: {}", path.display(), paths(mounts))]
    #[diagnostic(help("unmount it (`umount PATH`), then run the same command again"))]
    StillMounted { path: PathBuf, mounts: Vec<PathBuf> },

    #[error("another hoist is busy with {name}")]
    #[diagnostic(help("wait until it has finished, then run the same command again"))]
    Busy { name: String },

    #[error("network namespace `{name}` exists, but this lab did not make it")]
    #[diagnostic(help(
        "if nobody needs it, remove it with `ip netns del {name}`; or choose another lab with `--lab NAME`"
    ))]
    ForeignNamespace { name: String },

    #[error("node `{node}`: {problem}")]
    #[diagnostic(help(
        "names are lower-case letters, digits and `-`, each once; addresses are in 10.77.0.0/24, each once, and not 10.77.0.1"
    ))]
    BadNode { node: String, problem: String },

    #[error("node `{node}` runs at {address} already")]
    #[diagnostic(help("name that address, or stop the lab with `hoist lab down` before the node moves"))]
    Moved { node: String, address: Ipv4Addr },

    #[error(
        "address {address} of node `{node}` is in use: something in the lab's network answers there already"
    )]
    #[diagnostic(help(
        "`hoist lab status` shows the nodes; give this one another address, or stop what answers"
    ))]
    AddressInUse { node: String, address: Ipv4Addr },

    #[error("node `{node}` did not come up: {cause}{}", quoted(tail))]
    #[diagnostic(help(
        "its console is in {}; `hoist lab down` clears up, and a slow machine may need `--boot-limit`",
        console.display()
    ))]
    NoBoot { node: String, cause: String, tail: String, console: PathBuf },

    #[error("there is no node `{node}` running in lab `{lab}`")]
    #[diagnostic(help("running: {}; `hoist lab up` starts the rest", if running.is_empty() { "none" } else { running }))]
    NoNode { node: String, lab: String, running: String },

    #[error("lab `{lab}` has no node {}", ticks(unknown))]
    #[diagnostic(help("its nodes: {}", if known.is_empty() { "none; `hoist lab up` makes some".to_owned() } else { known.join(", ") }))]
    UnknownNodes { unknown: Vec<String>, lab: String, known: Vec<String> },

    #[error("`{word}` is neither a node nor a site of the lab")]
    #[diagnostic(help("one of: {} (`gateway` is this machine)", known.join(", ")))]
    NoEnd { word: String, known: Vec<String> },

    #[error("the link between this machine and node `{node}` is cut")]
    #[diagnostic(help(
        "`hoist lab heal {node} gateway` lets this machine in, and leaves its other links as they are"
    ))]
    CutOff { node: String },

    #[error("node `{node}` has no disk of its own: its files are on this machine's")]
    #[diagnostic(help(
        "remove it with `hoist lab down {node}`, and make it again with `hoist lab up --disk 8G`"
    ))]
    SharedDisk { node: String },

    #[error("node `{node}` is a virtual machine: it alone can write to its disk")]
    #[diagnostic(help("fill it there: `hoist lab ssh {node} -- fallocate -l SIZE /filler`"))]
    OwnDisk { node: String },

    #[error("node `{node}` is not a virtual machine: its clock is this machine's")]
    #[diagnostic(help(
        "remove it with `hoist lab down {node}`, and make it again with `hoist lab up --virtual {node}`"
    ))]
    SharedClock { node: String },

    #[error("the relay, the process that is the slow links, did not begin in time{}", quoted(tail))]
    #[diagnostic(help(
        "slow links are cut until it does: run the same command again, or `hoist lab heal`; its output is in {}",
        log.display()
    ))]
    NoRelay { tail: String, log: PathBuf },

    #[error("lab `{lab}` has nodes for {kept}, not for {asked}")]
    #[diagnostic(help(
        "leave `--kubernetes` out to go on with them; `hoist lab --lab {lab} down` removes them, and the next run begins anew"
    ))]
    OtherKubernetes { lab: String, kept: String, asked: String },

    #[error("Kubernetes {asked} does not start on this machine, which has cgroup v1")]
    #[diagnostic(help(
        "boot it with `systemd.unified_cgroup_hierarchy=1` on the kernel's command line; or take an older release, the \
         newest of which is {newest}"
    ))]
    CgroupV1 { asked: String, newest: String },

    #[error("lab `{name}` is not running")]
    #[diagnostic(help("start it with `hoist lab up`"))]
    NotRunning { name: String },

    #[error("`hoist lab down` left something behind:{}", bullets(left))]
    #[diagnostic(help("end what is named here, then run `hoist lab down` again"))]
    Leftovers { left: Vec<String> },
}

impl LabError {
    /// For `map_err`: an input or output error on `path`.
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// The exit code that goes with the error.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoTerminal
            | Self::BadNode { .. }
            | Self::Moved { .. }
            | Self::UnknownNodes { .. }
            | Self::SharedDisk { .. }
            | Self::OtherKubernetes { .. }
            | Self::OwnDisk { .. }
            | Self::SharedClock { .. }
            | Self::NoEnd { .. } => Exit::Usage,
            Self::Busy { .. } => Exit::Temporary,
            Self::NoBoot { .. } | Self::NoNode { .. } | Self::NotRunning { .. } | Self::CutOff { .. } => {
                Exit::Unavailable
            }
            Self::Io { .. } | Self::NoCache | Self::StillMounted { .. } => Exit::Os,
            Self::Checks { failures } if failures.iter().any(|failure| failure.check == "root") => {
                Exit::Permission
            }
            _ => Exit::Failed,
        }
    }
}

fn io_help(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => "the lab needs root: run the same command as root or with sudo",
        io::ErrorKind::StorageFull => "free some disk space, or set HOIST_CACHE to a folder on a larger disk",
        io::ErrorKind::NotFound => "something was removed while the lab used it; run `hoist lab setup` again",
        _ => "the system's reason is named above",
    }
}

fn bullets<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("\n  - {item}")).collect()
}

fn ticks(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn quoted(tail: &str) -> String {
    tail.lines().map(|line| format!("\n  | {line}")).collect()
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
