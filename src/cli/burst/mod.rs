//! `hoist burst`: workers in EC2 when the machines have no room left.

mod simulate;

use clap::Subcommand;

use super::Failure;
use crate::exit::Exit;

/// Workers in EC2 when the machines have no room left.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist burst simulate --prices examples/prices.yaml --metal 3")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Simulate(simulate::Args),
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Simulate(args) => simulate::run(args),
    }
}
