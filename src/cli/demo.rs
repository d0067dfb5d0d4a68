//! `hoist demo`: everything, from nothing to an application that answers.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    Failure, apply,
    lock::OriginArgs,
    official, sample,
    shared::{InventoryArg, print},
};
use crate::{
    cluster::sample::Sample,
    exit::Exit,
    inventory::{self, Inventory},
    lab::{self, Cache, Config, Extent, NodeSpec},
    report::{steps, tell_line},
};

/// Makes a real cluster on this machine: sets the lab up, starts its nodes, installs Kubernetes on them over SSH as on
/// any machines, and deploys an application. Needs root on Debian 12 or newer. Safe to repeat.
///
/// Kubernetes is the newest official release that starts on this machine, where these releases can be reached; otherwise
/// it is built from Debian's source package. A lab that has nodes keeps the one that they were made for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  hoist demo --yes\n  hoist demo --kubernetes debian")]
pub struct Args {
    /// Do not ask before installing and building what the lab needs.
    #[arg(long)]
    yes: bool,
    /// The inventory of the lab. Default: inventory/lab-ha.yaml, seven nodes, where 6 GB of memory are available;
    /// otherwise inventory/lab.yaml, three nodes.
    #[arg(short = 'i', long = "inventory", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Ask nobody whether releases can be reached: take this one, or `debian` for the build.
    #[arg(long, value_name = "VERSION")]
    kubernetes: Option<lab::Kubernetes>,
    #[command(flatten)]
    origin: OriginArgs,
}

/// What the seven nodes take, with room for the machine's own work: they hold about 2 GB when the cluster runs.
const MEMORY_FOR_SEVEN: u64 = 6_000_000_000;

/// Of seven nodes and of three.
const SAMPLES: [&str; 2] = ["inventory/lab-ha.yaml", "inventory/lab.yaml"];

/// The sample that was begun, whatever memory its nodes have left; otherwise the one that there is memory for.
fn sample(begun: impl Fn(&str) -> bool, memory: Option<u64>) -> &'static str {
    let [seven, three] = SAMPLES;
    let fits = if memory.is_some_and(|bytes| bytes >= MEMORY_FOR_SEVEN) { seven } else { three };
    SAMPLES.into_iter().find(|sample| begun(sample)).unwrap_or(fits)
}

/// Whether the lab of an inventory has nodes.
fn has_nodes(cache: &Cache, file: &str) -> bool {
    let Ok(loaded) = inventory::load(Path::new(file)) else { return false };
    let config =
        loaded.inventory.ssh.network_namespace.and_then(|name| Config::new(cache.clone(), &name).ok());
    config.is_some_and(|config| lab::kept(&config).is_ok_and(|kept| kept.is_some()))
}

/// Bytes that programs can have without others being swapped out; nothing where the kernel does not say.
fn available_memory() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// What is shown, and how long each part took.
pub struct Clock {
    file: PathBuf,
    /// The sample application's, where it is not that of set-up.
    image: Option<String>,
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
    let cache = Cache::locate()?;
    let usual = || PathBuf::from(sample(|file| has_nodes(&cache, file), available_memory()));
    let file = args.file.clone().unwrap_or_else(usual);
    let mut clock = Clock { file, image: None, parts: Vec::new(), last: Instant::now() };
    let loaded = inventory::load(&clock.file)?;
    // A lab's network namespace has the lab's name.
    let Some(name) = &loaded.inventory.ssh.network_namespace else { return Err(no_lab(&clock.file)) };
    let config = Config::new(cache, name)?;
    let chosen = official::choose(args.kubernetes.as_ref(), &args.origin, &config, &clock.file, &loaded)?;
    let extent = chosen.as_ref().map_or(Ok(Extent::Whole), official::Release::extent)?;
    lab::setup(&config.cache, &extent, args.yes, &mut *steps::on_stderr())?;
    clock.part("set-up");
    let nodes = match chosen {
        None => {
            official::forget(&config)?;
            NodeSpec::of(&loaded.inventory)
        }
        Some(release) => {
            release.bring(&args.origin)?;
            clock.part("downloads");
            clock.image = release.sample_image();
            clock.file = release.file;
            NodeSpec::of(&release.inventory)
        }
    };
    lab::up(&config, &nodes, &mut *steps::on_stderr())?;
    clock.part("nodes");
    Ok(clock)
}

