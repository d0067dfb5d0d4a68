//! `hoist inventory`: inventories of others taken over, and an inventory explained.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;

use super::{
    Failure,
    shared::{InventoryArg, Output, home, print},
};
use crate::{
    exit::Exit,
    inventory::{self, Effective, Origin},
    report::table::Table,
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
        eprintln!("note: {note}");
    }
    inventory::parse("the output", &imported.text)?;
    Ok(Exit::Ok)
}

fn show(args: &ShowArgs) -> Result<Exit, Failure> {
    let loaded = inventory::load(&args.inventory.file)?;
    let values = inventory::explain(&loaded, args.host.as_deref(), &home())?;
    match args.output {
        Output::Json => {
            let text = serde_json::to_string_pretty(&values).map_err(|error| Failure::os(error.into()))?;
            print(format!("{text}\n").as_bytes())
        }
        Output::Text => print(table(values).to_string().as_bytes()),
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
