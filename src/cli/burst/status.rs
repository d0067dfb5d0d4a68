//! `hoist burst status`: what is rented, for whom, and what it costs.

use super::reach::ReachArgs;
use crate::{
    burst::{
        claim::{Book, Claim, Ledger as _},
        controller::{Candidate, Clock as _, LeaseStore as _, Record},
        kubernetes::{Boards, NAMESPACE, Store},
        local::local,
        service::{Error, SystemClock},
    },
    cli::{
        Failure,
        shared::{Output, print},
    },
    exit::Exit,
    kube::Kind,
    report::{self, burst::Found, tell_line},
};

/// Shows who leads, the rented nodes with their prices, what was spent this month, which pods wait and why, what holds
/// launches back, and which Services lose traffic on rented nodes. Asks the cluster alone. Exits 1 when no controller leads.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist burst status -i inventory/burst.yaml\n  \
    hoist burst status -i inventory/burst.yaml --output json | jq '.nodes[].price'")]
pub struct Args {
    #[command(flatten)]
    reach: ReachArgs,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let inventory = args.reach.inventory.load()?;
    let api = args.reach.api(&inventory).await?;
    if api.object(Kind::new("v1", "Namespace"), None, NAMESPACE).await?.is_none() {
        let report = miette::miette!(
            help = "`hoist burst run` begins",
            "no controller has run in this cluster: there is no namespace {NAMESPACE}"
        );
        return Err(Failure { report, exit: Exit::Failed });
    }
    let (store, boards) = (Store::reader(api.clone()), Boards::new(api.clone()));
    let claims: Vec<Claim> =
        store.claims().await.map_err(Error::from)?.into_iter().map(|(claim, _)| claim).collect();
    let (book, _): (Book, _) = store.book().await.map_err(Error::from)?;
    let lease = store.read().await.map_err(Error::from)?.map(|(record, _)| record);
    let (wish, _) = boards.wished().await.map_err(Error::from)?;
    let status = boards.shown().await.map_err(Error::from)?;
    let rented = claims.iter().map(|claim| claim.name.as_str()).collect();
    // Whoever may not list Services sees the rest.
    let local = local(&api, &rented).await.unwrap_or_else(|error| {
        tell_line(format_args!("Services that lose traffic on rented nodes are not looked for: {error}"));
        Vec::new()
    });
    let now = SystemClock.now();
    let leader =
        |record: Record| record.holder.filter(|_| now.since(record.renewed) < 2 * Candidate::DURATION);
    let found = Found {
        spent: book.spent.total(&claims.iter().collect::<Vec<_>>(), now),
        budget: inventory.burst.monthly_budget,
        leader: lease.and_then(leader),
        claims,
        wish,
        status,
        local,
        now,
    };
    match args.output {
        Output::Text => print(report::burst::status(&found).as_bytes())?,
        Output::Json => print(format!("{:#}\n", report::burst::status_json(&found)).as_bytes())?,
    };
    Ok(if found.leader.is_some() { Exit::Ok } else { Exit::Failed })
}
