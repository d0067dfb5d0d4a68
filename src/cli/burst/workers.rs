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
    inventory::{Burst, Inventory},
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
    let inventory = args.reach.inventory.load()?;
    let (burst, number, kind) = (&inventory.burst, usize::from(args.number), args.instance_type.as_deref());
    allowed(burst, 0, number, kind)?;
    let change = |wish: &mut Wish, _: &[Claim]| {
        allowed(burst, wish.workers.len(), number, kind)?;
        wish.add(number, kind);
        Ok(())
    };
    let wish = change_wish(&args.reach, &inventory, change).await?;
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
    let inventory = args.reach.inventory.load()?;
    let wish = change_wish(&args.reach, &inventory, change).await?;
    print(format!("{} workers are wanted\n", wish.workers.len()).as_bytes())
}

/// Whether the inventory lets so many more workers of this type be rented, as far as it alone tells: nobody would rent the
/// others, and nothing would say so here.
fn allowed(burst: &Burst, wanted: usize, number: usize, kind: Option<&str>) -> Result<(), Failure> {
    let usage = |report| Err(Failure { report, exit: Exit::Usage });
    if let Some(most) = burst.max_instances.filter(|most| wanted + number > *most as usize) {
        let report = miette::miette!(
            help = "ask for fewer, remove others (`hoist burst remove`), or raise `burst.max_instances`",
            "{wanted} workers are wanted, and {number} more are above `burst.max_instances`, {most}"
        );
        return usage(report);
    }
    let Some(kind) = kind else { return Ok(()) };
    let instances = &burst.instances;
    let family = kind.split('.').next().unwrap_or_default();
    let (key, list, is_in) = match instances.types.is_empty() {
        false => ("types", &instances.types, instances.types.iter().any(|it| it == kind)),
        true => ("families", &instances.families, instances.families.iter().any(|it| it == family)),
    };
    if is_in || list.is_empty() {
        return Ok(());
    }
    let report = miette::miette!(
        help = format!("choose one of {}, or add it to `burst.instances.{key}`", list.join(", ")),
        "`burst.instances.{key}` does not allow {kind}"
    );
    usage(report)
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
    inventory: &Inventory,
    change: impl Fn(&mut Wish, &[Claim]) -> Result<(), Failure>,
) -> Result<Wish, Failure> {
    let api = reach.api(inventory).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Instances;

    #[test]
    fn only_what_the_inventory_allows_is_wanted() {
        let list = |name: &str| vec![name.to_owned()];
        let any = Burst { max_instances: Some(10), ..Burst::default() };
        let types = Instances { types: list("m7i.large"), ..Instances::default() };
        let families = Instances { families: list("c7i"), ..Instances::default() };
        let types = Burst { instances: types, ..any.clone() };
        let families = Burst { instances: families, ..any.clone() };
        for (burst, wanted, number, kind, words) in [
            (&any, 8, 2, Some("m7i.large"), None),
            (&any, 8, 3, None, Some("`burst.max_instances`, 10")),
            (&any, 0, 11, None, Some("`burst.max_instances`, 10")),
            (&types, 0, 1, Some("m7i.large"), None),
            (&types, 0, 1, Some("m7i.xlarge"), Some("`burst.instances.types` does not allow m7i.xlarge")),
            (&types, 0, 1, None, None),
            (&families, 0, 1, Some("c7i.xlarge"), None),
            (&families, 0, 1, Some("c7.xlarge"), Some("`burst.instances.families` does not allow c7.xlarge")),
        ] {
            let refused = allowed(burst, wanted, number, kind).err();
            assert_eq!(refused.is_some(), words.is_some(), "{wanted} {number} {kind:?}");
            let told = refused.map(|failure| failure.report.to_string()).unwrap_or_default();
            assert!(words.is_none_or(|words| told.contains(words)), "{told}");
        }
    }
}
