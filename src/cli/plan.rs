//! `hoist plan`: what would change?

use super::{
    Failure,
    shared::{EngineArgs, InventoryArg, Output, open},
};
use crate::{
    engine::{Plan, observe_all},
    exit::Exit,
    report,
};

/// Shows what `apply` would change, and changes nothing. Exits 0 when everything holds, 2 when something would
/// change.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist plan -i inventory/lab.yaml --diff")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    #[command(flatten)]
    engine: EngineArgs,
    /// Show the lines of files that would change.
    #[arg(long)]
    diff: bool,
    /// How to print the plan.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let inventory = args.inventory.load()?;
    let (_session, subjects) = open(&args.inventory, &inventory, &args.engine.library()).await?;
    let contents = args.diff || args.output == Output::Json;
    let plan = Plan { hosts: observe_all(&subjects, contents, args.engine.forks.into()).await? };
    match args.output {
        Output::Text => print!("{}", report::plan::plan(&plan, args.diff)),
        Output::Json => {
            println!("{}", serde_json::to_string_pretty(&plan).map_err(|error| Failure::os(error.into()))?)
        }
    }
    Ok(if plan.changes() == 0 { Exit::Ok } else { Exit::Changes })
}
