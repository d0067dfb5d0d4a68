//! `hoist burst add` and `hoist burst remove`: workers that a person wants.

use std::collections::BTreeSet;

use super::reach::ReachArgs;
use crate::{
    burst::{
        claim::{Claim, Ledger as _, LedgerError},
        demand::Wish,
        kubernetes::{Boards, Store},
        service::Error,
    },
    cli::{Failure, shared::print},
    exit::Exit,
};

/// Somebody else may write at the same time.
const TRIES: u32 = 5;

/// Rents workers that stay until they are removed, whether anything runs on them or not, within the inventory's limits. The
/// controller rents them; this only writes down that they are wanted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist burst add 2 -i inventory/burst.yaml --type m7i.large")]
pub struct AddArgs {
    /// How many more.
    #[arg(value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    number: u16,
    #[command(flatten)]
    reach: ReachArgs,
    /// The type of the instances. Default: the cheapest that the inventory allows.
    #[arg(long = "type", value_name = "TYPE")]
    instance_type: Option<String>,
}

/// Gives rented nodes back: their pods are moved away first. What a pod waits for is rented again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  hoist burst remove burst-3f0c9a1b2e -i inventory/burst.yaml\n  \
    hoist burst remove --all -i inventory/burst.yaml")]
pub struct RemoveArgs {
    /// Nodes, or workers that were added and are not rented yet, as `hoist burst status` names them.
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,
    #[command(flatten)]
    reach: ReachArgs,
    /// All workers that were added.
    #[arg(long, conflicts_with = "names")]
    all: bool,
}

pub async fn add(args: &AddArgs) -> Result<Exit, Failure> {
    let change = |wish: &mut Wish, _: &[Claim]| {
        wish.add(usize::from(args.number), args.instance_type.as_deref());
        Ok(())
    };
    let wish = change_wish(&args.reach, change).await?;
    print(format!("{} workers are wanted\n", wish.workers.len()).as_bytes())
}

pub async fn remove(args: &RemoveArgs) -> Result<Exit, Failure> {
    let change = |wish: &mut Wish, claims: &[Claim]| {
        if args.all {
            wish.workers.clear();
        }
        for name in &args.names {
            if !wish.remove(name, claims) {
                return Err(unknown(name));
            }
        }
        Ok(())
    };
    let wish = change_wish(&args.reach, change).await?;
    print(format!("{} workers are wanted\n", wish.workers.len()).as_bytes())
}

fn unknown(name: &str) -> Failure {
    let report = miette::miette!(
        help = "`hoist burst status` shows what there is",
        "there is no rented node and no wanted worker `{name}`; nothing was changed"
    );
    Failure { report, exit: Exit::Usage }
}

/// Changes what persons want, again if somebody was faster.
async fn change_wish(
    reach: &ReachArgs,
    change: impl Fn(&mut Wish, &[Claim]) -> Result<(), Failure>,
) -> Result<Wish, Failure> {
    let inventory = reach.inventory.load()?;
    let api = reach.api(&inventory).await?;
    let store = Store::open(api.clone()).await.map_err(Error::from)?;
    let boards = Boards::new(api);
    let mut tries = 0;
    loop {
        let claims: Vec<Claim> =
            store.claims().await.map_err(Error::from)?.into_iter().map(|(claim, _)| claim).collect();
        let (mut wish, version) = boards.wished().await.map_err(Error::from)?;
        let names: BTreeSet<&String> = claims.iter().map(|claim| &claim.name).collect();
        wish.removed.retain(|name| names.contains(name));
        change(&mut wish, &claims)?;
        match boards.change(&wish, version.as_ref()).await {
            Ok(()) => return Ok(wish),
            Err(LedgerError::Conflict { .. }) if tries < TRIES => tries += 1,
            Err(error) => return Err(Error::from(error).into()),
        }
    }
}
