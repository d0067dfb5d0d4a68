//! What `plan` and `apply` are asked to work on: from the command line, or from a plan that was saved.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    Failure,
    shared::{cache, home, tell_remarks, tell_unreached},
};
use crate::{
    artifact::{self, Index},
    cluster::{Scope, Work, WorkError, certificates::RENEWAL},
    engine::{self, Library, Lock, SavedPlan, Source},
    exit::Exit,
    inventory::{self, Inventory, Loaded, Packages, Selection},
    task::sha256,
    transport::quote,
};

/// Which hosts and roles, where roles come from, and how much happens at the same time.
#[derive(Debug, clap::Args)]
pub struct EngineArgs {
    /// A folder with `roles/` and `templates/` whose files come before the built-in ones.
    #[arg(long, value_name = "DIR")]
    pub roles: Option<PathBuf>,
    /// Only these hosts, by name, role or site, with commas between them. Control planes are asked for what the others
    /// need, but not changed.
    #[arg(long, value_name = "HOSTS")]
    pub limit: Option<Selection>,
    /// Only these roles of the library, with commas between them, and what they need. The cluster is left alone.
    #[arg(long, value_name = "ROLES", value_delimiter = ',')]
    pub only: Option<Vec<String>>,
    /// How many hosts are read or changed at the same time.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub forks: u16,
}

impl EngineArgs {
    /// With everything at its default.
    pub fn usual() -> EngineArgs {
        EngineArgs { roles: None, limit: None, only: None, forks: 32 }
    }
}

/// What is to be worked on.
pub struct Request {
    loaded: Loaded,
    file: PathBuf,
    limited: bool,
    pub scope: Scope,
    pub library: Library,
}

impl Request {
    /// What the command line says.
    pub fn new(file: &Path, args: &EngineArgs) -> Result<Request, Failure> {
        let loaded = inventory::load(file)?;
        // Single roles need not be those of a cluster.
        if args.only.is_none() {
            tell_remarks(&loaded);
        }
        let selection = args.limit.clone().unwrap_or_else(Selection::all);
        let selected = selection.hosts(&loaded.inventory)?;
        let hosts = selected.into_iter().map(|(name, _)| name.to_string()).collect();
        Ok(Request {
            file: absolute(file)?,
            limited: args.limit.is_some(),
            scope: Scope { hosts, only: args.only.clone() },
            library: library(args.roles.as_deref())?,
            loaded,
        })
    }

    /// What a saved plan says.
    pub fn again(source: &Source) -> Result<Request, Failure> {
        let loaded = inventory::load(&source.inventory)?;
        if source.only.is_none() {
            tell_remarks(&loaded);
        }
        let everybody = || loaded.inventory.hosts.keys().cloned().collect();
        let hosts = source.limit.clone().unwrap_or_else(everybody);
        Ok(Request {
            file: source.inventory.clone(),
            limited: source.limit.is_some(),
            scope: Scope { hosts, only: source.only.clone() },
            library: library(source.roles.as_deref())?,
            loaded,
        })
    }

    pub fn inventory(&self) -> &Inventory {
        &self.loaded.inventory
    }

    /// What a plan of this is made from.
    pub fn source(&self, contents: bool) -> Result<Source, Failure> {
        Ok(Source {
            inventory: self.file.clone(),
            inventory_sha256: sha256(self.loaded.source.text().as_bytes()),
            roles: self.library.folder.as_deref().map(absolute).transpose()?,
            roles_sha256: self.library.digest()?,
            limit: self.limited.then(|| self.scope.hosts.clone()),
            only: self.scope.only.clone(),
            contents,
        })
    }

