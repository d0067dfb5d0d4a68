//! `hoist burst`: workers in EC2.

mod destroy;
mod manifest;
#[cfg(all(test, feature = "aws"))]
mod moved_tests;
#[cfg(feature = "aws")]
mod parts;
mod plan;
mod reach;
mod run;
mod simulate;
mod status;
mod up;
mod workers;

use clap::Subcommand;

use super::Failure;
use crate::exit::Exit;

/// Workers in EC2 when the machines have no room left.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  hoist burst plan -i inventory/burst.yaml\n  \
    hoist burst up -i office.yaml\n  \
    hoist burst simulate --prices examples/prices.yaml --metal 3\n  \
    hoist burst run -i inventory/burst.yaml --once --dry-run\n  \
    hoist burst status -i inventory/burst.yaml")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Plan(plan::Args),
    Up(up::Args),
    Simulate(simulate::Args),
    Run(run::Args),
    Status(status::Args),
    Add(workers::AddArgs),
    Remove(workers::RemoveArgs),
    Destroy(destroy::Args),
    Manifest(manifest::Args),
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Plan(args) => plan::run(args),
        Verb::Up(args) => up::run(args).await,
        Verb::Simulate(args) => simulate::run(args),
        Verb::Manifest(args) => manifest::run(args),
        Verb::Run(args) => run::run(args).await,
        Verb::Status(args) => status::run(args).await,
        Verb::Add(args) => workers::add(args).await,
        Verb::Remove(args) => workers::remove(args).await,
        Verb::Destroy(args) => destroy::run(args).await,
    }
}

/// What a verb ends with that talks to AWS, in a program that was made without it.
#[cfg(not(feature = "aws"))]
fn without_aws() -> Failure {
    let report = miette::miette!(
        help = "build it without `--no-default-features`",
        "this hoist was built without AWS' client library"
    );
    Failure { report, exit: Exit::Usage }
}
