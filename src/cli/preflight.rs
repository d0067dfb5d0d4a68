//! `hoist preflight`: are the hosts fit for a cluster?

use super::{
    Failure,
    shared::{InventoryArg, Output, home, print},
};
use crate::{
    cluster::Session,
    exit::Exit,
    inventory::Selection,
    preflight::{self, Severity},
    report,
};

/// Looks for what would make an installation fail: on each host, among all of them (clones, clocks), and between
/// them (ports, packet sizes). Changes nothing. Exits 0 when there is no error, 1 when there is one, or with the code
/// of a host that cannot be reached.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist preflight -i inventory/three.yaml")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    /// Only these hosts: names, roles or sites, with commas between them. What they use on other hosts is tried too.
    #[arg(long, value_name = "HOSTS", default_value = "all")]
    limit: Selection,
    /// Also list what is as it should be.
    #[arg(long)]
    all: bool,
    /// How to print the findings; `json` is a list of {check, severity, hosts, checked, observed, expected, fix}.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let inventory = args.inventory.load()?;
    let selected = args.limit.hosts(&inventory);
    let selected = selected.map_err(|error| Failure { report: error.into(), exit: Exit::Usage })?;
    let mut targets = Session::targets(&inventory, &home()).await?;
    targets.retain(|target| selected.iter().any(|(name, _)| *name == target.name));
    let found = preflight::examine(&inventory, &targets).await;
    let text = match args.output {
        Output::Text => report::preflight::findings(&found.findings, args.all),
        Output::Json => {
            let json = serde_json::to_string_pretty(&found.findings);
            json.map_err(|error| Failure::os(error.into()))? + "\n"
        }
    };
    print(text.as_bytes())?;
    let failed = found.findings.iter().any(|finding| finding.severity == Severity::Error);
    let unreached = found.unreached.iter().map(|error| error.exit()).max_by_key(|exit| *exit as u8);
    Ok(unreached.unwrap_or(if failed { Exit::Failed } else { Exit::Ok }))
}
