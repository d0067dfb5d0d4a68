//! The way to the API server: through a control plane that lives, whichever that is.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};

use super::{Session, kubeconfig, living};
use crate::{
    inventory::{Inventory, Role},
    kube::{self, Api, Patience},
    transport::Host,
};

/// How long a control plane is asked whether its API server answers while there are others to ask.
const TRIAL: Patience = Patience { request: Duration::from_secs(5), total: Duration::from_secs(5) };

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
    for (_, host) in speakers(inventory, session) {
        match kubeconfig::fetch(&*host).await {
            Ok(text) => return Ok((host, text)),
            Err(error) => refusal = Some(error.into()),
        }
    }
    Err(refusal.unwrap_or_else(|| nobody(inventory, session)))
}

/// The living control planes, each with the way to its own API server.
pub fn ways<'a>(inventory: &'a Inventory, session: &'a Session) -> impl Iterator<Item = Way> + 'a {
    speakers(inventory, session).map(|(address, host)| Way { host, address })
}

/// A control plane and where its API server listens.
#[derive(Clone)]
pub struct Way {
    pub host: Arc<dyn Host>,
    address: SocketAddr,
}

impl Way {
    /// Its API server.
    ///
    /// # Errors
    /// When the host or its API server does not answer, or has no credentials to give.
    pub async fn api(&self) -> Result<Api, AccessError> {
        through(self.address, self.host.clone()).await
    }
}

/// The living control planes and the addresses of their API servers, in the order of the inventory.
fn speakers<'a>(
    inventory: &'a Inventory,
    session: &'a Session,
) -> impl Iterator<Item = (SocketAddr, Arc<dyn Host>)> + 'a {
    let port = inventory.api_port();
    living(inventory, &session.facts).filter_map(move |name| {
        let address = IpAddr::V4(inventory.hosts.get(name)?.address);
        Some((SocketAddr::new(address, port), session.hosts.get(name)?.clone()))
    })
}

/// A control plane of which nothing is known could not be reached or used.
fn nobody(inventory: &Inventory, session: &Session) -> AccessError {
    let control_planes = inventory.with_role(Role::ControlPlane).map(|(name, _)| name);
    let silent: Vec<String> =
        control_planes.filter(|name| !session.facts.contains_key(*name)).map(String::from).collect();
    if silent.is_empty() { AccessError::NoCluster } else { AccessError::Silent { silent } }
}

/// An API server, through an SSH tunnel to the control plane that it runs on: the first that answers. The endpoint is
/// not used, for it may lead to one that does not.
///
/// # Errors
/// As [`speaker`], and when the last of them refuses or does not answer; that one is given more time.
pub async fn api(inventory: &Inventory, session: &Session) -> Result<Api, AccessError> {
    let mut left: Vec<_> = speakers(inventory, session).collect();
    let last = left.pop().ok_or_else(|| nobody(inventory, session))?;
    for (address, host) in left {
        if let Ok(api) = through(address, host).await
            && api.clone().with_patience(TRIAL).version().await.is_ok()
        {
            return Ok(api);
        }
    }
    let (address, host) = last;
    through(address, host).await
}

async fn through(address: SocketAddr, host: Arc<dyn Host>) -> Result<Api, AccessError> {
    let text = kubeconfig::fetch(&*host).await?;
    Ok(kube::connect_at(host, text.expose_secret(), address).await?)
}
