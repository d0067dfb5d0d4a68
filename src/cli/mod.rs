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
    result.unwrap_or_else(|error| {
        let exit = error.exit();
        eprintln!("{:?}", miette::Report::new(error));
        exit
    })
}
