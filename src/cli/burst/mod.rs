//! `hoist burst`: workers in EC2.

mod plan;

use clap::Subcommand;

use super::Failure;
use crate::exit::Exit;

/// Workers in EC2 when the machines have no room left.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist burst plan -i inventory/burst.yaml")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Plan(plan::Args),
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Plan(args) => plan::run(args),
    }
}
