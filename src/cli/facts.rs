//! `hoist facts`: what are these machines?

use futures::StreamExt as _;
use serde_json::json;

use super::{
    Failure,
    group::{targets, tell},
    shared::{InventoryArg, Output, print},
};
use crate::{
    exit::Exit,
    facts::{self, Facts},
    inventory::Selection,
    report,
    transport::{Error, Target, connect, in_order},
};

/// Shows what hosts are: system, kernel, sizes, addresses, and whether they belong to a cluster. Changes nothing.
/// Exits 0 when every host answered.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist facts -i inventory/lab.yaml --limit worker")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    /// Only these: names of hosts, roles or sites, with commas between them.
    #[arg(long, value_name = "HOSTS", default_value = "all")]
    limit: Selection,
    /// How many hosts are asked at the same time.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    forks: u16,
    /// How to print the answer; `json` prints a list of {host, facts} with all that is known; a host that did not
    /// answer has an `error` instead.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let targets = targets(&args.inventory.load()?, &args.limit).await?;
    let work = targets.into_iter().map(|target| async move { (target.name.clone(), ask(&target).await) });
    let answers: Vec<(String, Result<Facts, Error>)> = in_order(work, args.forks.into()).collect().await;
    match args.output {
        Output::Text => {
            let known =
                answers.iter().filter_map(|(name, facts)| Some((name.as_str(), facts.as_ref().ok()?)));
            print(report::facts::facts(known).to_string().as_bytes())?;
        }
        Output::Json => {
            let list: Vec<_> = answers
                .iter()
                .map(|(host, answer)| match answer {
                    Ok(facts) => json!({"host": host, "facts": facts}),
                    Err(error) => json!({"host": host, "error": error.to_string()}),
                })
                .collect();
            print(format!("{:#}\n", json!(list)).as_bytes())?;
        }
    }
    Ok(tell(answers.into_iter().filter_map(|(_, answer)| answer.err())))
}

async fn ask(target: &Target) -> Result<Facts, Error> {
    facts::observe(&*connect(target).await?).await
}
