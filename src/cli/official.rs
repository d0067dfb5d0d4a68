//! `hoist demo` with an official release of Kubernetes: whether it can be reached, its inventory, its download.

use std::{
    error::Error,
    fs,
    io::ErrorKind,
    iter::successors,
    path::{Path, PathBuf},
    time::Duration,
};

use semver::Version;
use tokio::time::timeout;

use super::{
    Failure,
    lock::{self, OriginArgs},
    shared::{cache, home},
};
use crate::{
    artifact::{self, Architecture, Lock, Patience, Source},
    exit::Exit,
    inventory::{self, Inventory, Loaded},
    lab::{self, Config, Extent, Kubernetes},
    report::tell_line,
    yaml::Node,
};

/// How long the servers of releases have to answer, all of them together.
const LIMIT: Duration = Duration::from_secs(5);

/// An official release, for a lab.
pub struct Release {
    /// The lab's inventory, beside which its lock is.
    pub file: PathBuf,
    pub inventory: Inventory,
    /// What `file` shall hold; nothing where it stays as it is.
    text: Option<String>,
}

/// Which official release the lab of an inventory gets; nothing when it gets Debian's Kubernetes. Says which, and why.
///
/// An inventory that does not name the version which set-up builds has chosen itself, and stays as it is.
pub fn choose(
    asked: Option<&Kubernetes>,
    origin: &OriginArgs,
    config: &Config,
    file: &Path,
    loaded: &Loaded,
) -> Result<Option<Release>, Failure> {
    let Loaded { inventory, tree, .. } = loaded;
    let named = Kubernetes::Release(inventory.cluster.kubernetes.clone());
    if inventory.cluster.kubernetes.to_string() != lab::KUBERNETES {
        return match asked {
            Some(asked) if *asked != named => Err(says_otherwise(file, &named, asked)),
            _ => {
                tell_line(format_args!("{named}: as {} says", file.display()));
                Ok(Some(Release { file: file.to_owned(), inventory: inventory.clone(), text: None }))
            }
        };
    }
    let cgroup_v2 = lab::has_cgroup_v2();
    let Some(newest) = lab::newest(cgroup_v2).map_err(artifact::Error::from)? else { return Ok(None) };
    let source = origin.source_with(Patience::BRIEF)?;
    let kept = lab::kept(config)?;
    let has_nodes = kept.is_some();
    let choice = lab::choose(&config.name, kept, asked, cgroup_v2, &newest, |version| {
        // What an earlier lab had is here still.
        let here = Release::written(config, tree, version).and_then(|release| release.is_here());
        if matches!(here, Ok(true)) { Ok(()) } else { reached(&source, inventory, version) }
    })?;
    tell_line(&choice);
    match choice.kubernetes {
        Kubernetes::Debian => Ok(None),
        // As it was written then, or changed since.
        Kubernetes::Release(_) if has_nodes => {
            let file = config.release();
            let inventory = inventory::load(&file)?.inventory;
            Ok(Some(Release { file, inventory, text: None }))
        }
        Kubernetes::Release(version) => Release::written(config, tree, &version).map(Some),
    }
}

/// Forgets the release that an earlier lab had: this one's nodes are not for it.
pub fn forget(config: &Config) -> Result<(), Failure> {
    let file = config.release();
    for path in [Lock::beside(&file), file] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Failure::os(error)),
            _ => {}
        }
    }
    Ok(())
}

impl Release {
    /// A release in place of what an inventory has set-up build.
    fn written(config: &Config, lab: &Node, version: &Version) -> Result<Release, Failure> {
        let text = lab::inventory_of(&lab.to_json(), version, &config.cache.releases());
        let file = config.release();
        let inventory = inventory::parse(&file.display().to_string(), &text)?.inventory;
        Ok(Release { file, inventory, text: Some(text) })
    }

    /// What set-up makes for it, and what comes afterwards.
    pub fn extent(&self) -> Result<Extent, Failure> {
        Ok(match self.is_here()? {
            true => Extent::Nodes,
            false => Extent::NodesAnd(format!(
                "download Kubernetes {} and what goes with it",
                self.inventory.cluster.kubernetes
            )),
        })
    }

    /// The image of the sample application, if it is not the one that set-up makes.
    pub fn sample_image(&self) -> Option<String> {
        let images = &self.inventory.artifacts.images;
        images.iter().find(|image| *image == lab::SAMPLE_IMAGE).cloned()
    }

