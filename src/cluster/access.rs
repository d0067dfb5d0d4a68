//! The way to the API server: through a control plane that lives, whichever that is.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::{Session, kubeconfig, living};
use crate::{
    inventory::{Inventory, Role},
    kube::{self, Api},
    transport::Host,
};

/// Why the API server cannot be spoken to.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum AccessError {
    #[error("there is no cluster yet: no control plane has been initialised")]
    #[diagnostic(help("`hoist apply` makes it"))]
    NoCluster,
    #[error("no control plane that answers has a cluster, and {} cannot be used", silent.join(", "))]
    #[diagnostic(help("bring it back: without a control plane nothing can be said of the cluster"))]
    Silent { silent: Vec<String> },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Kubeconfig(#[from] kubeconfig::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Api(#[from] kube::Error),
}

/// A living control plane, and the administrator's credentials from it: the first that gives them.
///
/// # Errors
/// When there is none, or the last refusal.
pub async fn speaker(
    inventory: &Inventory,
    session: &Session,
) -> Result<(Arc<dyn Host>, SecretString), AccessError> {
    let mut refusal = None;
    for name in living(inventory, &session.facts) {
        let Some(host) = session.hosts.get(name) else { continue };
        match kubeconfig::fetch(&**host).await {
            Ok(text) => return Ok((host.clone(), text)),
            Err(error) => refusal = Some(error.into()),
        }
    }
    Err(refusal.unwrap_or_else(|| nobody(inventory, session)))
}

/// A control plane of which nothing is known could not be reached or used.
fn nobody(inventory: &Inventory, session: &Session) -> AccessError {
    let control_planes = inventory.with_role(Role::ControlPlane).map(|(name, _)| name);
    let silent: Vec<String> =
        control_planes.filter(|name| !session.facts.contains_key(*name)).map(String::from).collect();
    if silent.is_empty() { AccessError::NoCluster } else { AccessError::Silent { silent } }
}

/// The API server, through an SSH tunnel.
///
/// # Errors
/// As [`speaker`], and when the tunnel or the API server refuses.
pub async fn api(inventory: &Inventory, session: &Session) -> Result<Api, AccessError> {
    let (host, text) = speaker(inventory, session).await?;
    Ok(kube::connect(host, text.expose_secret()).await?)
}
