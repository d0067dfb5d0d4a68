//! Why there is no script for rented nodes.

use miette::Diagnostic as _;

use crate::{burst::kubernetes::Unwritten, cluster::packages, engine};

/// Why nodes cannot be told what to run. All of it is found before anything is rented.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Engine(#[from] engine::Error),
    #[error("{reason}")]
    #[diagnostic(help("{help}"))]
    Packages { reason: String, help: String },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Unwritten(#[from] Unwritten),
    #[error("`burst.region` is not said")]
    #[diagnostic(help("set it, such as `region: eu-central-1`: nodes are labelled with it"))]
    Region,
    #[error("`burst.instances.architectures` must name exactly one")]
    #[diagnostic(help("name the one that the machines have: artifacts are staged for one architecture"))]
    Architectures,
    #[error("the pods of rented nodes cannot be reached with the network plugin `bridge`")]
    #[diagnostic(help("it needs a route on every host: set `cluster.network.plugin: cilium`"))]
    Plugin,
    #[error("a rented node cannot give itself the label `{key}` of `burst.labels`")]
    #[diagnostic(help(
        "of labels of kubernetes.io and k8s.io Kubernetes lets a node set those of node.kubernetes.io, \
         kubelet.kubernetes.io and topology.kubernetes.io alone: choose another name"
    ))]
    Label { key: String },
    #[error("role {role}, \"{step}\": a rented node cannot be sent {source_file}")]
    #[diagnostic(help(
        "set `artifacts.url`: nodes in EC2 fetch their files themselves, and nobody sends them any; what a role ships beside \
         it must be smaller than 64 KiB"
    ))]
    NoUrl { role: String, step: String, source_file: String },
    #[error("role {role}, \"{step}\": what it does depends on what is on a host already")]
    #[diagnostic(help(
        "a rented node is not looked at before: write the whole file with `template` or `file`, or use a `command` with a \
         guard, in this role of your `--roles` folder"
    ))]
    Unseen { role: String, step: String },
    #[error("role {role}, \"{step}\": nobody gives a rented node the value `late.{name}`")]
    #[diagnostic(help(
        "rented nodes know `late.join.token` and `late.join.ca_hash`: use no other in what they have"
    ))]
    Late { role: String, step: String, name: String },
}

impl From<packages::Error> for Error {
    fn from(error: packages::Error) -> Error {
        let help = error.help().map(|help| help.to_string()).unwrap_or_default();
        Error::Packages { reason: error.to_string(), help }
    }
}
