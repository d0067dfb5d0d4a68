//! The inventory: one YAML file that says everything about a cluster.
//!
//! [`load`] reads and verifies it; what it returns is consistent as far as that can be known without asking
//! the hosts.

mod addons;
mod burst;
mod cluster;
mod disk;
mod explain;
mod failure_detection;
mod import;
mod init;
mod jump;
mod login;
mod outside;
mod role_vars;
mod secret;
mod security;
mod select;
mod subnet;
mod types;
mod unproven;
mod verify;
mod version;

use std::path::Path;

use miette::Diagnostic;

pub use addons::{
    Addons, Alerts, Bgp, CertManager, Cilium, Client, Device, Email, ExternalSecrets, Grafana, Hubble,
    IngressNginx, Keda, Longhorn, MTU_BETWEEN_SITES, Metallb, MetricsServer, Monitoring, NamedPool,
    NfsProvisioner, Own, Peer, Pool, Prometheus, Protocol, Registry, Routing, Scraped, Wanted, chart_of,
};
pub use burst::{
    Architecture, Burst, Capacity, Connection, ExistingNetwork, Image, Instances, Range, System,
};
pub use cluster::{Cluster, Endpoint, Etcd, KubeadmAddon, Network, Plugin};
pub use disk::{Disk, Filesystem};
pub use explain::{Effective, Origin, explain};
pub use failure_detection::FailureDetection;
pub use import::{Imported, import};
pub use init::{KUBERNETES, NewHost, Start, start, usual_roles};
pub use jump::Jump;
pub use login::{Login, expand_home};
pub use outside::{Capability, Mirror, Proxy};
pub use role_vars::{BaseVars, ContainerdVars, EtcdVars, RoleVars, StorageVars};
pub use secret::SecretSource;
pub use security::{Audit, Level, PodSecurity, Security};
pub use select::{NoSuchHost, Selection};
use subnet::assign;
pub use subnet::{BRIDGE, POD_SUBNET_PREFIX, pod_subnet};
pub use types::{Artifacts, ArtifactsFrom, Become, Chart, Host, Inventory, Packages, Role, Ssh};
pub use version::{NO_CGROUP_V1, RELEASES, Release};

use crate::yaml::{self, Node, Problem, Problems, Source};

/// A verified inventory and where its values stand, for messages about them.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub inventory: Inventory,
    pub source: Source,
    pub tree: Node,
    warnings: Vec<Problem>,
}

impl Loaded {
    /// What is worth knowing about it: warnings, and notes about what was never seen to work.
    pub fn remarks(&self) -> Problems {
        let mut remarks = self.warnings.clone();
        remarks.extend(unproven::unproven(&self.inventory, &self.tree));
        Problems::new(&self.source, remarks)
    }
}

/// Why there is no inventory.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Unreadable(#[from] yaml::ReadError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Mistakes(#[from] yaml::Problems),
}

impl Error {
    /// The mistakes for programs, as [`yaml::Problems::to_json`] writes them; a file of which nothing can be read
    /// has no line and no column.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Error::Mistakes(problems) => problems.to_json(),
            Error::Unreadable(error) => serde_json::json!([{
                "severity": "error",
                "file": error.path().display().to_string(),
                "line": error.position().map(|(line, _)| line),
                "column": error.position().map(|(_, column)| column),
                "message": error.to_string(),
                "help": error.help().map(|help| help.to_string()),
            }]),
        }
    }
}

/// Reads and verifies the inventory in a file, or in the files of a folder, which are read as one.
///
/// # Errors
/// When the file cannot be read; otherwise with every mistake in it.
pub fn load(path: &Path) -> Result<Loaded, Error> {
    verified(Source::load_any(path)?)
}

/// Verifies an inventory that is at hand as text; errors call it `name`.
///
/// # Errors
/// With every mistake in it.
pub fn parse(name: &str, text: &str) -> Result<Loaded, Error> {
    verified(Source::new(name, text))
}

fn verified(source: Source) -> Result<Loaded, Error> {
    let document = yaml::read_and(&source, verify::verify)?;
    let yaml::Document { value, tree, warnings, .. } = document;
    Ok(Loaded { inventory: value, source, tree, warnings })
}

/// The JSON Schema of an inventory.
pub fn schema() -> serde_json::Value {
    yaml::schema_of::<Inventory>()
}

/// The reference of inventories in Markdown: `docs/inventory.md`.
pub fn reference() -> String {
    format!("{REFERENCE_HEAD}{}", yaml::markdown(&schema()))
}

const REFERENCE_HEAD: &str = "\
# The inventory: reference

One YAML file says everything about a cluster; or a folder of them (`-i DIR`): all that end in `.yaml` or `.yml` in it
are read together, maps are joined key by key, and everything else is said once. Samples to start from are in
`inventory/`; `hoist check -i FILE` reports every mistake at once, without contacting a host. `hoist schema` prints the same as a JSON
Schema for editors. This page is generated from the code by `hoist schema --markdown`.

YAML is read as version 1.2: `yes`, `no`, `on` and `off` are strings, versions such as `\"1.20.2\"` are best put
in quotes, and merge keys (`<<`) are refused. Paths start at the current folder unless they are absolute or
start with `~`.

";
