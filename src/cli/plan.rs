//! `hoist plan`: what would change?

use std::path::PathBuf;

use super::{
    Failure,
    addons::Addons,
    live,
    request::{EngineArgs, Request},
    shared::{InventoryArg, Output, print, tell_unreached},
};
use crate::{engine::SavedPlan, exit::Exit, report};

/// Shows what `apply` would change, and changes nothing. Exits 0 when everything holds, 2 when something would
/// change.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist plan -i inventory/lab.yaml --diff\n  \
    hoist plan -i office.yaml --limit worker --out office.plan && hoist apply office.plan")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    #[command(flatten)]
    engine: EngineArgs,
    /// Show the lines of files that would change.
    #[arg(long)]
    diff: bool,
    /// Write the plan here, readable by you alone; `hoist apply PLAN` then does exactly this or nothing.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How to print the plan.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let request = Request::new(&args.inventory.file, &args.engine)?;
    let index = request.index()?;
    let addons = Addons::desired(&request, index.as_ref(), true)?;
    let mut work = request.open(index.as_ref(), None).await?;
    let contents = args.diff || args.output == Output::Json;
    let mut plan = work.plan(contents, args.engine.forks.into()).await;
    let silent = live::compare(&addons, &request, &work.session, &mut plan).await?;
    if let Some(path) = &args.out {
        SavedPlan::new(request.source(contents)?, &work.subjects, &plan).write(path)?;
    }
    let lost = tell_unreached(work.session.unreached, request.inventory().hosts.len());
    match args.output {
        Output::Text => print(report::plan::plan(&plan, args.diff).as_bytes())?,
        Output::Json => {
            let mut text = serde_json::to_vec_pretty(&plan).map_err(|error| Failure::os(error.into()))?;
            text.push(b'\n');
            print(&text)?
        }
    };
    let lost = Exit::worst([lost, silent]);
    let own = if plan.is_empty() { Exit::Ok } else { Exit::Changes };
    // That something would change is an answer; that a host could not be asked is none.
    Ok(if lost == Exit::Ok { own } else { lost })
}
