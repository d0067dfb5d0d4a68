//! `hoist apply`: make it so.

use std::time::{Duration, Instant};

use super::{
    Failure,
    shared::{EngineArgs, InventoryArg, Output, home, open},
};
use crate::{
    cluster::{self, Session},
    engine::{Interrupted, Journal, Outcome, Plan, Run, events, lock, observe_all},
    exit::Exit,
    inventory::Inventory,
    report::{self, progress::Progress},
};

/// How long nodes may take to be ready after their last change.
const READY: Duration = Duration::from_secs(300);

/// Makes every host as the inventory says, then reads everything again to prove that nothing is left to change.
/// Safe to repeat and to kill: the next run goes on from there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist apply -i inventory/lab.yaml")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    #[command(flatten)]
    engine: EngineArgs,
    /// `json` prints one event a line to standard output.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Args {
    /// With everything but the inventory at its default.
    pub fn of(inventory: InventoryArg) -> Args {
        let engine = EngineArgs { roles: None, forks: 32 };
        Args { inventory, engine, output: Output::Text }
    }
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let json = args.output == Output::Json;
    let inventory = args.inventory.load()?;
    let library = args.engine.library();
    let forks = usize::from(args.engine.forks);
    let (mut session, subjects) = open(&args.inventory, &inventory, &library).await?;
    lock_all(&session).await?;
    let plan = Plan { hosts: observe_all(&subjects, false, forks).await? };
    if !json {
        eprint!("{}", report::plan::summary(&plan));
    }
    let changes = plan.changes();
    if changes > 0 {
        let (journal, interrupted) = Journal::begin(&state_folder(&inventory))?;
        if !json {
            tell_interrupted(&interrupted);
        }
        let (events, receiver) = events();
        let following = tokio::spawn(Progress::new(json).follow(receiver));
        let run = Run { subjects, library, journal, events, forks };
        let outcomes = run.carry_out(&plan.hosts).await?;
        // The run has dropped its end, so that this ends too.
        let _ = following.await;
        if !report_failures(&outcomes) {
            return Ok(Exit::Failed);
        }
    }
    if changes > 0 {
        session.refresh().await?;
    }
    let api = cluster::api(&inventory, &session).await?;
    let names: Vec<String> = inventory.hosts.keys().cloned().collect();
    let nodes = api.wait_for_nodes_ready(&names, READY, &mut |_| {}).await?;
    if !json {
        print!("{}", report::status::nodes(&nodes));
        eprintln!(
            "Done in {:.1} s: {changes} changes, {} nodes ready.",
            begun.elapsed().as_secs_f64(),
            nodes.len()
        );
    }
    Ok(Exit::Ok)
}

/// One run at a time on each host.
async fn lock_all(session: &Session) -> Result<(), Failure> {
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".to_string());
    let holder = format!("{user} with process {} of hoist apply", std::process::id());
    let locks = session.hosts.values().map(|host| lock(host, &holder));
    futures::future::try_join_all(locks).await?;
    Ok(())
}

fn state_folder(inventory: &Inventory) -> std::path::PathBuf {
    let state = std::env::var_os("XDG_STATE_HOME").map(std::path::PathBuf::from);
    state.unwrap_or_else(|| home().join(".local/state")).join("hoist").join(&inventory.cluster.name)
}

fn tell_interrupted(interrupted: &[Interrupted]) {
    if !interrupted.is_empty() {
        eprintln!("The run before was interrupted while these were in flight; they are looked at again:");
    }
    for step in interrupted {
        eprintln!("  {}: {}: {}", step.host, step.role, step.step);
    }
}

/// Prints what failed; whether nothing did.
fn report_failures(outcomes: &[(String, Outcome)]) -> bool {
    let mut good = true;
    for (host, outcome) in outcomes {
        match outcome {
            Outcome::Converged { .. } => continue,
            Outcome::Failed(failure) => eprintln!("\n{failure}"),
            Outcome::Blocked { role, step, by } => {
                eprintln!("\n{host}: {role}: {step}: not begun, because of {by}\n  next: mend {by} first");
            }
        }
        good = false;
    }
    good
}
