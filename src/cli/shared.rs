//! Arguments and beginnings that several verbs share.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use super::Failure;
use crate::{
    artifact,
    cluster::{self, Session},
    engine::{Library, Subject},
    exit::Exit,
    inventory::{self, Inventory},
    lab,
};

/// Which inventory.
#[derive(Debug, clap::Args)]
pub struct InventoryArg {
    /// The inventory file.
    #[arg(id = "inventory", short = 'i', long, value_name = "FILE", env = "HOIST_INVENTORY")]
    pub file: PathBuf,
}

/// For whom an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    Text,
    Json,
}

/// Where roles come from, and how much happens at the same time.
#[derive(Debug, clap::Args)]
pub struct EngineArgs {
    /// A folder with `roles/` and `templates/` whose files come before the built-in ones.
    #[arg(long, value_name = "DIR")]
    pub roles: Option<PathBuf>,
    /// How many hosts are read or changed at the same time.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub forks: u16,
}

impl EngineArgs {
    pub fn library(&self) -> Library {
        Library { folder: self.roles.clone() }
    }
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

/// Connects to all hosts and compiles what they shall be.
pub async fn open(
    file: &InventoryArg,
    inventory: &Inventory,
    library: &Library,
) -> Result<(Session, Vec<Subject>), Failure> {
    let index = artifact::supply(inventory, &file.file, &home(), &cache()?)?;
    let session = Session::open(inventory, &home()).await?;
    let orphans = cluster::orphans(inventory, &session.facts);
    if !orphans.is_empty() {
        let report = miette::miette!(
            help = "restore the control plane from its backup; or, to give that cluster up, run `kubeadm reset --force` \
                    on each of them and try again",
            "no control plane lives, but {} belong to a cluster: a new one would abandon them",
            orphans.join(", ")
        );
        return Err(Failure { report, exit: Exit::Failed });
    }
    let subjects = session.subjects(inventory, &index, library)?;
    Ok((session, subjects))
}

/// Writes an answer to standard output. A reader that has had enough (`| head`) is no error.
pub fn print(answer: &[u8]) -> Result<Exit, Failure> {
    match io::stdout().write_all(answer) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::os(error)),
        _ => Ok(Exit::Ok),
    }
}
