//! `hoist demo`: everything, from nothing to an application that answers.

use std::{path::PathBuf, time::Instant};

use super::{Failure, apply, sample, shared::InventoryArg};
use crate::{
    exit::Exit,
    inventory,
    lab::{self, Cache, Config, NodeSpec},
    report::steps,
};

/// Makes a real cluster on this machine: sets the lab up, starts its nodes, installs Kubernetes on them over SSH as on
/// any machines, and deploys an application. Needs root on Debian 12 or newer. Safe to repeat.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist demo --yes")]
pub struct Args {
    /// Do not ask before installing and building what the lab needs.
    #[arg(long)]
    yes: bool,
    /// The inventory of the lab.
    #[arg(short = 'i', long = "inventory", value_name = "FILE", default_value = "inventory/lab.yaml")]
    file: PathBuf,
}

/// How long each part took.
pub struct Clock {
    parts: Vec<(&'static str, f64)>,
    last: Instant,
}

impl Clock {
    fn part(&mut self, name: &'static str) {
        self.parts.push((name, self.last.elapsed().as_secs_f64()));
        self.last = Instant::now();
    }
}

/// Set-up and nodes: what needs a process without threads.
pub fn prepare(args: &Args) -> Result<Clock, Failure> {
    let mut clock = Clock { parts: Vec::new(), last: Instant::now() };
    let inventory = inventory::load(&args.file)?.inventory;
    let config = Config::new(Cache::locate()?, lab::DEFAULT_LAB)?;
    lab::setup(&config.cache, args.yes, &mut *steps::on_stderr())?;
    clock.part("set-up");
    let nodes: Vec<NodeSpec> = inventory
        .hosts
        .iter()
        .map(|(name, host)| NodeSpec { name: name.clone(), address: host.address })
        .collect();
    lab::up(&config, &nodes, &mut *steps::on_stderr())?;
    clock.part("nodes");
    Ok(clock)
}

pub async fn run(args: &Args, mut clock: Clock) -> Result<Exit, Failure> {
    let inventory = InventoryArg { file: args.file.clone() };
    eprintln!("\n$ hoist apply -i {}", args.file.display());
    let exit = apply::run(&apply::Args::of(inventory)).await?;
    if exit != Exit::Ok {
        return Ok(exit);
    }
    clock.part("hoist apply");
    eprintln!("\n$ hoist sample -i {}", args.file.display());
    let exit = sample::run(&sample::Args { inventory: InventoryArg { file: args.file.clone() } }).await?;
    clock.part("hoist sample");
    println!();
    for (name, seconds) in &clock.parts {
        println!("{name:<14} {seconds:7.1} s");
    }
    let file = args.file.display();
    println!(
        "\nWhat to do next:\n  \
         hoist plan -i {file}                       what would change (nothing)\n  \
         hoist status -i {file}                     nodes and pods\n  \
         hoist kubeconfig -i {file} --file k.yaml   credentials for kubectl, then\n  \
         hoist lab exec -- kubectl --kubeconfig k.yaml get pods -A\n  \
         hoist lab exec -- curl http://10.77.0.12:30080/\n  \
         hoist lab ssh w1                           a shell on a node; break something, then plan and apply\n  \
         hoist lab down                             stop everything, leave nothing behind"
    );
    Ok(exit)
}
