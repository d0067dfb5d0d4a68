//! `hoist burst destroy`: everything that is rented ends.

use super::reach::ReachArgs;
use crate::{cli::Failure, exit::Exit};

/// Ends everything that the cluster has rented, and whatever else carries its tag, and looks until EC2 shows nothing for a
/// minute. The controller has to be stopped first. Exits 1 with what is left, if anything is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  hoist burst destroy -i inventory/burst.yaml --yes\n  \
    hoist burst destroy -i inventory/burst.yaml --cluster 8c1f0d6e-5a0b-4c52-9a1d-0f2a7b3c4d5e --yes")]
pub struct Args {
    #[command(flatten)]
    reach: ReachArgs,
    /// The uid of a cluster that is no more: of its namespace kube-system, and in the tag `hoist.dev/cluster-uid`.
    #[arg(long, value_name = "UID")]
    cluster: Option<String>,
    /// Minutes after which it gives up.
    #[arg(long, value_name = "MINUTES", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    patience: u32,
    /// Do it; without this it is only said.
    #[arg(long)]
    yes: bool,
}

#[cfg(not(feature = "aws"))]
pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let _ = (&args.reach, &args.cluster, args.patience, args.yes);
    Err(super::without_aws())
}

#[cfg(feature = "aws")]
pub use with_aws::run;

#[cfg(feature = "aws")]
mod with_aws {
    use std::time::Duration;

    use super::{Args, Exit, Failure};
    use crate::{
        burst::{
            aws::{CloudFormation, Ec2},
            cloud::Cloud as _,
            destroy::{Living, Remaining, destroy},
            gateway::Meeting as _,
            kubernetes::{Boards, Store},
            network::{self, Network, Pace, Tagged},
            service::{self, Connect as _, Error, SystemClock, uid},
        },
        cli::{
            burst::parts::{Way, identity},
            shared::print,
        },
        inventory::Inventory,
    };

    pub async fn run(args: &Args) -> Result<Exit, Failure> {
        let inventory = args.reach.inventory.load()?;
        let rules = service::rules(&inventory.burst)?;
        let region = rules.burst.region.clone().unwrap_or_default();
        let cluster = match &args.cluster {
            Some(cluster) => cluster.clone(),
            None => uid(&args.reach.api(&inventory).await?).await?,
        };
        let ec2 = Ec2::connect(&region, &cluster).await;
        if !args.yes {
            return announce(&ec2, &region).await;
        }
        let patience = Duration::from_secs(60 * u64::from(args.patience));
        let remaining = match &args.cluster {
            // There are no claims any more: the tags are walked.
            Some(_) => destroy(&ec2, None, &SystemClock, patience).await?,
            None => {
                nobody_is_wanted(args, &inventory).await?;
                let (reach, identity) = (args.reach.clone(), identity());
                let known = inventory.clone();
                let inventory = inventory.clone();
                let mut connection =
                    Way { reach, inventory, rules, identity, supply: None, once: false }.connect().await?;
                let store = Store::reader(args.reach.api(&known).await?);
                let living = Living { controller: &mut connection.controller, checks: &ec2, records: &store };
                let destroyed = destroy(&ec2, Some(living), &SystemClock, patience).await?;
                if destroyed.is_nothing() {
                    store.forget().await.map_err(Error::from)?;
                }
                connection.controller.release().await.map_err(Error::from)?;
                destroyed
            }
        };
        if !remaining.is_nothing() {
            return told(&remaining, &[]);
        }
        // A cluster that is no more may have had the name of one that lives: its network is left alone.
        let left = match &args.cluster {
            Some(_) => Vec::new(),
            None => network_left(&inventory, &ec2).await?,
        };
        told(&remaining, &left)
    }

    async fn announce(ec2: &Ec2, region: &str) -> Result<Exit, Failure> {
        let (instances, leftovers) = (ec2.instances().await?, ec2.leftovers().await?);
        let alive = instances.iter().filter(|it| !it.state.is_ending());
        let mut text = String::from("would end:\n");
        for id in alive.map(|it| &it.id).chain(leftovers.iter().map(|it| &it.id)) {
            text.push_str(&format!("  {id}\n"));
        }
        text.push_str(&format!(
            "in {region}, all claims, and the network that `hoist burst up` has made; `--yes` does it\n"
        ));
        print(text.as_bytes())
    }

    /// A controller that begins after this must not rent anew what a person wanted before.
    async fn nobody_is_wanted(args: &Args, inventory: &Inventory) -> Result<(), Failure> {
        let boards = Boards::new(args.reach.api(inventory).await?);
        let (mut wish, version) = boards.wished().await.map_err(Error::from)?;
        if version.is_some() {
            wish.workers.clear();
            boards.change(&wish, version.as_ref()).await.map_err(Error::from)?;
        }
        Ok(())
    }

    /// What is left of the network that `hoist burst up` has made, when nothing is in it any more. One that was there before
    /// (`burst.existing`) stays.
    async fn network_left(inventory: &Inventory, ec2: &Ec2) -> Result<Vec<Tagged>, Failure> {
        let network = Network::of(inventory)?;
        if network.existing.is_some() {
            return Ok(Vec::new());
        }
        let stacks = CloudFormation::connect(&network.region).await;
        Ok(network::destroy(&stacks, ec2, &network, Pace::default(), &|_| ()).await?)
    }

    fn told(remaining: &Remaining, network: &[Tagged]) -> Result<Exit, Failure> {
        for trouble in &remaining.troubles {
            eprintln!("{trouble}");
        }
        if remaining.is_nothing() && network.is_empty() {
            return print(b"nothing is left\n");
        }
        let mut text = String::from("left:\n");
        for tagged in network {
            text.push_str(&format!("  {tagged}\n"));
        }
        for name in remaining.claims.iter().chain(&remaining.instances).chain(&remaining.leftovers) {
            text.push_str(&format!("  {name}\n"));
        }
        print(text.as_bytes())?;
        Ok(Exit::Failed)
    }
}
