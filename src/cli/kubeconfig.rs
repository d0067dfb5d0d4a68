//! `hoist kubeconfig`: credentials for kubectl.

use std::path::PathBuf;

use secrecy::ExposeSecret;

use super::{
    Failure,
    shared::{InventoryArg, connect},
};
use crate::{
    cluster::{self, kubeconfig},
    exit::Exit,
    inventory::Role,
};

/// Prints the administrator's kubeconfig, taken from a living control plane.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist kubeconfig -i inventory/lab.yaml --file lab.kubeconfig")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    /// Write it here, readable by you alone, instead of to standard output.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let inventory = args.inventory.load()?;
    let control_planes = inventory.with_role(Role::ControlPlane).map(|(name, _)| name);
    let session = connect(&inventory, control_planes).await?;
    let (speaker, text) = cluster::speaker(&inventory, &session).await?;
    let (address, port) = inventory.outer_endpoint(speaker.name()).unwrap_or_default();
    let text = kubeconfig::rename(&text, &inventory.cluster.name, &format!("https://{address}:{port}"))?;
    match &args.file {
        Some(path) => kubeconfig::write(path, &text)?,
        None => print!("{}", text.expose_secret()),
    }
    Ok(Exit::Ok)
}