    /// Writes the inventory and its lock, and downloads what that pins; nothing of which is there already.
    pub fn bring(&self, origin: &OriginArgs) -> Result<(), Failure> {
        if self.is_here()? {
            return Ok(());
        }
        if let Some(text) = self.text.as_ref().filter(|_| !self.is_written()) {
            // A lock that is there is of another inventory.
            if let Some(folder) = self.file.parent() {
                fs::create_dir_all(folder).map_err(Failure::os)?;
            }
            match fs::remove_file(Lock::beside(&self.file)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(Failure::os(error)),
                _ => fs::write(&self.file, text).map_err(Failure::os)?,
            }
        }
        tell_line(format_args!("\n$ hoist lock -i {} --fetch", self.file.display()));
        let args = lock::Args::fetching(self.file.clone(), origin.clone());
        super::block_on(lock::run(&args)).map(drop)
    }

    /// Whether everything is downloaded and laid out, and pinned by a lock.
    fn is_here(&self) -> Result<bool, Failure> {
        let locked = self.is_written() && Lock::beside(&self.file).exists();
        Ok(locked && artifact::supply(&self.inventory, &self.file, &home(), &cache()?).is_ok())
    }

    fn is_written(&self) -> bool {
        let Some(text) = &self.text else { return true };
        fs::read_to_string(&self.file).is_ok_and(|found| found == *text)
    }
}

/// Asks the servers that have a release; why it cannot be had.
fn reached(source: &Source, inventory: &Inventory, version: &Version) -> Result<(), String> {
    let mut inventory = inventory.clone();
    inventory.cluster.kubernetes = version.clone();
    inventory.artifacts.images.push(lab::SAMPLE_IMAGE.to_owned());
    let wanted =
        artifact::wanted(&inventory, &[Architecture::of_this_machine()]).map_err(|error| words(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| words(&error))?;
    let answer = runtime.block_on(async { timeout(LIMIT, artifact::reach(source, &wanted)).await });
    // A thread may still wait for a name that nobody resolves; nobody waits for it.
    runtime.shutdown_background();
    match answer {
        Err(_) => Err(format!("not all of their servers answer within {} s", LIMIT.as_secs())),
        Ok(reached) => reached.map_err(|error| words(&error)),
    }
}

/// An error with its causes.
fn words(error: &(dyn Error + 'static)) -> String {
    successors(Some(error), |&error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn says_otherwise(file: &Path, named: &Kubernetes, asked: &Kubernetes) -> Failure {
    let report = miette::miette!(
        help = "leave `--kubernetes` out, or take an inventory of hoist's lab, in which it replaces what set-up builds",
        "{} is for {named}, and `--kubernetes` asks for {asked}",
        file.display()
    );
    Failure { report, exit: Exit::Usage }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_that_names_a_release_has_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(lab::Cache::at(folder.path()), "two").unwrap();
        let text = include_str!("../../inventory/lab.yaml").replace("\"1.20.2\"", "1.33.4");
        let loaded = inventory::parse("own.yaml", &text).unwrap();
        let origin = OriginArgs { mirror: None, registry: None };
        let choose = |asked: Option<&str>| {
            let asked = asked.map(|asked| asked.parse().unwrap());
            choose(asked.as_ref(), &origin, &config, Path::new("own.yaml"), &loaded)
        };
        for asked in [None, Some("1.33.4")] {
            let release = choose(asked).ok().flatten().unwrap();
            assert_eq!((release.file.as_path(), release.is_written()), (Path::new("own.yaml"), true));
            assert_eq!(release.sample_image(), None);
        }
        for asked in ["debian", "1.34.2"] {
            let refused = choose(Some(asked)).err().unwrap();
            assert_eq!(refused.exit, Exit::Usage);
        }
    }

    #[test]
    fn another_choice_leaves_no_lock_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(lab::Cache::at(folder.path()), "two").unwrap();
        let lab = inventory::parse("lab.yaml", include_str!("../../inventory/lab.yaml")).unwrap().tree;
        let release = Release::written(&config, &lab, &Version::new(1, 34, 2)).ok().unwrap();
        assert_eq!(release.file, config.release());
        assert_eq!(release.sample_image().as_deref(), Some(lab::SAMPLE_IMAGE));
        assert!(!release.is_here().ok().unwrap() && !release.is_written());
        fs::create_dir_all(config.release().parent().unwrap()).unwrap();
        fs::write(&release.file, release.text.as_ref().unwrap()).unwrap();
        fs::write(Lock::beside(&release.file), "").unwrap();
        assert!(release.is_written());
        let other = Release::written(&config, &lab, &Version::new(1, 33, 4)).ok().unwrap();
        assert!(!other.is_written());
        forget(&config).ok().unwrap();
        forget(&config).ok().unwrap();
        assert!(!release.is_written() && !Lock::beside(&release.file).exists());
    }
}
