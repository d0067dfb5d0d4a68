//! The command line: one file a verb; parses, calls, prints; no logic.

pub mod lab;

use clap::Parser;

use crate::exit::Exit;

#[derive(Debug, Parser)]
#[command(name = "hoist", version, about)]
enum Cli {
    Lab(lab::LabArgs),
}

/// Runs the program with the process's arguments.
pub fn main() -> Exit {
    let result = match Cli::parse() {
        Cli::Lab(arguments) => lab::run(arguments),
    };
    match result {
        Ok(exit) => exit,
        Err(failure) => {
            eprintln!("{:?}", failure.report);
            failure.exit
        }
    }
}
