//! `hoist check`: is the inventory right?

use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::json;

use crate::{
    exit::Exit,
    inventory::{self, Error, Inventory, Role},
    yaml::ReadError,
};

/// Reads an inventory and reports every mistake in it. No host is contacted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist check -i inventory/lab.yaml")]
pub struct Args {
    /// The inventory file.
    #[arg(short, long, value_name = "FILE", env = "HOIST_INVENTORY")]
    inventory: PathBuf,
    /// How to print the answer; `json` prints a list of {file, line, column, message, help} to stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// For whom the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Prints "ok" or every mistake.
///
/// # Errors
/// None at present: mistakes are this verb's answer, and its exit code says that there are some.
pub fn run(args: &Args) -> Result<Exit, miette::Report> {
    let (exit, json) = match inventory::load(&args.inventory) {
        Ok(loaded) => {
            if args.output == Output::Text {
                println!("ok: {}", summary(&loaded.inventory));
            }
            (Exit::Ok, json!([]))
        }
        Err(error) => {
            let answer = (exit_of(&error), error.to_json());
            if args.output == Output::Text {
                eprintln!("{:?}", miette::Report::new(error));
            }
            answer
        }
    };
    if args.output == Output::Json {
        println!("{json:#}");
    }
    Ok(exit)
}

/// The exit code for an inventory that cannot be used.
pub fn exit_of(error: &Error) -> Exit {
    match error {
        Error::Unreadable(ReadError::Io { .. }) => Exit::Os,
        Error::Unreadable(_) | Error::Mistakes(_) => Exit::Data,
    }
}

fn summary(inventory: &Inventory) -> String {
    let count = |role| inventory.with_role(role).count();
    let hosts = inventory.hosts.len();
    format!(
        "cluster {}, Kubernetes {}, {hosts} {} ({} control-plane, {} worker)",
        inventory.cluster.name,
        inventory.cluster.kubernetes,
        if hosts == 1 { "host" } else { "hosts" },
        count(Role::ControlPlane),
        count(Role::Worker),
    )
}
