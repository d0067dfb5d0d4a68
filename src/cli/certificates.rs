//! `hoist certificates`: what a cluster's parts prove with who they are, and its renewal.

use clap::Subcommand;
use futures::future::join_all;
use jiff::Timestamp;

use super::{
    Failure, apply,
    shared::{InventoryArg, Output, connect, print, tell_unreached},
};
use crate::{
    cluster::{self, AccessError, certificates},
    exit::Exit,
    report,
};

/// Shows how long the certificates of the hosts last, and renews those of the control planes and of etcd.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist certificates renew -i inventory/lab.yaml")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Show(Show),
    Renew(Renew),
}

/// Lists every certificate on every host that answers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist certificates show -i inventory/lab.yaml")]
struct Show {
    #[command(flatten)]
    inventory: InventoryArg,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Renews for another year, on one host after the other: the certificates of members of etcd on hosts of their own and those
/// that API servers show them, and kubeadm's on control planes, the administrator's too. Each is done, and its etcd or its
/// API server serves again, before the next one begins; the first that fails ends it. One that did not serve before, as
/// where certificates have expired, is waited for when all are renewed. Those of kubelets renew themselves; one of a control
/// plane that has expired is made anew.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist certificates renew -i inventory/lab.yaml")]
struct Renew {
    #[command(flatten)]
    inventory: InventoryArg,
}

pub async fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Show(args) => show(args).await,
        Verb::Renew(args) => renew(args).await,
    }
}

async fn show(args: &Show) -> Result<Exit, Failure> {
    let inventory = args.inventory.load()?;
    let session = connect(&inventory, inventory.hosts.keys().map(String::as_str)).await?;
    let read = join_all(session.hosts.values().map(|host| certificates::read(&**host))).await;
    let read: Vec<_> = read.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    let now = Timestamp::now();
    match args.output {
        Output::Text => print(report::status::certificate_list(&read, now).to_string().as_bytes())?,
        Output::Json => print(format!("{:#}\n", report::status::certificates_json(&read, now)).as_bytes())?,
    };
    Ok(tell_unreached(session.unreached, inventory.hosts.len()))
}

async fn renew(args: &Renew) -> Result<Exit, Failure> {
    let inventory = args.inventory.load()?;
    let all = cluster::certified(&inventory).count();
    let session = connect(&inventory, cluster::certified(&inventory)).await?;
    let living: Vec<&str> = cluster::living_certified(&inventory, &session.facts).collect();
    let lost = tell_unreached(session.unreached, all);
    if living.is_empty() {
        return Err(Failure::from(AccessError::NoCluster).or_worse(lost));
    }
    let done = apply::run(&apply::Args::only(&args.inventory.file, &living, certificates::RENEWAL)).await?;
    Ok(if done == Exit::Ok { lost } else { done })
}
