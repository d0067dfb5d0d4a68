//! `hoist status`: how is the cluster?

use super::{
    Failure,
    shared::{InventoryArg, connect, print},
};
use crate::{cluster, exit::Exit, report};

/// Shows the nodes and pods of the cluster, and the hosts that cannot be reached. Exits 1 when a node is not ready.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist status -i inventory/lab.yaml")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let inventory = args.inventory.load()?;
    let names = || inventory.hosts.keys().map(String::as_str);
    let session = connect(&inventory, names()).await?;
    if !session.unreached.is_empty() {
        print(format!("{}\n", report::hosts::table(&session.unreached)).as_bytes())?;
    }
    let lost = Exit::worst(session.unreached.iter().map(|lost| lost.why.exit()));
    let api =
        cluster::api(&inventory, &session).await.map_err(|error| Failure::from(error).or_worse(lost))?;
    let (nodes, pods) = (api.nodes().await?, api.pods(None).await?);
    print(format!("{}\n{}", report::status::nodes(&nodes), report::status::pods(&pods)).as_bytes())?;
    // Hosts that are only for etcd are no nodes.
    let nodes_wanted = inventory.hosts.iter().filter(|(_, host)| host.is_node()).map(|(name, _)| name);
    let ready =
        nodes_wanted.into_iter().all(|name| nodes.iter().any(|node| node.name == **name && node.ready));
    Ok(Exit::worst([if ready { Exit::Ok } else { Exit::Failed }, lost]))
}
