//! `hoist trust`: shows the keys of hosts that are not known yet, and records them.

use std::collections::{BTreeMap, BTreeSet};

use console::Term;
use futures::future::join_all;

use super::{
    Failure,
    group::tell,
    shared::{InventoryArg, home},
};
use crate::{
    cluster::Session,
    exit::Exit,
    report::tell_line,
    transport::{Error, Shown, Target, Verdict, host_key},
};

/// Shows the keys of hosts that are not known yet and, after asking, records them in known_hosts; those of jump hosts
/// first. A key that has changed is never replaced.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist trust -i inventory/three.yaml w1")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    /// Only these hosts or jump hosts, and the jump hosts on the way to them.
    #[arg(value_name = "HOST")]
    hosts: Vec<String>,
    /// Do not ask: the fingerprints have been compared already.
    #[arg(long)]
    yes: bool,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let inventory = args.inventory.load()?;
    let mut targets = Session::targets(&inventory, &home()).await?;
    if !args.hosts.is_empty() {
        targets = chosen(&targets, &args.hosts)?;
    }
    let trusted = trust(&targets, args.yes).await;
    tell_line(format_args!(
        "{} known already, {} recorded, {} not recorded",
        trusted.known, trusted.recorded, trusted.declined
    ));
    let declined = if trusted.declined == 0 { Exit::Ok } else { Exit::Permission };
    Ok(Exit::worst([declined, tell(trusted.failures)]))
}

/// The hosts and jump hosts of these names.
fn chosen(targets: &[Target], names: &[String]) -> Result<Vec<Target>, Failure> {
    let mut all: BTreeMap<&str, &Target> = BTreeMap::new();
    let jumps = targets.iter().flat_map(Target::jumps);
    all.extend(jumps.chain(targets).map(|target| (target.name.as_str(), target)));
    let of = |name: &String| match all.get(name.as_str()) {
        Some(target) => Ok((*target).clone()),
        None => {
            let known: Vec<&str> = all.keys().copied().collect();
            let report = miette::miette!(
                help = format!("the hosts are: {}", known.join(", ")),
                "there is no host \"{name}\" in the inventory"
            );
            Err(Failure { report, exit: Exit::Usage })
        }
    };
    names.iter().map(of).collect()
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

/// Asks targets for their keys, shows those that are unknown, asks whether they are right (not when `yes`), and
/// records them in each target's first known_hosts file. A key that has changed is never replaced. Jump hosts come
/// before what lies behind them, and all that are as far away at once.
pub async fn trust(targets: &[Target], yes: bool) -> Trusted {
    let mut trusted = Trusted::default();
    for targets in layers(targets) {
        trust_all(&targets, yes, &mut trusted).await;
    }
    trusted
}

/// The targets and the jump hosts on the way to them, by the number of jump hosts before them.
fn layers(targets: &[Target]) -> Vec<Vec<&Target>> {
    let (mut layers, mut seen) = (BTreeMap::<usize, Vec<&Target>>::new(), BTreeSet::new());
    for target in targets.iter().chain(targets.iter().flat_map(Target::jumps)) {
        if seen.insert(place(target)) {
            layers.entry(target.jumps().len()).or_default().push(target);
        }
    }
    layers.into_values().collect()
}

/// What tells machines apart: address and port of every stop on the way.
fn place(target: &Target) -> Vec<(&str, u16)> {
    target.jumps().into_iter().chain([target]).map(|stop| (stop.address.as_str(), stop.port)).collect()
}

async fn trust_all(targets: &[&Target], yes: bool, trusted: &mut Trusted) {
    let answers = join_all(targets.iter().map(|target| host_key(target))).await;
    let mut unknown = Vec::new();
    for (target, answer) in targets.iter().zip(answers) {
        match answer {
            Err(error) => trusted.failures.push(error),
            Ok(Shown { verdict: Verdict::Known, .. }) => trusted.known += 1,
            Ok(Shown { verdict: Verdict::Unknown, key }) => unknown.push((target, key)),
            Ok(shown) => trusted.failures.extend(shown.objection(target)),
        }
    }
    if unknown.is_empty() {
        return;
    }
    let terminal = Term::stdout();
    let width = unknown.iter().map(|(target, _)| target.name.len()).max().unwrap_or(0);
    for (target, key) in &unknown {
        // A terminal that is gone cannot be asked either: then nothing is recorded.
        let _ = terminal.write_line(&format!("{:width$}  {}  {key}", target.name, target.address));
    }
    if !yes && !confirm(&terminal, unknown.len()) {
        trusted.declined += unknown.len();
        return;
    }
    for (target, key) in unknown {
        match target.record(&key) {
            Ok(()) => trusted.recorded += 1,
            Err(error) => trusted.failures.push(error),
        }
    }
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
