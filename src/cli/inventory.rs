//! `hoist inventory`: inventories of others taken over, and an inventory explained.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Failure,
    group::target,
    shared::{InventoryArg, Output, home, print},
};
use crate::{
    exit::Exit,
    inventory::{self, Effective, Inventory, Origin},
    report::{table::Table, tell_line},
    transport::{Become, Route, Target},
};

/// Takes over the inventory of Ansible and Kubespray, or explains one of hoist's. No host is contacted.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hoist inventory import kubespray/inventory/office/hosts.yaml > office.yaml\n  \
    hoist inventory show -i office.yaml --host w1"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Import(ImportArgs),
    Show(ShowArgs),
}

/// Prints the inventory that an inventory of Ansible with Kubespray's groups amounts to, checked as by `hoist
/// check`. What is not taken over is told on standard error. Passwords never are.
///
/// Reads INI and YAML, ranges, `:children`, `:vars`, and the folders group_vars and host_vars beside the file.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  hoist inventory import kubespray/inventory/office/hosts.yaml > office.yaml"
)]
struct ImportArgs {
    /// The inventory of Ansible.
    file: PathBuf,
}

/// Prints the values that are in force, and where each comes from: the file and line, a default, or other values.
///
/// How a host is reached is completed by OpenSSH's configuration, as hoist itself does it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist inventory show -i office.yaml --host w1")]
struct ShowArgs {
    #[command(flatten)]
    inventory: InventoryArg,
    /// Those of one host, and how it is reached.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// How to print them; `json` prints a list of {key, value, origin: {from, …}}.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Import(args) => import(args),
        Verb::Show(args) => show(args),
    }
}

fn import(args: &ImportArgs) -> Result<Exit, Failure> {
    let imported = inventory::import(&args.file)?;
    print(imported.text.as_bytes())?;
    for note in &imported.notes {
        tell_line(format_args!("note: {note}"));
    }
    inventory::parse("the output", &imported.text)?;
    Ok(Exit::Ok)
}

fn show(args: &ShowArgs) -> Result<Exit, Failure> {
    let loaded = inventory::load(&args.inventory.file)?;
    let mut values = inventory::explain(&loaded, args.host.as_deref(), &home())?;
    if let Some(host) = &args.host {
        complete(&mut values, way(&loaded.inventory, host)?);
    }
    match args.output {
        Output::Json => {
            let text = serde_json::to_string_pretty(&values).map_err(|error| Failure::os(error.into()))?;
            print(format!("{text}\n").as_bytes())
        }
        Output::Text => print(table(values).to_string().as_bytes()),
    }
}

/// How hoist connects to a host, where the inventory leaves it open.
fn way(inventory: &Inventory, host: &str) -> Result<Vec<Effective>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::os)?;
    let found = runtime.block_on(target(inventory, host))?;
    // What is the same without OpenSSH's configuration is a default.
    let mut alone = inventory.clone();
    alone.ssh.config = Some("none".into());
    for host in alone.hosts.values_mut() {
        host.ssh.config = None;
    }
    let alone = runtime.block_on(target(&alone, host))?;
    let values =
        settings(&found).into_iter().zip(settings(&alone)).filter(|((_, value), _)| !value.is_null());
    let effective = |((key, value), (_, default)): ((&str, Value), (&str, Value))| {
        let because = "OpenSSH's configuration".to_owned();
        let origin = if value == default { Origin::Default } else { Origin::Derived { because } };
        Effective { key: format!("ssh.{key}"), value, origin }
    };
    Ok(values.map(effective).collect())
}

/// What OpenSSH's configuration, too, can say of how a host is reached; null where nobody does.
fn settings(target: &Target) -> [(&'static str, Value); 9] {
    let becoming = match &target.r#become {
        Become::Root => "root",
        Become::Sudo { .. } => "sudo",
    };
    let mut hops = Vec::new();
    let mut route = &target.route;
    while let Route::Jump(hop) = route {
        hops.insert(0, &hop.name);
        route = &hop.route;
    }
    let some = |list: Value| if list == json!([]) { Value::Null } else { list };
    let command = if let Route::Command(command) = route { json!(command) } else { Value::Null };
    [
        ("user", json!(target.user)),
        ("port", json!(target.port)),
        ("key", some(json!(target.keys))),
        ("become", json!(becoming)),
        ("jump", some(json!(hops))),
        ("proxy_command", command),
        ("known_hosts", some(json!(target.known_hosts))),
        ("connect_timeout", json!(target.connect_timeout.as_secs())),
        ("keepalive", json!(target.keepalive.as_secs())),
    ]
}

/// Adds what is not there yet, among its like.
fn complete(values: &mut Vec<Effective>, more: Vec<Effective>) {
    let mut place = values.iter().position(|value| value.key.starts_with("vars.")).unwrap_or(values.len());
    for value in more {
        if !values.iter().any(|known| known.key == value.key) {
            values.insert(place, value);
            place += 1;
        }
    }
}

fn table(values: Vec<Effective>) -> Table {
    let mut table = Table::new(["KEY", "VALUE", "FROM"]);
    for Effective { key, value, origin } in values {
        let value = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let from = match origin {
            Origin::File { file, line, over: None } => format!("{file}:{line}"),
            Origin::File { file, line, over: Some(other) } => format!("{file}:{line}, over line {other}"),
            Origin::Default => "default".to_owned(),
            Origin::Derived { because } => because,
        };
        table.row([key, value, from]);
    }
    table
}
