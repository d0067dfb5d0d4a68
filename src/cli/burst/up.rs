//! `hoist burst up`: the network of workers in AWS.

use super::reach::ReachArgs;
use crate::{
    burst::network::Network,
    cli::{Failure, shared::Output},
    exit::Exit,
};

/// Makes the network that workers in EC2 need, as a stack of CloudFormation, or changes it to what the inventory says.
/// Safe to repeat and to kill: the next run goes on from there. No instance is started. The cluster is told where its workers
/// will be; one that knows another place already keeps this from being made. Where it does not answer it is made all the same.
///
/// Credentials are looked for where all tools of AWS do. `hoist burst plan` shows what is made, what it costs, and with
/// `--as setup-policy` the permissions that this needs.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  hoist burst up -i office.yaml\n  hoist burst up -i office.yaml --yes --output json"
)]
pub struct Args {
    #[command(flatten)]
    reach: ReachArgs,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// `json` prints the ids of what there is.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let inventory = args.reach.inventory.load()?;
    let network = Network::of(&inventory)?;
    made::run(args, &inventory, &network).await
}

/// Without the way to AWS.
#[cfg(not(feature = "aws"))]
mod made {
    use super::*;
    use crate::inventory::Inventory;

    pub async fn run(_: &Args, _: &Inventory, network: &Network) -> Result<Exit, Failure> {
        let help = format!(
            "build hoist without `--no-default-features`, or give CloudFormation the document of `hoist burst plan --as \
             cloudformation` as the stack {}",
            network.stack()
        );
        let report = miette::miette!(help = help, "this hoist was built without the way to AWS");
        Err(Failure { report, exit: Exit::Os })
    }
}

#[cfg(feature = "aws")]
pub(super) mod made {
    use console::Term;
    use indicatif::ProgressBar;

    use super::*;
    use crate::{
        burst::{
            aws::{CloudFormation, Ec2},
            kubernetes::Store,
            network::{Event, Made, Outcome, Pace, StackFailure, Stacks, in_zones, state, up},
            service::{Error, Place},
        },
        cli::shared::print,
        engine::Library,
        inventory::Inventory,
        report::{self, tell_line, tell_text},
    };

    pub async fn run(args: &Args, inventory: &Inventory, network: &Network) -> Result<Exit, Failure> {
        if let Some(existing) = &network.existing {
            return tell(args, network, Outcome::Nothing, &Made::existing(network, existing));
        }
        by(&CloudFormation::connect(&network.region).await, args, inventory, network).await
    }

    /// By this CloudFormation.
    pub async fn by(
        stacks: &dyn Stacks,
        args: &Args,
        inventory: &Inventory,
        network: &Network,
    ) -> Result<Exit, Failure> {
        let library = Library::default();
        let wanted = state(stacks, &library, network).await?;
        if wanted != Outcome::Nothing {
            // Before anything is made: a network that nobody remembers costs money for ever.
            let cluster = cluster(args, inventory, network).await?;
            let zones = Ec2::connect(&network.region, &network.cluster).await.zones().await;
            in_zones(network, &zones.map_err(StackFailure::from)?)?;
            if !args.yes {
                tell_text(report::burst::network(network, &inventory.burst));
                if let Err(exit) = confirm(network, wanted) {
                    return Ok(exit);
                }
            }
            if let Some(cluster) = cluster {
                Place::of(network).keep(&cluster).await?;
            }
        }
        let (outcome, made) = with_progress(stacks, &library, network).await?;
        tell(args, network, outcome, &made)
    }

    /// The cluster, if it answers: the network may be there before it is.
    async fn cluster(
        args: &Args,
        inventory: &Inventory,
        network: &Network,
    ) -> Result<Option<Store>, Failure> {
        let store = match args.reach.api(inventory).await {
            Ok(api) => Store::reader(api),
            Err(failure) => {
                not_told(&failure.report);
                return Ok(None);
            }
        };
        match Place::of(network).is_kept(&store).await {
            Ok(_) => Ok(Some(store)),
            Err(moved @ Error::Moved(_)) => Err(moved.into()),
            Err(error) => {
                not_told(&error);
                Ok(None)
            }
        }
    }

    fn not_told(why: &dyn std::fmt::Display) {
        tell_line(format_args!("the cluster does not say whether its workers were elsewhere before: {why}"));
    }

    fn confirm(network: &Network, wanted: Outcome) -> Result<(), Exit> {
        let verb = if wanted == Outcome::Made { "make" } else { "change" };
        let terminal = Term::stderr();
        if !terminal.is_term() {
            tell_line(format_args!("nothing was done: run this again with --yes to {verb} it"));
            return Err(Exit::Usage);
        }
        let question = format!("\n{verb} the stack {} in {}? [y/N] ", network.stack(), network.region);
        let answer = terminal.write_str(&question).and_then(|()| terminal.read_line());
        match answer.is_ok_and(|answer| matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")) {
            true => Ok(()),
            false => Err(Exit::Failed),
        }
    }

    /// One line that changes, on a terminal only.
    async fn with_progress(
        stacks: &dyn Stacks,
        library: &Library,
        network: &Network,
    ) -> Result<(Outcome, Made), StackFailure> {
        let line = ProgressBar::new_spinner();
        line.enable_steady_tick(std::time::Duration::from_millis(120));
        let watch = |event: &Event| line.set_message(format!("{} {}", event.part, event.status));
        let done = up(stacks, library, network, Pace::default(), &watch).await;
        line.finish_and_clear();
        done
    }

    fn tell(args: &Args, network: &Network, outcome: Outcome, made: &Made) -> Result<Exit, Failure> {
        if args.output == Output::Json {
            let json = serde_json::json!({"outcome": outcome, "stack": network.stack(), "network": made});
            return print(format!("{json:#}\n").as_bytes());
        }
        tell_line(match outcome {
            Outcome::Nothing => "it is so already",
            Outcome::Made => "made",
            Outcome::Changed => "changed",
        });
        print(report::burst::made(made).as_bytes())
    }
}
