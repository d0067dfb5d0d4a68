//! What is refused before the first change of every run that touches a cluster.

use super::{
    Session,
    identity::{OtherIdentity, same_identity},
    roles::{OtherRole, same_roles},
    version::{OtherVersion, same_version},
};
use crate::{exit::Exit, inventory::Inventory};

/// Why a run must not change the hosts.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Refusal {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Role(#[from] OtherRole),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Version(#[from] OtherVersion),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Identity(#[from] OtherIdentity),
}

impl Refusal {
    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        Exit::Failed
    }
}

/// Judges by facts alone.
///
/// # Errors
/// The first reason not to go on.
pub(super) fn judge(inventory: &Inventory, session: &Session, changed: &[&str]) -> Result<(), Refusal> {
    same_roles(inventory, &session.facts, changed)?;
    same_version(inventory, &session.facts)?;
    same_identity(inventory, &session.facts)?;
    Ok(())
}
