//! The controller as something that is installed: a Deployment in the cluster, or a unit of systemd on a control plane.

mod rights;

#[cfg(test)]
mod tests;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

pub use rights::{Right, rights};

use super::kubernetes::NAMESPACE;
use crate::engine::{self, Context, Library, Templates};

/// Where it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Objects for `kubectl apply`.
    Deployment,
    /// A unit for a control plane.
    Systemd,
}

/// What is said of it.
#[derive(Debug, Clone, Serialize)]
pub struct Installation {
    /// With the program `hoist` in its path.
    pub image: Option<String>,
    /// The text of the inventory.
    pub inventory: String,
    /// Of Kubernetes.
    pub version: String,
    /// The text of the index of the artifacts, which new nodes fetch.
    pub index: String,
    /// A Secret with the keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`; without one, the role of the machines.
    pub credentials: Option<String>,
    /// A folder there, with the roles and templates that come before hoist's own.
    pub roles: Option<String>,
    pub region: String,
}

/// The document for this form.
///
/// # Errors
/// When the template is not as hoist wrote it.
pub fn document(library: &Library, form: Form, installation: &Installation) -> Result<String, engine::Error> {
    let path = match form {
        Form::Deployment => "burst/controller.yaml",
        Form::Systemd => "burst/controller.service",
    };
    let mut context = Context::default();
    context.set("it", installation);
    context.set("namespace", NAMESPACE);
    context.set("rights", rights());
    let given = Sha256::new().chain_update(&installation.inventory).chain_update(&installation.index);
    context.set("digest", data_encoding::HEXLOWER.encode(&given.finalize()));
    Templates::new(library.clone()).file(path, &context)
}
