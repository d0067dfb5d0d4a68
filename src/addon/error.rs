//! What can go wrong with add-ons before the cluster is changed.

use std::path::PathBuf;

use crate::{cluster, engine, kube, yaml};

/// Why it cannot be said what add-ons shall be, or what they are.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error("there is no add-on `{name}`")]
    #[diagnostic(help("this version has: {}", known.join(", ")))]
    Unknown { name: String, known: Vec<String> },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Definition(#[from] yaml::Problems),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Engine(#[from] engine::Error),
    #[error("add-ons cannot be installed as they are asked for: {}", mistakes.join("; "))]
    #[diagnostic(help("nothing was changed: mend what is named, all of it at once"))]
    Mistakes { mistakes: Vec<String> },
    #[error(
        "the inventory names the network plugin `{asked}`, but {found}: a cluster keeps the plugin that it was begun with"
    )]
    #[diagnostic(help("nothing was changed: {fix}"))]
    Plugin { asked: &'static str, found: String, fix: String },
    #[error("the inventory asks for `{name}`; nothing was changed")]
    #[diagnostic(help("take it out of the inventory first, or the next apply installs it again"))]
    Wanted { name: String },
    #[error(
        "`{name}` connects the pods of {nodes} nodes, which would lose their network; nothing was changed"
    )]
    #[diagnostic(help(
        "a cluster keeps the network plugin that it was begun with: leave `{name}` in, or make a new cluster"
    ))]
    Network { name: String, nodes: usize },
    #[error("the chart {} cannot be read: {reason}", path.display())]
    #[diagnostic(help("it is damaged, or no packed Helm chart: `hoist lock --fetch` gets it again"))]
    Chart { path: PathBuf, reason: String },
    #[error("the manifests in {} cannot be used: {reason}", path.display())]
    #[diagnostic(help(
        "it is damaged: delete the folder that it lies in, then `hoist lock --fetch` lays that out anew"
    ))]
    Manifests { path: PathBuf, reason: String },
    #[error("{place} is no YAML: {reason}")]
    #[diagnostic(help("a template of this add-on is wrong: with `--roles DIR`, mend it there"))]
    Rendered { place: String, reason: String },
    #[error("the release {namespace}/{name} cannot be read: {reason}")]
    #[diagnostic(help(
        "another program than Helm 3 or 4 may have written it: look at it with `helm status`"
    ))]
    Release { namespace: String, name: String, reason: String },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Access(#[from] cluster::AccessError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Api(#[from] kube::Error),
}
