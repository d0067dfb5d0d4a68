//! Arguments and beginnings that several verbs share.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use super::Failure;
use crate::{
    cluster::{Session, Unreached, Visit},
    exit::Exit,
    inventory::{self, Inventory},
    lab,
    report::{self, tell_line},
};

/// Which inventory.
#[derive(Debug, Clone, clap::Args)]
pub struct InventoryArg {
    /// The inventory: a file, or a folder of them.
    #[arg(id = "inventory", short = 'i', long, value_name = "FILE", env = "HOIST_INVENTORY")]
    pub file: PathBuf,
}

/// For whom an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    Text,
    Json,
}

/// The home folder: what `~` means in an inventory.
pub fn home() -> PathBuf {
    std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"))
}

/// The cache folder: `HOIST_CACHE`, or `~/.cache/hoist`.
pub fn cache() -> Result<PathBuf, Failure> {
    Ok(lab::Cache::locate()?.root().to_owned())
}

impl InventoryArg {
    pub fn load(&self) -> Result<Inventory, Failure> {
        Ok(inventory::load(&self.file)?.inventory)
    }
}

/// Tells of what may not be meant, and of what nobody has seen work.
pub fn tell_remarks(loaded: &inventory::Loaded) {
    let remarks = loaded.remarks();
    if !remarks.list().is_empty() {
        tell_line(format_args!("{:?}", miette::Report::new(remarks)));
    }
}

/// Connects to these hosts, only to read them.
pub async fn connect<'a>(
    inventory: &Inventory,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<Session, Failure> {
    let visits: Vec<Visit<'_>> = names.into_iter().map(|name| Visit { name, lock: None }).collect();
    Ok(Session::open(inventory, &home(), &visits).await?)
}

/// Tells people why hosts cannot be used; gives what the process ends with because of them.
pub fn tell_unreached(unreached: Vec<Unreached>, all: usize) -> Exit {
    let exit = Exit::worst(unreached.iter().map(|lost| lost.why.exit()));
    if let Some(report) = report::hosts::unreached(unreached, all) {
        tell_line(format_args!("{report:?}"));
    }
    exit
}

/// Writes an answer to standard output. A reader that has had enough (`| head`) is no error.
pub fn print(answer: &[u8]) -> Result<Exit, Failure> {
    enough(io::stdout().write_all(answer)).map(|()| Exit::Ok)
}

/// What came of writing something that a reader may have had enough of.
pub fn enough(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::os(error)),
        _ => Ok(()),
    }
}
