//! The command line: one file a verb; parses, calls, prints; no logic.

pub mod check;
pub mod schema;

use clap::Parser;

use crate::exit::Exit;

/// Makes a production Kubernetes cluster out of machines you already own.
#[derive(Debug, Parser)]
#[command(version)]
enum Verb {
    Check(check::Args),
    Schema(schema::Args),
}

/// Runs the program with the process's arguments.
pub fn main() -> Exit {
    let result = match Verb::parse() {
        Verb::Check(args) => check::run(&args),
        Verb::Schema(args) => schema::run(&args),
    };
    result.unwrap_or_else(|report| {
        eprintln!("{report:?}");
        Exit::Failed
    })
}
