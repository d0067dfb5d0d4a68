//! `hoist status`: how is the cluster?

use jiff::Timestamp;

use super::{
    Failure,
    shared::{InventoryArg, Output, connect, print},
};
use crate::{cluster::state::State, exit::Exit, report};

/// Shows each control plane and member of etcd, the nodes, the pods that are not well, requests for certificates that wait,
/// and how long certificates last; and the hosts that cannot be reached. Exits 1 when something is not as it should be, or a
/// certificate has expired.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist status -i inventory/lab.yaml\n  \
    hoist status -i inventory/lab.yaml --output json | jq '.certificates | min_by(.days)'")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let inventory = args.inventory.load()?;
    let session = connect(&inventory, inventory.hosts.keys().map(String::as_str)).await?;
    let lost = Exit::worst(session.unreached.iter().map(|lost| lost.why.exit()));
    let state = State::gather(&inventory, &session).await;
    let now = Timestamp::now();
    match args.output {
        Output::Text => print(report::status::text(&state, &session.unreached, now).as_bytes())?,
        Output::Json => {
            print(format!("{:#}\n", report::status::json(&state, &session.unreached, now)).as_bytes())?
        }
    };
    let own = if state.is_healthy(now) { Exit::Ok } else { Exit::Failed };
    match state.cluster {
        Ok(_) => Ok(Exit::worst([own, lost])),
        Err(error) => Err(Failure::from(error).or_worse(lost)),
    }
}
