//! `hoist trust`: shows the keys of hosts that are not known yet, and records them.

use console::Term;
use futures::future::join_all;

use super::{
    Failure,
    shared::{InventoryArg, home},
};
use crate::{
    cluster::Session,
    exit::Exit,
    transport::{Error, Shown, Target, Verdict, host_key, known_hosts},
};

/// Shows the keys of hosts that are not known yet and, after asking, records them in known_hosts. A key that has
/// changed is never replaced.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist trust -i inventory/three.yaml w1")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    /// Only these hosts.
    #[arg(value_name = "HOST")]
    hosts: Vec<String>,
    /// Do not ask: the fingerprints have been compared already.
    #[arg(long)]
    yes: bool,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let inventory = args.inventory.load()?;
    let mut targets = Session::targets(&inventory, &home());
    if !args.hosts.is_empty() {
        if let Some(unknown) = args.hosts.iter().find(|name| !inventory.hosts.contains_key(*name)) {
            let known: Vec<&str> = inventory.hosts.keys().map(String::as_str).collect();
            let report = miette::miette!(
                help = format!("the hosts are: {}", known.join(", ")),
                "there is no host \"{unknown}\" in the inventory"
            );
            return Err(Failure { report, exit: Exit::Usage });
        }
        targets.retain(|target| args.hosts.contains(&target.name));
    }
    let trusted = trust(&targets, args.yes).await;
    eprintln!(
        "{} known already, {} recorded, {} not recorded",
        trusted.known, trusted.recorded, trusted.declined
    );
    let mut exit = if trusted.declined == 0 { Exit::Ok } else { Exit::Permission };
    for failure in trusted.failures {
        exit = failure.exit();
        eprintln!("{:?}", miette::Report::new(failure));
    }
    Ok(exit)
}

/// What became of the hosts.
#[derive(Debug, Default)]
pub struct Trusted {
    /// Hosts whose key was known already.
    pub known: usize,
    /// Hosts whose key is recorded now.
    pub recorded: usize,
    /// Hosts whose key was shown and declined.
    pub declined: usize,
    /// Hosts without an answer, and those whose key contradicts what is recorded.
    pub failures: Vec<Error>,
}

/// Asks all targets for their keys at once, shows those that are unknown, asks whether they are right (not when
/// `yes`), and records them in each target's first known_hosts file. A key that has changed is never replaced.
pub async fn trust(targets: &[Target], yes: bool) -> Trusted {
    let answers = join_all(targets.iter().map(host_key)).await;
    let (mut trusted, mut unknown) = (Trusted::default(), Vec::new());
    for (target, answer) in targets.iter().zip(answers) {
        match answer {
            Err(error) => trusted.failures.push(error),
            Ok(Shown { verdict: Verdict::Known, .. }) => trusted.known += 1,
            Ok(Shown { verdict: Verdict::Unknown, key }) => unknown.push((target, key)),
            Ok(shown) => trusted.failures.extend(shown.objection(target)),
        }
    }
    if unknown.is_empty() {
        return trusted;
    }
    let terminal = Term::stdout();
    let width = unknown.iter().map(|(target, _)| target.name.len()).max().unwrap_or(0);
    for (target, key) in &unknown {
        // A terminal that is gone cannot be asked either: then nothing is recorded.
        let _ = terminal.write_line(&format!("{:width$}  {}  {key}", target.name, target.address));
    }
    if !yes && !confirm(&terminal, unknown.len()) {
        trusted.declined = unknown.len();
        return trusted;
    }
    for (target, key) in unknown {
        let Some(file) = target.known_hosts.first() else { continue };
        match known_hosts::append(file, &target.address, target.port, &key) {
            Ok(()) => trusted.recorded += 1,
            Err(error) => trusted.failures.push(error),
        }
    }
    trusted
}

fn confirm(terminal: &Term, count: usize) -> bool {
    if !terminal.is_term() {
        let _ = terminal.write_line("not recorded: compare the fingerprints, then run this again with --yes");
        return false;
    }
    let keys = if count == 1 { "this key" } else { "these keys" };
    let question = format!("record {keys}? The fingerprints must be those on the machines themselves [y/N] ");
    let answer = terminal.write_str(&question).and_then(|()| terminal.read_line());
    answer.is_ok_and(|answer| matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
