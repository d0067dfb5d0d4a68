//! `hoist completions`: what the shell offers after the tab key.

use clap_complete::{Shell, generate};

use super::{Failure, shared::print};
use crate::exit::Exit;

/// Prints a shell's completion script, to be kept where that shell looks for such.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist completions bash > /etc/bash_completion.d/hoist")]
pub struct Args {
    /// Which shell.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

pub fn run(args: &Args, mut command: clap::Command) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut command, "hoist", &mut script);
    print(&script)
}
