//! `hoist check`: is the inventory right?

use std::path::PathBuf;

use super::{Failure, shared::print};
use crate::{
    exit::Exit,
    inventory::{self, Error, Inventory, Role},
    report::tell_line,
    yaml::ReadError,
};
use clap::ValueEnum;

/// Reads an inventory and reports every mistake in it, warnings, and what this version cannot install yet. No host
/// is contacted. Exits 0 when there is no mistake.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist check -i inventory/lab.yaml")]
pub struct Args {
    /// The inventory: a file, or a folder of them.
    #[arg(short, long, value_name = "FILE", env = "HOIST_INVENTORY")]
    inventory: PathBuf,
    /// How to print the answer; `json` prints a list of {severity, file, line, column, message, help} to stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// For whom the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Prints "ok" and what is worth knowing, or every mistake.
///
/// # Errors
/// Only when the answer cannot be written: mistakes are this verb's answer, and its exit code says that there are some.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let (exit, json) = match inventory::load(&args.inventory) {
        Ok(loaded) => {
            let remarks = loaded.remarks();
            let json = remarks.to_json();
            if args.output == Output::Text {
                if !remarks.list().is_empty() {
                    tell_line(format_args!("{:?}", miette::Report::new(remarks)));
                }
                print(format!("ok: {}\n", summary(&loaded.inventory)).as_bytes())?;
            }
            (Exit::Ok, json)
        }
        Err(error) => {
            let answer = (exit_of(&error), error.to_json());
            if args.output == Output::Text {
                tell_line(format_args!("{:?}", miette::Report::new(error)));
            }
            answer
        }
    };
    if args.output == Output::Json {
        print(format!("{json:#}\n").as_bytes())?;
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
    // Every cluster is told how many of these it has.
    let always = [Role::ControlPlane, Role::Worker];
    let roles =
        [Role::Etcd, Role::ControlPlane, Role::Worker, Role::Storage].into_iter().filter_map(|role| {
            let count = count(role);
            (count > 0 || always.contains(&role)).then(|| format!("{count} {}", role.name()))
        });
    format!(
        "cluster {}, Kubernetes {}, {hosts} {} ({})",
        inventory.cluster.name,
        inventory.cluster.kubernetes,
        if hosts == 1 { "host" } else { "hosts" },
        roles.collect::<Vec<_>>().join(", "),
    )
}
