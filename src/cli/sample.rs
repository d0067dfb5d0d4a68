//! `hoist sample`: an application that proves the cluster.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    Failure,
    shared::{InventoryArg, home},
};
use crate::{
    cluster::{
        self, Session,
        reach::{Target, reach},
        sample::Sample,
    },
    exit::Exit,
    report, transport,
};

/// How long the application may take to run.
const RUNNING: Duration = Duration::from_secs(180);
/// How long each node may take to answer for it.
const REACHED: Duration = Duration::from_secs(60);

/// Deploys a small application (three replicas, a ConfigMap, a Service) and reaches it from outside the cluster
/// through every node.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist sample -i inventory/lab.yaml")]
pub struct Args {
    #[command(flatten)]
    pub inventory: InventoryArg,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let inventory = args.inventory.load()?;
    let session = Session::open(&inventory, &home()).await?;
    let api = cluster::api(&inventory, &session).await?;
    let sample = Sample::default();
    for applied in sample.deploy(&api, RUNNING, &mut |_| {}).await? {
        eprintln!("{} {}", applied.object, applied.change);
    }
    let targets: Vec<Target> = inventory
        .hosts
        .iter()
        .map(|(name, host)| Target {
            node: name.clone(),
            address: SocketAddr::new(IpAddr::V4(host.address), sample.node_port),
        })
        .collect();
    let namespace = inventory.ssh.network_namespace.as_deref();
    let dial = |address| transport::dial(namespace, address, Duration::from_secs(5));
    let times = reach(&targets, &sample.page, REACHED, dial).await?;
    for (target, time) in targets.iter().zip(times) {
        println!(
            "http://{} answers through {} after {:.1} s",
            target.address,
            target.node,
            time.as_secs_f64()
        );
    }
    print!("{}", report::status::pods(&api.pods(Some(&sample.namespace)).await?));
    Ok(Exit::Ok)
}
