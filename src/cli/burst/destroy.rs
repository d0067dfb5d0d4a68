//! `hoist burst destroy`: everything that is rented ends.

use super::reach::ReachArgs;
use crate::{cli::Failure, exit::Exit};

/// Ends everything that the cluster has rented, and whatever else carries its tag, and looks until EC2 shows nothing for a
/// minute; then the network that `hoist burst up` has made. The controller has to be stopped first. Exits 1 with what is
/// left, if anything is. Without --yes it only says what would end, and exits 2 if that is anything.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  hoist burst destroy -i inventory/burst.yaml --yes\n  \
    hoist burst destroy -i inventory/burst.yaml --cluster 8c1f0d6e-5a0b-4c52-9a1d-0f2a7b3c4d5e --yes")]
pub struct Args {
    #[command(flatten)]
    reach: ReachArgs,
    /// The uid of a cluster that is no more: of its namespace kube-system, and in the tag `hoist.dev/cluster-uid`.
    #[arg(long, value_name = "UID")]
    cluster: Option<String>,
    /// Takes the network of a cluster that is no more, too. Only when no cluster that lives has its name: the network is known
    /// by the name alone.
    #[arg(long, requires = "cluster")]
    network: bool,
    /// Minutes after which it gives up.
    #[arg(long, value_name = "MINUTES", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    patience: u32,
    /// Do it; without this it is only said.
    #[arg(long)]
    yes: bool,
}

#[cfg(not(feature = "aws"))]
pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let _ = (&args.reach, &args.cluster, args.network, args.patience, args.yes);
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
            service::{self, Connect as _, Error, Place, SystemClock, uid},
        },
        cli::{
            burst::parts::{Way, identity},
            shared::print,
        },
        inventory::Inventory,
        report::tell_line,
    };

    pub async fn run(args: &Args) -> Result<Exit, Failure> {
        let inventory = args.reach.inventory.load()?;
        let rules = service::rules(&inventory.burst)?;
        let region = rules.burst.region.clone().unwrap_or_default();
        let cluster = match &args.cluster {
            Some(cluster) => cluster.clone(),
            None => {
                let api = args.reach.api(&inventory).await?;
                // Elsewhere nothing would be found, and the claims of what is not found there would stay.
                Place::of(&Network::of(&inventory)?).is_kept(&Store::reader(api.clone())).await?;
                uid(&api).await?
            }
        };
        let ec2 = Ec2::connect(&region, &cluster).await;
        if !args.yes {
            return announce(args, &inventory, &ec2).await;
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
                    Way { reach, inventory, rules, identity, supply: None, once: false, only_looks: false }
                        .connect()
                        .await?;
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
            return told(args, &inventory, &remaining, &[]);
        }
        let left = match takes_network(args, &inventory) {
            true => network_left(&inventory, &ec2).await?,
            false => network_there(&inventory, &ec2).await?,
        };
        if left.is_empty() && args.cluster.is_none() {
            let store = Store::reader(args.reach.api(&inventory).await?);
            store.forget_place().await.map_err(Error::from)?;
        }
        told(args, &inventory, &remaining, &left)
    }

    /// A cluster that is no more may have had the name of one that lives, whose network this would be. And where the network
    /// is somebody else's, so may be what is in hoist's own stack by now.
    fn takes_network(args: &Args, inventory: &Inventory) -> bool {
        inventory.burst.existing.is_none() && (args.cluster.is_none() || args.network)
    }

    /// What `--yes` would end, and what it would leave.
    async fn announce(args: &Args, inventory: &Inventory, ec2: &Ec2) -> Result<Exit, Failure> {
        let (instances, leftovers) = (ec2.instances().await?, ec2.leftovers().await?);
        let alive = instances.iter().filter(|it| !it.state.is_ending());
        let mut ends: Vec<String> = alive.map(|it| it.id.clone()).collect();
        ends.extend(leftovers.into_iter().map(|it| it.id));
        let mut network = network_there(inventory, ec2).await?;
        network.retain(|it| !ends.contains(&it.id));
        let mut stays = Vec::new();
        match takes_network(args, inventory) {
            true => ends.extend(network.iter().map(ToString::to_string)),
            false => stays = network,
        }
        let mut text = match ends.is_empty() {
            true => String::from("nothing would end\n"),
            false => format!("would end, with all claims:\n{}`--yes` does it\n", lines(&ends)),
        };
        if !stays.is_empty() {
            text.push_str(&format!("would stay:\n{}{}", lines(&stays), hint(inventory)));
        }
        print(text.as_bytes())?;
        Ok(if ends.is_empty() && stays.is_empty() { Exit::Ok } else { Exit::Changes })
    }

    fn lines(all: &[impl std::fmt::Display]) -> String {
        all.iter().map(|it| format!("  {it}\n")).collect()
    }

    fn hint(inventory: &Inventory) -> String {
        let name = &inventory.cluster.name;
        if inventory.burst.existing.is_some() {
            return "the stack is of a time when `burst.existing` was not said: run this with the inventory of then, or delete it \
                    in CloudFormation's console; who is not allowed to look needs cloudformation:DescribeStacks (`hoist burst \
                    plan --as policy`)\n"
                .to_owned();
        }
        format!("it has the name of the cluster: if none that lives is called {name}, say `--network`, too\n")
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

    /// What there is of the network that `hoist burst up` has made. One that was there before (`burst.existing`) stays.
    async fn network_there(inventory: &Inventory, ec2: &Ec2) -> Result<Vec<Tagged>, Failure> {
        let network = Network::of(inventory)?;
        let stacks = CloudFormation::connect(&network.region).await;
        Ok(network::standing(&stacks, ec2, &network).await?)
    }

    /// What is left of it, when nothing is in it any more and it was taken away.
    async fn network_left(inventory: &Inventory, ec2: &Ec2) -> Result<Vec<Tagged>, Failure> {
        let network = Network::of(inventory)?;
        let stacks = CloudFormation::connect(&network.region).await;
        Ok(network::destroy(&stacks, ec2, &network, Pace::default(), &|_| ()).await?)
    }

    fn told(
        args: &Args,
        inventory: &Inventory,
        remaining: &Remaining,
        network: &[Tagged],
    ) -> Result<Exit, Failure> {
        for trouble in &remaining.troubles {
            tell_line(trouble);
        }
        if remaining.is_nothing() && network.is_empty() {
            return print(b"nothing is left\n");
        }
        let mut text = format!("left:\n{}", lines(network));
        for names in [&remaining.claims, &remaining.instances, &remaining.leftovers] {
            text.push_str(&lines(names));
        }
        if !network.is_empty() && !takes_network(args, inventory) {
            text.push_str(&hint(inventory));
        }
        print(text.as_bytes())?;
        Ok(Exit::Failed)
    }
}
