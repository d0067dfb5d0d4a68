//! `hoist preflight`: are the hosts fit for a cluster?

use super::{
    Failure,
    request::lock,
    shared::{InventoryArg, Output, cache, home, print},
};
use crate::{
    artifact::{self, Index},
    cluster::Session,
    engine::Lock,
    exit::Exit,
    inventory::Selection,
    preflight::{self, Copied, Severity, repair},
    report::{self, tell_line},
    transport::Script,
};

/// Looks for what would make an installation fail: on each host, among all of them (clones, clocks), and between
/// them (ports, packet sizes, full-size TCP, in a tunnel where the network plugin makes one). Leaves nothing on them.
/// Exits 0 when there is no error, 1 when there is one, or with the code of a host that cannot be reached.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  hoist preflight -i inventory/three.yaml\n  \
    hoist preflight -i inventory/three.yaml --repair")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    /// Only these hosts: names, roles or sites, with commas between them. What they use on other hosts is tried too.
    #[arg(long, value_name = "HOSTS", default_value = "all")]
    limit: Selection,
    /// Give hosts that were copied a machine-id, an iSCSI initiator name and an NVMe host name of their own, where they
    /// have another's, then look again. Nodes of a cluster keep what they have.
    #[arg(long)]
    repair: bool,
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
    // Whether there are artifacts at all is for those to say who need them, and no bundle is unpacked for this.
    let index = match inventory.artifacts.bundle {
        Some(_) => None,
        None => artifact::supply(&inventory, &args.inventory.file, &home(), &cache()?).ok(),
    };
    let programs = index.as_ref().and_then(Index::architecture);
    let mut found = preflight::examine(&inventory, &targets, programs).await;
    if args.repair && !found.repairs.is_empty() {
        let lock = lock();
        for copied in &found.repairs {
            renew(copied, &lock).await?;
        }
        drop(found);
        found = preflight::examine(&inventory, &targets, programs).await;
    }
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

/// Makes a host's identities its own, under its lock: whoever changes it now must not be disturbed.
async fn renew(Copied { host, identities }: &Copied, lock: &Lock) -> Result<(), Failure> {
    let output = host.run(Script::new(lock.script() + &repair::script(identities))).await?;
    Lock::taken(host.name(), &output)?;
    let names: Vec<&str> = identities.iter().map(|identity| identity.name()).collect();
    if output.status != 0 {
        let said = String::from_utf8_lossy(&output.stderr);
        let report = miette::miette!(
            help = "`hoist preflight` without `--repair` says how to do it by hand",
            "failed to make {} of {} anew: {}",
            names.join(", "),
            host.name(),
            said.trim()
        );
        return Err(Failure { report, exit: Exit::Failed });
    }
    tell_line(format_args!(
        "{}: {} made anew; reboot it before anything relies on it",
        host.name(),
        names.join(", ")
    ));
    Ok(())
}
