//! `hoist burst simulate`: what would have been rented, and what it would have cost.

use std::{fs, path::PathBuf};

use crate::{
    burst::{
        offer::Money,
        pack::{Limits, Node, Settings, ZONE},
        simulate::{self, Delays, Generated, Outcome, Pending, Site, generate, machine, replay},
    },
    cli::{
        failure::Failure,
        shared::{Output, print},
    },
    exit::Exit,
    inventory::{self, Inventory, Role},
    report::table::Table,
};

/// Replays a workload against your machines and a list of prices, and tells which nodes would have been rented, what
/// they would have cost, and how long pods would have waited. Nothing is rented; neither AWS nor a cluster is asked.
///
/// Without `--workload` one is made up: jobs that come and go, most of them at noon.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  hoist burst simulate --prices examples/prices.yaml --metal 3\n  \
    hoist burst simulate --prices examples/prices.yaml -i inventory/burst.yaml --workload pods.jsonl --chart burst.svg")]
pub struct Args {
    /// Instance types and what they cost: `examples/prices.yaml` is one to begin with.
    #[arg(long, value_name = "FILE")]
    prices: PathBuf,
    /// Whether spot prices of that file are used, too.
    #[arg(long)]
    spot: bool,

    /// The inventory whose workers are the machines, and whose limits hold.
    #[arg(short, long, value_name = "FILE", env = "HOIST_INVENTORY", conflicts_with = "metal")]
    inventory: Option<PathBuf>,
    /// How many machines there are, without an inventory.
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    metal: u32,
    /// What pods can have of each machine.
    #[arg(long, value_name = "NUMBER", default_value_t = 8)]
    metal_cores: u32,
    #[arg(long, value_name = "GIB", default_value_t = 32)]
    metal_memory: u32,

    /// A recorded workload: JSON lines {"at": SECONDS, "create": POD} and {"at": SECONDS, "delete": "NAMESPACE/NAME"}.
    #[arg(long, value_name = "FILE")]
    workload: Option<PathBuf>,
    /// Where the made-up workload begins: the same seed gives the same workload.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, conflicts_with = "workload")]
    seed: u64,
    /// How many pods the made-up workload has.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, conflicts_with = "workload",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pods: u32,
    /// Over how many hours they come.
    #[arg(long, value_name = "HOURS", default_value_t = 24, conflicts_with = "workload",
          value_parser = clap::value_parser!(u32).range(1..=720))]
    hours: u32,
    /// How long each runs, on average.
    #[arg(long, value_name = "MINUTES", default_value_t = 60, conflicts_with = "workload",
          value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,

    /// The most nodes rented at once. Default: `burst.max_instances` of the inventory, or 10.
    #[arg(long, value_name = "NUMBER")]
    max_nodes: Option<u32>,
    /// The most vCPUs rented at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 32)]
    max_vcpus: u32,
    /// The most US dollars for an hour of all rented nodes. Default: no limit.
    #[arg(long, value_name = "DOLLARS", value_parser = dollars)]
    hourly_limit: Option<Money>,
    /// The most US dollars in all. Default: `burst.monthly_budget` of the inventory, or no limit.
    #[arg(long, value_name = "DOLLARS", value_parser = dollars)]
    budget: Option<Money>,
    /// From the launch of an instance until its node is ready.
    #[arg(long, value_name = "SECONDS", default_value_t = 90)]
    ready_after: u32,

    /// Write a chart as SVG.
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,
    /// How to print the answer; `json` prints an object with the same numbers.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    let loaded = args.inventory.as_deref().map(inventory::load).transpose()?;
    let inventory = loaded.as_ref().map(|loaded| &loaded.inventory);
    let burst = inventory.map(|inventory| &inventory.burst);
    let site = Site {
        metal: metal(args, inventory),
        market: simulate::read_prices(&args.prices)?.market(args.spot),
        limits: Limits {
            nodes: Some(args.max_nodes.or(burst.and_then(|burst| burst.max_instances)).unwrap_or(10)),
            vcpus: Some(args.max_vcpus),
            hourly: args.hourly_limit,
            month: None,
        },
        monthly_budget: args.budget.or_else(|| {
            burst.and_then(|burst| burst.monthly_budget).map(|budget| Money::dollars(u64::from(budget)))
        }),
        delays: Delays { ready: u64::from(args.ready_after) * 1000, ..Delays::default() },
        settings: Settings::default(),
    };
    let events = match &args.workload {
        Some(path) => simulate::read_workload(path)?,
        None => {
            generate(Generated { seed: args.seed, pods: args.pods, hours: args.hours, minutes: args.minutes })
        }
    };
    let outcome = replay(&site, &events);
    if let Some(path) = &args.chart {
        fs::write(path, simulate::svg(&outcome)).map_err(|error| {
            Failure::os(std::io::Error::new(
                error.kind(),
                format!("failed to write {}: {error}", path.display()),
            ))
        })?;
    }
    match args.output {
        Output::Json => {
            let text = serde_json::to_string_pretty(&outcome).map_err(|error| Failure::os(error.into()))?;
            print(format!("{text}\n").as_bytes())
        }
        Output::Text => print(told(&outcome).as_bytes()),
    }
}

/// The inventory's workers, in the zones that are their sites; or machines without names.
fn metal(args: &Args, inventory: Option<&Inventory>) -> Vec<Node> {
    let make = |name: &str| machine(name, args.metal_cores, args.metal_memory);
    let Some(inventory) = inventory else {
        return (1..=args.metal).map(|number| make(&format!("metal-{number}"))).collect();
    };
    let workers = inventory.with_role(Role::Worker).map(|(name, host)| {
        let mut node = make(name);
        node.labels.extend(host.labels.iter().map(|(key, value)| (key.clone(), value.clone())));
        if let Some(site) = &host.site {
            node.labels.entry(ZONE.to_owned()).or_insert_with(|| site.clone());
        }
        node
    });
    workers.collect()
}

fn dollars(text: &str) -> Result<Money, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..1e9).contains(&number) => Ok(Money((number * 1e6).round() as u64)),
        _ => Err("is no amount of dollars".to_owned()),
    }
}

fn told(outcome: &Outcome) -> String {
    let pending = |pending: &Pending| {
        format!("p50 {:.1} s, p95 {:.1} s, most {:.1} s", pending.p50, pending.p95, pending.max)
    };
    let mut text = format!(
        "pods:    {}; {} ran, {} ended while they waited, {} never had a place, {} were moved\n\
         nodes:   {} rented, at most {} at once\n\
         cost:    {} dollars\n\
         waiting: {}\n\
         waiting for rented nodes: {}\n",
        outcome.pods,
        outcome.ran,
        outcome.gave_up,
        outcome.refused.len(),
        outcome.moved,
        outcome.rented,
        outcome.most_at_once,
        outcome.cost,
        pending(&outcome.pending),
        pending(&outcome.pending_for_rented),
    );
    if !outcome.refused.is_empty() {
        text.push_str("\nWithout a place at the end:\n");
        for refused in &outcome.refused {
            text.push_str(&format!("  {}: {}\n", refused.pod, refused.because));
        }
    }
    let mut table = Table::new(["HOUR", "PODS", "MOST WAITING", "MOST NODES", "NODE HOURS", "COST"]);
    for hour in &outcome.hours {
        table.row([
            hour.hour.to_string(),
            hour.created.to_string(),
            hour.most_pending.to_string(),
            hour.most_nodes.to_string(),
            format!("{:.2}", hour.node_hours),
            hour.cost.to_string(),
        ]);
    }
    format!("{text}\n{table}\n{}", simulate::text(outcome))
}
