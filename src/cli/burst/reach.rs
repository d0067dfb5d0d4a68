//! How a verb reaches the API server: through SSH, by a kubeconfig, or from within a pod.

use std::{fs, path::PathBuf, time::Duration};

use crate::{
    cli::{
        Failure,
        shared::{InventoryArg, connect},
    },
    cluster,
    inventory::{Inventory, Role},
    kube::{self, Api, Patience},
};

/// Shorter than usual: whoever leads has 15 s to say so again, and another control plane may answer.
const PATIENCE: Patience = Patience { request: Duration::from_secs(8), total: Duration::from_secs(8) };

/// Which cluster, and which way.
#[derive(Debug, Clone, clap::Args)]
pub struct ReachArgs {
    #[command(flatten)]
    pub inventory: InventoryArg,
    /// Reach the API server that this kubeconfig names, without SSH. Default: through the first control plane that answers.
    #[arg(long, value_name = "FILE", conflicts_with = "in_cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// Reach the API server as a pod does, with its service account.
    #[arg(long)]
    pub in_cluster: bool,
}

impl ReachArgs {
    /// The API server. Each call looks for the way anew.
    pub async fn api(&self, inventory: &Inventory) -> Result<Api, Failure> {
        let api = match &self.kubeconfig {
            _ if self.in_cluster => kube::in_cluster()?,
            Some(path) => kube::direct(&read(path)?).await?,
            None => {
                let control_planes = inventory.with_role(Role::ControlPlane).map(|(name, _)| name);
                let session = connect(inventory, control_planes).await?;
                cluster::api(inventory, &session).await?
            }
        };
        Ok(api.with_patience(PATIENCE))
    }
}

fn read(path: &PathBuf) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        let message = format!("failed to read the kubeconfig {}: {error}", path.display());
        Failure::os(std::io::Error::new(error.kind(), message))
    })
}
