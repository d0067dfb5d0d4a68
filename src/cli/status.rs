//! `hoist status`: how is the cluster?

use super::{
    Failure,
    shared::{InventoryArg, home},
};
use crate::{
    cluster::{self, Session},
    exit::Exit,
    report,
};

/// Shows the nodes and pods of the cluster. Exits 1 when a node is not ready.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist status -i inventory/lab.yaml")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let inventory = args.inventory.load()?;
    let session = Session::open(&inventory, &home()).await?;
    let api = cluster::api(&inventory, &session).await?;
    let (nodes, pods) = (api.nodes().await?, api.pods(None).await?);
    print!("{}\n{}", report::status::nodes(&nodes), report::status::pods(&pods));
    let ready = inventory.hosts.keys().all(|name| nodes.iter().any(|node| node.name == *name && node.ready));
    Ok(if ready { Exit::Ok } else { Exit::Failed })
}
