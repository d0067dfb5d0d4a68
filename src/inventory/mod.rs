//! The inventory: one YAML file that says everything about a cluster.
//!
//! [`load`] reads and verifies it; what it returns is consistent as far as that can be known without asking
//! the hosts.

mod login;
mod subnet;
mod types;
mod verify;
mod version;

use std::path::Path;

use miette::Diagnostic;

pub use login::{Login, expand_home};
pub use subnet::{POD_SUBNET_PREFIX, pod_subnet};
pub use types::{
    Addon, Artifacts, Become, Cluster, Endpoint, Etcd, Host, Inventory, Network, Plugin, Role, Ssh,
};
pub use version::SUPPORTED;

use crate::yaml::{self, Node, Source};

/// A verified inventory and where its values stand, for messages about them.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub inventory: Inventory,
    pub source: Source,
    pub tree: Node,
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

/// Reads and verifies the inventory in a file.
///
/// # Errors
/// When the file cannot be read; otherwise with every mistake in it.
pub fn load(path: &Path) -> Result<Loaded, Error> {
    verified(Source::load(path)?)
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
    Ok(Loaded { inventory: document.value, source, tree: document.tree })
}

/// The JSON Schema of an inventory.
pub fn schema() -> serde_json::Value {
    yaml::schema_of::<Inventory>()
}
