//! `hoist sample`: an application that proves the cluster.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    Failure,
    shared::{InventoryArg, cache, connect, home, print},
};
use crate::{
    artifact,
    cluster::{
        self,
        reach::{Target, reach},
        sample::Sample,
    },
    exit::Exit,
    inventory::Role,
    report::{self, tell_line},
    transport,
};

/// How long the application may take to run.
const RUNNING: Duration = Duration::from_secs(180);
/// How long each node may take to answer for it.
const REACHED: Duration = Duration::from_secs(60);

/// Deploys a small application (three replicas, a ConfigMap, a Service) and reaches it from outside the cluster
/// through every node.
///
/// Its image comes with the artifacts that `hoist lab setup` makes. Other clusters need `--image`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hoist sample -i inventory/lab.yaml\n  hoist sample -i office.yaml --image docker.io/library/busybox:1.36"
)]
pub struct Args {
    #[command(flatten)]
    pub inventory: InventoryArg,

    /// An image with busybox that nodes have or can pull, in place of hoist's own.
    #[arg(long)]
    pub image: Option<String>,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let inventory = args.inventory.load()?;
    let sample = match &args.image {
        Some(image) => Sample::with_image(image.clone()),
        None => {
            let sample = Sample::default();
            let index = match artifact::supply(&inventory, &args.inventory.file, &home(), &cache()?) {
                Err(artifact::Error::Missing { .. }) => None,
                index => Some(index?),
            };
            sample.is_at_hand(index.as_ref())?;
            sample
        }
    };
    let control_planes = inventory.with_role(Role::ControlPlane).map(|(name, _)| name);
    let session = connect(&inventory, control_planes).await?;
    let api = cluster::api(&inventory, &session).await?;
    for applied in sample.deploy(&api, RUNNING, &mut |_| {}).await? {
        tell_line(format_args!("{} {}", applied.object, applied.change));
    }
    let nodes = api.nodes().await?;
    let ready = |name: &String| nodes.iter().any(|node| node.name == *name && node.ready);
    let wanted = inventory.hosts.iter().filter(|(_, host)| host.is_node());
    let (able, unable): (Vec<_>, Vec<_>) = wanted.partition(|(name, _)| ready(name));
    let targets: Vec<Target> = able
        .into_iter()
        .map(|(name, host)| Target {
            node: name.clone(),
            address: SocketAddr::new(IpAddr::V4(host.address), sample.node_port),
        })
        .collect();
    let namespace = inventory.ssh.network_namespace.as_deref();
    let dial = |address| transport::dial(namespace, address, Duration::from_secs(5));
    let times = reach(&targets, &sample.page, REACHED, dial).await?;
    for (target, time) in targets.iter().zip(times) {
        let (address, node, seconds) = (target.address, &target.node, time.as_secs_f64());
        print(format!("http://{address} answers through {node} after {seconds:.1} s\n").as_bytes())?;
    }
    print(report::status::pods(&api.pods(Some(&sample.namespace)).await?).to_string().as_bytes())?;
    for (name, _) in &unable {
        tell_line(format_args!("not asked for it through {name}: it is no node that is ready"));
    }
    Ok(if unable.is_empty() { Exit::Ok } else { Exit::Failed })
}
