//! `hoist addon`: what is installed into the cluster.

mod remove;
mod status;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    Failure,
    addons::{Addons, tell},
    request::{EngineArgs, Request, lock},
    shared::{InventoryArg, Output, home, print, tell_unreached},
};
use crate::{
    addon::{self, Difference, Observed, observe, refuse},
    cluster::{self, Session, Visit},
    engine::AddonPlan,
    exit::Exit,
    inventory::{Inventory, Role},
    kube::Api,
    report,
};

/// Shows, compares and removes what is installed into the cluster.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  hoist addon list -i office.yaml\n  hoist addon status metallb --prove -i office.yaml\n  \
    hoist addon remove keda --yes"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

/// What all of them take.
#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    inventory: InventoryArg,
    /// A folder with `roles/addons/` whose files come before the built-in ones.
    #[arg(long, value_name = "DIR")]
    roles: Option<PathBuf>,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// All add-ons that are wanted or installed, with the versions of their charts.
    #[command(after_help = "Example:\n  hoist addon list -i office.yaml")]
    List {
        #[command(flatten)]
        common: Common,
    },
    /// How add-ons are, and which of their pods are not ready and why. Exits 1 when one is not as it shall be.
    #[command(after_help = "Example:\n  hoist addon status metallb --prove -i office.yaml\n  \
        hoist addon status metallb --disrupt --yes -i office.yaml")]
    Status {
        #[command(flatten)]
        common: Common,
        /// Only this one.
        name: Option<String>,
        /// Use those that are installed, too: the proofs that an apply ends with, from all hosts.
        #[arg(long)]
        prove: bool,
        /// Prove them, and break on purpose what they must live through. Says what that is.
        #[arg(long)]
        disrupt: bool,
        /// Break it; without this it is only said.
        #[arg(long, requires = "disrupt")]
        yes: bool,
    },
    /// What `apply` would change of add-ons. Exits 2 when something would change.
    #[command(after_help = "Example:\n  hoist addon diff -i office.yaml --output json")]
    Diff {
        #[command(flatten)]
        common: Common,
        /// Only this one.
        name: Option<String>,
    },
    /// Takes an add-on away that the inventory does not ask for any more. Says what goes and what stays.
    #[command(after_help = "Example:\n  hoist addon remove keda -i office.yaml --yes")]
    Remove {
        #[command(flatten)]
        common: Common,
        name: String,
        /// Do it; without this it is only said.
        #[arg(long)]
        yes: bool,
        /// Take its namespaces along, with all that is in them: volumes and their claims, too.
        #[arg(long)]
        with_namespace: bool,
    },
}

/// How add-ons are used to see whether they work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proofs {
    None,
    Usual,
    /// It is only said what would be broken.
    Told,
    Disrupting,
}

impl Proofs {
    /// Whether gates are passed.
    fn are_made(self) -> bool {
        matches!(self, Proofs::Usual | Proofs::Disrupting)
    }

    /// The hosts that are needed: gates work on all nodes, everything else asks the API server alone.
    fn hosts(self, inventory: &Inventory) -> Vec<&str> {
        let hosts =
            inventory.hosts.iter().filter(|(_, host)| self.are_made() || host.has(Role::ControlPlane));
        hosts.map(|(name, _)| name.as_str()).collect()
    }
}

/// A cluster with what it has and what it shall have.
struct View {
    request: Request,
    addons: Addons,
    session: Session,
    /// What hosts that cannot be reached make of the exit code.
    lost: Exit,
    api: Api,
    observed: Observed,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::List { common } => View::open(common, Proofs::None).await?.list(common.output).await,
        Verb::Status { common, name, prove, disrupt, yes } => {
            let proofs = match (prove, disrupt, yes) {
                (_, true, true) => Proofs::Disrupting,
                (_, true, false) => Proofs::Told,
                (true, false, _) => Proofs::Usual,
                (false, false, _) => Proofs::None,
            };
            View::open(common, proofs).await?.status(name.as_deref(), proofs, common.output).await
        }
        Verb::Diff { common, name } => {
            View::open(common, Proofs::None).await?.diff(name.as_deref(), common.output).await
        }
        Verb::Remove { common, name, yes, with_namespace } => {
            remove::remove(common, name, *yes, *with_namespace).await
        }
    }
}

