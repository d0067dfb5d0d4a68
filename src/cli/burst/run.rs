//! `hoist burst run`: the controller.

use std::path::PathBuf;

use super::reach::ReachArgs;
use crate::{
    cli::{Failure, shared::Output},
    exit::Exit,
};

/// Rents workers for pods that have no room, and gives them back when they are not needed any more, until it is ended.
///
/// It runs in the foreground: by hand, as the unit or the Deployment that `hoist burst manifest` prints. Several may run;
/// one leads. Credentials for AWS are taken from where its tools look for them: the environment, `~/.aws`, the machine's
/// role.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  hoist burst run -i inventory/burst.yaml --once --dry-run\n  \
    hoist burst run -i inventory/burst.yaml\n  \
    hoist burst run -i /etc/hoist/inventory.yaml --kubeconfig /etc/kubernetes/admin.conf --output json")]
pub struct Args {
    #[command(flatten)]
    reach: ReachArgs,
    /// A folder with `roles/` and `templates/` whose files come before the built-in ones, in what new nodes run.
    #[arg(long, value_name = "DIR")]
    roles: Option<PathBuf>,
    /// A folder that has the artifacts' `kubernetes-VERSION/index.yaml` alone: nodes fetch the files from `artifacts.url`.
    /// Default: the artifacts of the inventory, in full.
    #[arg(long, value_name = "DIR")]
    artifacts: Option<PathBuf>,
    /// One turn, and what came of it. It waits for no more pods. 75 if another controller leads.
    #[arg(long)]
    once: bool,
    /// Only tell what would be done in this turn.
    #[arg(long, requires = "once")]
    dry_run: bool,
    /// How events are printed: lines on standard error, or a JSON object a line on standard output.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[cfg(not(feature = "aws"))]
pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let _ = (&args.reach, &args.roles, &args.artifacts, args.once, args.dry_run, args.output);
    Err(super::without_aws())
}

#[cfg(feature = "aws")]
pub use with_aws::run;

#[cfg(feature = "aws")]
mod with_aws {
    use std::sync::Arc;

    use tokio::{
        signal::unix::{SignalKind, signal},
        sync::watch,
    };

    use super::{Args, Exit, Failure, Output};
    use crate::{
        artifact::{self, Index},
        burst::{
            aws::Prices,
            market::Catalog,
            service::{
                self, Connect as _, Known, Line, Outcome, Service, Stop, SystemClock, ask, keep, zones,
            },
        },
        cli::{
            burst::parts::{Supply, Way, identity},
            request::library,
            shared::{cache, home, print},
        },
        report::{self, tell_line},
    };

    pub async fn run(args: &Args) -> Result<Exit, Failure> {
        let inventory = args.reach.inventory.load()?;
        let rules = service::rules(&inventory.burst)?;
        let library = library(args.roles.as_deref())?;
        let supply = match args.dry_run {
            true => None,
            false => {
                let version = inventory.cluster.kubernetes.to_string();
                let index = match &args.artifacts {
                    Some(folder) => Index::described(folder, &version)?,
                    None => artifact::supply(&inventory, &args.reach.inventory.file, &home(), &cache()?)?,
                };
                Some(Supply { index, library })
            }
        };
        let (burst, zones) = (rules.burst.clone(), zones(&rules.burst));
        let market = Prices::connect(burst.region.as_deref().unwrap_or_default()).await;
        let (known, receiver) = watch::channel(Known::default());
        let way = Way {
            reach: args.reach.clone(),
            inventory,
            rules: rules.clone(),
            identity: identity(),
            supply,
            once: args.once,
            only_looks: args.dry_run,
        };
        let (clock, output) = (Arc::new(SystemClock), args.output);
        let identity = way.identity.clone();
        let told = move |line: &Line| tell(output, line);
        if args.once {
            known.send_replace(ask(&mut Catalog::default(), &market, &burst, &zones, clock.as_ref()).await);
            let mut connection = way.connect().await?;
            let mut service = Service::new(Box::new(way), rules, clock, receiver, identity, Box::new(told));
            let outcome = service.once(&mut connection, args.dry_run).await?;
            let troubles = known.borrow().troubles.clone();
            return shown(args.output, &outcome, &troubles);
        }
        let (stopper, mut stop) = Stop::new();
        let _asker = tokio::spawn(async move {
            wait_for_signal().await;
            stopper.send_replace(true);
            // Whoever would wait for the channel to close waits for the turn.
            std::future::pending::<()>().await;
        });
        let of_prices = clock.clone();
        let _keeper =
            tokio::spawn(async move { keep(&market, &burst, &zones, of_prices.as_ref(), &known).await });
        Service::new(Box::new(way), rules, clock, receiver, identity, Box::new(told)).run(&mut stop).await?;
        Ok(Exit::Ok)
    }

    async fn wait_for_signal() {
        let (Ok(mut terminate), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            // Without handlers the signals end the process, which any turn survives.
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }

    fn tell(output: Output, line: &Line) {
        match output {
            Output::Text => tell_line(line),
            // A line is a map of plain values, which always becomes JSON. Whoever reads no more wants no more.
            Output::Json => {
                let text = serde_json::to_string(line).unwrap_or_default();
                let _ = print(format!("{text}\n").as_bytes());
            }
        }
    }

    fn shown(output: Output, outcome: &Outcome, troubles: &[String]) -> Result<Exit, Failure> {
        let text = match (outcome, output) {
            (Outcome::Standby, _) => {
                let report = miette::miette!(
                    help = "`hoist burst status` says who; end that one first, or leave it to it",
                    "another controller leads: nothing was done"
                );
                return Err(Failure { report, exit: Exit::Temporary });
            }
            (Outcome::Done(done), Output::Text) => report::burst::turn(done, troubles),
            (Outcome::Done(done), Output::Json) => {
                format!("{:#}\n", report::burst::turn_json(done, troubles))
            }
        };
        print(text.as_bytes())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_turn_that_another_controller_kept_from_being_made_is_no_success() {
            for output in [Output::Text, Output::Json] {
                let failure = shown(output, &Outcome::Standby, &[]).unwrap_err();
                assert_eq!(failure.exit, Exit::Temporary);
                assert_eq!(failure.report.to_string(), "another controller leads: nothing was done");
            }
        }
    }
}