    /// The artifacts; none where there are none and only roles are asked for that may not need any. Who renews certificates
    /// needs none at all, perhaps years after they were last there.
    pub fn index(&self) -> Result<Option<Index>, Failure> {
        let inventory = self.inventory();
        if self.scope.only.as_ref().is_some_and(|only| only.iter().all(|role| role == RENEWAL)) {
            return Ok(None);
        }
        match artifact::supply(inventory, &self.file, &home(), &cache()?) {
            Err(artifact::Error::Missing { .. })
                if self.scope.only.is_some() && inventory.artifacts.packages == Packages::Repositories =>
            {
                Ok(None)
            }
            loaded => Ok(Some(loaded?)),
        }
    }

    /// Whether all of the cluster is meant, add-ons included.
    pub fn is_whole(&self) -> bool {
        !self.limited && self.scope.only.is_none()
    }

    /// Connects to the hosts, locks them if asked to, and compiles what they shall be.
    pub async fn open(&self, index: Option<&Index>, lock: Option<&Lock>) -> Result<Work, Failure> {
        let inventory = self.inventory();
        match Work::open(inventory, &home(), &self.scope, index, &self.library, lock).await {
            Ok(work) => Ok(work),
            Err(WorkError::Engine(error)) => Err(error.into()),
            Err(WorkError::Packages(error)) => Err(error.into()),
            Err(WorkError::Guarded(why)) => {
                let exit = why.exit();
                Err(Failure { report: why.into(), exit })
            }
            Err(WorkError::Refused { why, unreached }) => {
                let exit = Exit::worst([why.exit(), tell_unreached(unreached, inventory.hosts.len())]);
                Err(Failure { report: why.into(), exit })
            }
        }
    }
}

/// Roles and templates, and those of a folder before them. A folder that has none would quietly do something else than
/// was asked.
pub fn library(folder: Option<&Path>) -> Result<Library, Failure> {
    if let Some(folder) = folder {
        let path = folder.to_path_buf();
        fs::read_dir(folder).map_err(|cause| engine::Error::Unreadable { path: path.clone(), cause })?;
        if !["roles", "templates"].iter().any(|name| folder.join(name).is_dir()) {
            let cause = io::Error::other("it has neither a folder roles nor a folder templates");
            return Err(engine::Error::Unreadable { path, cause }.into());
        }
    }
    Ok(Library::new(folder.map(Path::to_path_buf)))
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(Failure::os)
}

/// A plan that was saved. A different inventory on the command line is a mistake, not a wish.
pub fn read_plan(path: &Path, inventory: Option<&Path>) -> Result<SavedPlan, Failure> {
    let saved = SavedPlan::read(path)?;
    // What the environment says is for verbs that are told nothing else.
    let usual = std::env::var_os("HOIST_INVENTORY").map(PathBuf::from);
    match inventory.filter(|file| Some(*file) != usual.as_deref()) {
        Some(other) if absolute(other)? != saved.source.inventory => {
            let report = miette::miette!(
                help = "leave -i out: a plan knows its inventory",
                "the plan {} is of {}, not of {}",
                path.display(),
                saved.source.inventory.display(),
                other.display()
            );
            Err(Failure { report, exit: Exit::Usage })
        }
        _ => Ok(saved),
    }
}

/// The command that runs this program now, as it can be given to a shell again.
pub fn command_line() -> String {
    shell_words(std::env::args_os().map(|word| word.to_string_lossy().into_owned()))
}

/// Words as a shell reads them, without quotes where none are needed.
fn shell_words(words: impl Iterator<Item = String>) -> String {
    words.map(|word| if is_plain(&word) { word } else { quote(&word) }).collect::<Vec<_>>().join(" ")
}

fn is_plain(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./,:=@%+".contains(&byte);
    !word.is_empty() && word.bytes().all(plain)
}

/// The lock of the hosts that this process changes.
pub fn lock() -> Lock {
    Lock::new(&command_line())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_can_be_given_again() {
        let words = ["./hoist", "apply", "-i", "my office.yaml", "--limit", "w1,w2", "", "it's", "~/x"];
        assert_eq!(
            shell_words(words.into_iter().map(String::from)),
            r"./hoist apply -i 'my office.yaml' --limit w1,w2 '' 'it'\''s' '~/x'"
        );
    }
}
