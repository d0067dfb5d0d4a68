//! `hoist lab`: local nodes.
use clap::{Args, Subcommand};
use crate::{exit::Exit, lab, report::steps};

#[derive(Debug, Args)]
pub struct LabArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Setup {
        #[arg(long)]
        yes: bool,
    },
}
pub struct Failure { pub report: miette::Report, pub exit: Exit }
pub fn run(arguments: LabArgs) -> Result<Exit, Failure> {
    let r = (|| -> Result<Exit, lab::LabError> {
        let cache = lab::Cache::locate()?;
        match arguments.verb {
            Verb::Setup { yes } => lab::setup(&cache, yes, &mut *steps::on_stderr())?,
        }
        Ok(Exit::Ok)
    })();
    r.map_err(|e| { let exit = e.exit(); Failure { report: e.into(), exit } })
}