/// A data centre's inventory, given by mistake.
fn no_lab(file: &Path) -> Failure {
    let report = miette::miette!(
        help = "start from inventory/lab.yaml; what `hoist apply` installs are the hosts of any inventory",
        "{} is not the inventory of a lab: `ssh.network_namespace` does not name one",
        file.display()
    );
    Failure { report, exit: Exit::Data }
}

pub async fn run(mut clock: Clock) -> Result<Exit, Failure> {
    let file = clock.file.clone();
    let inventory = InventoryArg { file: file.clone() };
    tell_line(format_args!("\n$ hoist apply -i {}", file.display()));
    let exit = apply::run(&apply::Args::of(inventory)).await?;
    if exit != Exit::Ok {
        return Ok(exit);
    }
    clock.part("hoist apply");
    let image = clock.image.iter().map(|image| format!(" --image {image}")).collect::<String>();
    tell_line(format_args!("\n$ hoist sample -i {}{image}", file.display()));
    let exit = sample::run(&sample::Args {
        inventory: InventoryArg { file: file.clone() },
        image: clock.image.clone(),
    })
    .await?;
    clock.part("hoist sample");
    let parts: String =
        clock.parts.iter().map(|(name, seconds)| format!("{name:<14} {seconds:7.1} s\n")).collect();
    let next = next(&file, &inventory::load(&file)?.inventory);
    print(format!("\n{parts}\nWhat to do next:\n{next}").as_bytes())?;
    Ok(exit)
}

/// What to try on a cluster that runs.
fn next(file: &Path, inventory: &Inventory) -> String {
    let file = file.display();
    let lab = match inventory.ssh.network_namespace.as_deref() {
        None | Some(lab::DEFAULT_LAB) => "hoist lab".to_owned(),
        Some(name) => format!("hoist lab --lab {name}"),
    };
    let mut rows = vec![
        (format!("hoist plan -i {file}"), "what would change (nothing)"),
        (format!("hoist status -i {file}"), "nodes and pods"),
        (format!("hoist kubeconfig -i {file} --file k.yaml"), "credentials for kubectl, then"),
        (format!("{lab} exec -- kubectl --kubeconfig k.yaml get pods -A"), ""),
    ];
    if let Some((name, host)) = inventory.hosts.last() {
        let port = Sample::default().node_port;
        rows.push((format!("{lab} exec -- curl http://{}:{port}/", host.address), "the application"));
        rows.push((format!("{lab} ssh {name}"), "a shell on a node; break something, then plan and apply"));
    }
    rows.push((format!("{lab} down"), "stop everything, leave nothing behind"));
    let width =
        rows.iter().filter(|(_, what)| !what.is_empty()).map(|(command, _)| command.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(command, what)| format!("  {}\n", format!("{command:width$}  {what}").trim_end()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_gone_on_with() {
        let (much, little) = (Some(MEMORY_FOR_SEVEN), Some(MEMORY_FOR_SEVEN - 1));
        let none: &[&str] = &[];
        for (begun, memory, taken) in [
            (none, much, SAMPLES[0]),
            (none, little, SAMPLES[1]),
            (none, None, SAMPLES[1]),
            (&SAMPLES[..1], little, SAMPLES[0]),
            (&SAMPLES[1..], much, SAMPLES[1]),
        ] {
            assert_eq!(sample(|file| begun.contains(&file), memory), taken, "{begun:?} {memory:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        assert!(!has_nodes(&cache, SAMPLES[1]));
        std::fs::create_dir_all(Config::new(cache.clone(), "hoist-lab").unwrap().disk("cp1")).unwrap();
        assert!(has_nodes(&cache, SAMPLES[1]) && !has_nodes(&cache, SAMPLES[0]));
    }

    #[test]
    fn what_to_do_next_names_the_lab_and_its_nodes() {
        let text = include_str!("../../inventory/lab.yaml")
            .replace("network_namespace: hoist-lab", "network_namespace: two");
        let inventory = inventory::parse("two.yaml", &text).unwrap().inventory;
        insta::assert_snapshot!(next(Path::new("two.yaml"), &inventory), @r"
          hoist plan -i two.yaml                                     what would change (nothing)
          hoist status -i two.yaml                                   nodes and pods
          hoist kubeconfig -i two.yaml --file k.yaml                 credentials for kubectl, then
          hoist lab --lab two exec -- kubectl --kubeconfig k.yaml get pods -A
          hoist lab --lab two exec -- curl http://10.77.0.13:30080/  the application
          hoist lab --lab two ssh w2                                 a shell on a node; break something, then plan and apply
          hoist lab --lab two down                                   stop everything, leave nothing behind
        ");
    }
}
