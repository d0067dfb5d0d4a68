//! Where a cluster's workers are in AWS, kept in the cluster. The inventory can say another place one day, and would then know
//! nothing of what stands in the first one and costs money there.

use std::fmt;

use miette::Diagnostic;

use super::Error;
use crate::burst::{kubernetes::Store, network::Network};

/// A region, and the stack of CloudFormation that the network is there; with a network of somebody else's there is no such
/// stack, but permissions have the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub region: String,
    pub stack: String,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (stack {})", self.region, self.stack)
    }
}

/// The inventory says another place than before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
#[error("the workers of this cluster are in {kept}, and the inventory says {said}")]
#[diagnostic(help(
    "what is there costs money until somebody ends it: run `hoist burst destroy --yes` with `burst.region` and `cluster.name` as \
     they were, then this again. Where nothing is there any more, take `region` and `stack` out of the ConfigMap \
     hoist-burst-spent in kube-system"
))]
pub struct Moved {
    pub kept: Place,
    pub said: Place,
}

impl Place {
    /// The one that the inventory says.
    pub fn of(network: &Network) -> Place {
        Place { region: network.region.clone(), stack: network.stack() }
    }

    /// Whether the cluster's workers are here, as far as the cluster knows. Changes nothing.
    ///
    /// # Errors
    /// [`Moved`]; or the API server does not answer.
    pub async fn is_kept(&self, store: &Store) -> Result<bool, Error> {
        match store.place().await? {
            Some(kept) if kept != *self => Err(Moved { kept, said: self.clone() }.into()),
            kept => Ok(kept.is_some()),
        }
    }

    /// Keeps it, where none is kept yet.
    ///
    /// # Errors
    /// As above.
    pub async fn keep(&self, store: &Store) -> Result<(), Error> {
        match self.is_kept(store).await? {
            true => Ok(()),
            false => Ok(store.keep_place(self).await?),
        }
    }
}