impl View {
    async fn open(args: &Common, proofs: Proofs) -> Result<View, Failure> {
        let engine = EngineArgs { roles: args.roles.clone(), ..EngineArgs::usual() };
        let request = Request::new(&args.inventory.file, &engine)?;
        let addons = Addons::desired(&request, request.index()?.as_ref(), false)?;
        let inventory = request.inventory();
        let hosts = proofs.hosts(inventory);
        // Nobody else changes anything while something is broken on purpose.
        let lock = lock();
        let held = (proofs == Proofs::Disrupting).then_some(&lock);
        let visits: Vec<Visit<'_>> = hosts.iter().map(|name| Visit { name, lock: held }).collect();
        let mut session = Session::open(inventory, &home(), &visits).await?;
        let api = cluster::api(inventory, &session).await?;
        let lost = match proofs.are_made() {
            true => tell_unreached(std::mem::take(&mut session.unreached), hosts.len()),
            false => Exit::Ok,
        };
        let observed = observe(&api).await.map_err(Failure::from)?;
        Ok(View { request, addons, session, lost, api, observed })
    }

    async fn differences(&self, only: Option<&str>) -> Result<Vec<(&addon::Desired, Difference)>, Failure> {
        let all = self.addons.differences(&self.api, &self.observed).await?;
        let found: Vec<_> =
            all.into_iter().filter(|(desired, _)| only.is_none_or(|name| name == desired.name)).collect();
        if let (Some(name), true) = (only, found.is_empty()) {
            let known = self
                .addons
                .desired
                .iter()
                .map(|desired| desired.name.as_str())
                .collect::<Vec<_>>()
                .join(", ");
            let report = miette::miette!(
                help = format!("it asks for: {known}"),
                "the inventory asks for no add-on `{name}`"
            );
            return Err(Failure { report, exit: Exit::Usage });
        }
        let missing = |desired: &addon::Desired| {
            let secrets = desired.secrets.iter().flat_map(|secret| secret.missing.values());
            secrets.map(|why| format!("{}: not compared: {why}", desired.name)).collect::<Vec<_>>()
        };
        tell(found.iter().flat_map(|(desired, _)| missing(desired)).collect());
        Ok(found)
    }

    fn row(&self, desired: &addon::Desired, difference: &Difference) -> Value {
        let installed = self.observed.release(&desired.definition.namespace, &desired.name);
        json!({
            "name": desired.name,
            "wanted": true,
            "namespace": desired.definition.namespace,
            "chart": desired.release.as_ref().map(|release| &release.chart.version),
            "installed": installed.map(|release| &release.version),
            "state": difference.state.words(),
        })
    }

    async fn list(&self, output: Output) -> Result<Exit, Failure> {
        let all = self.differences(None).await?;
        let mut rows: Vec<Value> =
            all.iter().map(|(desired, difference)| self.row(desired, difference)).collect();
        for (name, namespace) in self.addons.unwanted(&self.observed) {
            let release = self.observed.release(&namespace, &name);
            rows.push(json!({
                "name": name, "wanted": false, "namespace": namespace, "chart": null,
                "installed": release.map(|release| &release.version), "state": "not wanted any more",
            }));
        }
        rows.sort_by_key(|row| row["name"].to_string());
        show(output, &json!(rows), || report::addon::list(&rows))?;
        Ok(Exit::Ok)
    }

    async fn diff(&self, only: Option<&str>, output: Output) -> Result<Exit, Failure> {
        refuse::steps(&self.addons.desired, &self.observed)?;
        tell(refuse::classes(&self.api, &self.addons.desired).await?);
        refuse::gateway_api(Some(&self.api), &self.addons.desired).await?;
        let found = self.differences(only).await?;
        let differ = found.into_iter().filter(|(_, difference)| !difference.changes.is_empty());
        let plans: Vec<AddonPlan> = differ
            .map(|(desired, difference)| AddonPlan {
                addon: desired.name.clone(),
                changes: difference.changes,
            })
            .collect();
        show(output, &json!(plans), || report::plan::addons(&plans, true))?;
        Ok(if plans.is_empty() { Exit::Ok } else { Exit::Changes })
    }
}

fn show(output: Output, value: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
    let text = match output {
        Output::Text => text(),
        Output::Json => format!("{value:#}\n"),
    };
    print(text.as_bytes()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;

    #[test]
    fn proofs_are_made_from_all_hosts_and_everything_else_needs_control_planes_alone() {
        let lab =
            inventory::parse("lab.yaml", include_str!("../../../inventory/lab.yaml")).unwrap().inventory;
        assert_eq!(Proofs::Usual.hosts(&lab), ["cp1", "w1", "w2"]);
        assert_eq!(Proofs::Disrupting.hosts(&lab), ["cp1", "w1", "w2"]);
        assert_eq!(Proofs::None.hosts(&lab), ["cp1"]);
        assert_eq!(Proofs::Told.hosts(&lab), ["cp1"]);
    }
}
