//! The way to the API server: through a control plane that lives, whichever that is.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::{Session, first, kubeconfig};
use crate::{
    inventory::Inventory,
    kube::{self, Api},
    transport::Host,
};

/// Why the API server cannot be spoken to.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum AccessError {
    #[error("there is no cluster yet: no control plane has been initialised")]
    #[diagnostic(help("`hoist apply` makes it"))]
    NoCluster,
    #[error(transparent)]
    #[diagnostic(transparent)]
    Kubeconfig(#[from] kubeconfig::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Api(#[from] kube::Error),
}

/// A living control plane, and the administrator's credentials from it.
///
/// # Errors
/// When there is none, or its credentials cannot be read.
pub async fn speaker(
    inventory: &Inventory,
    session: &Session,
) -> Result<(Arc<dyn Host>, SecretString), AccessError> {
    let name = first(inventory, &session.facts).ok_or(AccessError::NoCluster)?;
    let host = session.hosts.get(name).ok_or(AccessError::NoCluster)?;
    let text = kubeconfig::fetch(&**host).await?;
    Ok((host.clone(), text))
}

/// The API server, through an SSH tunnel.
///
/// # Errors
/// As [`speaker`], and when the tunnel or the API server refuses.
pub async fn api(inventory: &Inventory, session: &Session) -> Result<Api, AccessError> {
    let (host, text) = speaker(inventory, session).await?;
    Ok(kube::connect(host, text.expose_secret()).await?)
}
