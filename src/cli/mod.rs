//! The command line: one file a verb; parses, calls, prints; no logic.

mod apply;
pub mod check;
mod failure;
mod kubeconfig;
mod plan;
mod sample;
pub mod schema;
mod shared;
mod status;

use clap::{Parser, Subcommand};
use failure::Failure;

use crate::exit::Exit;

/// Makes a production Kubernetes cluster out of machines that you already own, over SSH, from one inventory file.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "Exit codes: 0 done; 1 something failed on a host or in the cluster; 2 `plan`: something would \
    change;\n64 wrong command line; 65 wrong inventory or role; 69 a host does not answer; 71 a local file or process; \
    \n75 locked by another run; 77 a key or login was refused, or root is needed.")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::Args),
    Plan(plan::Args),
    Apply(apply::Args),
    Status(status::Args),
    Kubeconfig(kubeconfig::Args),
    Sample(sample::Args),
    Schema(schema::Args),
}

/// Runs the program with the process's arguments.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _ = error.print();
            return exit;
        }
    };
    // One crypto provider for the whole process; it can only be set once, and this is the only place.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match run(cli.verb) {
        Ok(exit) => exit,
        Err(failure) => {
            eprintln!("{:?}", failure.report);
            failure.exit
        }
    }
}

fn run(verb: Verb) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::os)?;
    runtime.block_on(async {
        match verb {
            Verb::Check(args) => Ok(check::run(&args)?),
            Verb::Plan(args) => plan::run(&args).await,
            Verb::Apply(args) => apply::run(&args).await,
            Verb::Status(args) => status::run(&args).await,
            Verb::Kubeconfig(args) => kubeconfig::run(&args).await,
            Verb::Sample(args) => sample::run(&args).await,
            Verb::Schema(args) => Ok(schema::run(&args)?),
        }
    })
}
