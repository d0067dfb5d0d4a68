//! `hoist man`: the manual, from the same definition as `--help`.

use std::{fs, path::PathBuf};

use clap_mangen::{Man, generate_to};

use super::{Failure, shared::print};
use crate::exit::Exit;

/// Prints the manual page, or writes one page a verb into a folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist man --dir /usr/local/share/man/man1 && man hoist-apply")]
pub struct Args {
    /// Write `hoist.1`, `hoist-apply.1` and so on here; the folder is made when it is missing.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub fn run(args: &Args, command: clap::Command) -> Result<Exit, Failure> {
    if let Some(dir) = &args.dir {
        fs::create_dir_all(dir).and_then(|()| generate_to(command, dir)).map_err(Failure::os)?;
        return Ok(Exit::Ok);
    }
    let mut page = Vec::new();
    Man::new(command).render(&mut page).map_err(Failure::os)?;
    print(&page)
}
