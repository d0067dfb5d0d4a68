//! Stops all nodes, removes what they used, and proves that nothing is left.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::unistd::geteuid;

use super::{
    cache::remove,
    cgroup::Cgroups,
    checks::Failure,
    config::Config,
    error::LabError,
    mounts,
    network::Namespace,
    record::{self, Record},
    setup, supervise, volume,
};
use crate::report::steps::{Progress, step};

/// Where systemd-nspawn keeps what it knows about machines.
const NSPAWN_RUN: &str = "/run/systemd/nspawn";

/// Stops every node of the lab and removes its network and, unless `keep_disks`, its disks. Fine when nothing runs.
///
/// # Errors
/// [`LabError::Leftovers`] naming each process, mount, control group or namespace that could not be removed.
pub fn down(config: &Config, keep_disks: bool, progress: &mut dyn Progress) -> Result<(), LabError> {
    require_root()?;
    let _lock = setup::lock(&config.lock(), &format!("lab `{}`", config.name))?;
    let records = record::all(config);
    let names: Vec<_> = records.iter().map(|record| record.name.as_str()).collect();
    let title = if names.is_empty() { "clear up".to_owned() } else { format!("stop: {}", names.join(", ")) };
    step(progress, &title, Duration::from_secs(5), |_| stop_and_clear(config, &records, keep_disks))
}

/// That this process may do what it is about to do.
pub(crate) fn require_root() -> Result<(), LabError> {
    if geteuid().is_root() {
        return Ok(());
    }
    let (found, fix) =
        ("not running as root".to_owned(), "run the same command as root or with sudo".to_owned());
    Err(LabError::Checks { failures: vec![Failure { check: "root", found, fix }] })
}

/// That these are nodes of the lab.
pub(crate) fn require(config: &Config, names: &[String]) -> Result<(), LabError> {
    let known = nodes(config);
    let unknown: Vec<String> = names.iter().filter(|name| !known.contains(name)).cloned().collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(LabError::UnknownNodes { unknown, lab: config.name.clone(), known })
    }
}

fn stop_and_clear(config: &Config, records: &[Record], keep_disks: bool) -> Result<(), LabError> {
    let cgroups = Cgroups::of_this_machine()?;
    let group = Path::new(&config.name);
    let namespace = Namespace::of(config);
    let network = namespace.inode().filter(|_| namespace.is_ours());

    if keep_disks {
        // An orderly shutdown, so that what is on the disks is whole.
        records.iter().for_each(Record::terminate);
        wait_until(patience(config, records), || !records.iter().any(Record::alive));
    }
    cgroups.kill(group);
    cgroups.remove(group);
    namespace.delete()?;
    for node in nodes(config) {
        remove_nspawn_files(config, &node)?;
    }
    for disk in mounts::below(&config.disks())? {
        volume::unmount(&disk)?;
    }
    let left = left(config, &cgroups, network)?;
    if !left.is_empty() {
        return Err(LabError::Leftovers { left });
    }
    remove(&config.run())?;
    if keep_disks { Ok(()) } else { remove(&config.disks()) }
}

/// What systemd-nspawn leaves: a lock beside the disk, one named after its inode, and a folder for mounts.
pub(crate) fn remove_nspawn_files(config: &Config, node: &str) -> Result<(), LabError> {
    let disk = config.disk(node);
    let metadata = fs::metadata(&disk).map_err(LabError::io("look at", &disk))?;
    let run = Path::new(NSPAWN_RUN);
    remove(&config.disks().join(format!(".#{node}.lck")))?;
    remove(&run.join("locks").join(format!("inode-{}:{}", metadata.dev(), metadata.ino())))?;
    remove(&run.join("propagate").join(config.machine(node)))
}

/// Everything of the lab that is still there: of a lab that is down, nothing.
fn left(config: &Config, cgroups: &Cgroups, network: Option<u64>) -> Result<Vec<String>, LabError> {
    let group = Path::new(&config.name);
    let mut left = Vec::new();
    for pid in cgroups
        .processes(group)
        .into_iter()
        .chain(network.into_iter().flat_map(inside))
        .collect::<BTreeSet<_>>()
    {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        left.push(format!("process {pid} ({})", name.trim()));
    }
    left.extend(mounts::below(&config.folder())?.iter().map(|path| format!("mount {}", path.display())));
    left.extend(cgroups.left(group).iter().map(|path| format!("control group {}", path.display())));
    if network.is_some() && Namespace::of(config).inode() == network {
        left.push(format!("network namespace {}", config.name));
    }
    Ok(left)
}

/// Processes in a network namespace.
fn inside(network: u64) -> Vec<i32> {
    let Ok(items) = fs::read_dir("/proc") else { return Vec::new() };
    items
        .flatten()
        .filter_map(|item| item.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|metadata| metadata.ino() == network)
        })
        .collect()
}

/// Names of all nodes that have a disk.
pub(crate) fn nodes(config: &Config) -> Vec<String> {
    let Ok(items) = fs::read_dir(config.disks()) else { return Vec::new() };
    let mut names: Vec<String> = items
        .flatten()
        .filter(|item| item.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|item| item.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// How long the slowest of these may take until its supervisor has switched it off, after it was told to.
pub(crate) fn patience(config: &Config, records: &[Record]) -> Duration {
    let slowest = records.iter().map(|record| supervise::patience(config, &record.name)).max();
    slowest.unwrap_or_default() + Duration::from_secs(5)
}

pub(crate) fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::Pid;

    use super::*;
    use crate::lab::Cache;

    #[test]
    fn only_finished_disks_are_nodes() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(Cache::at(folder.path()), "lab").unwrap();
        assert!(nodes(&config).is_empty());
        for name in ["w1", "cp1", ".w2.partial"] {
            fs::create_dir_all(config.disk(name)).unwrap();
        }
        fs::write(config.disks().join(".#w1.lck"), "").unwrap();
        assert_eq!(nodes(&config), ["cp1", "w1"]);
    }

    #[test]
    fn unknown_nodes_are_named_all_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(Cache::at(folder.path()), "lab").unwrap();
        fs::create_dir_all(config.disk("a")).unwrap();
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        require(&config, &names(&["a"])).unwrap();
        let error = require(&config, &names(&["b", "a", "c"])).unwrap_err().to_string();
        assert!(error.contains("`b`, `c`"), "{error}");
    }

    #[test]
    fn this_process_is_inside_its_own_network() {
        let own = fs::metadata("/proc/self/ns/net").unwrap().ino();
        assert!(inside(own).contains(&Pid::this().as_raw()));
        assert!(inside(0).is_empty());
    }

    #[test]
    fn waiting_ends_with_the_limit() {
        let mut calls = 0;
        wait_until(Duration::ZERO, || {
            calls += 1;
            false
        });
        assert_eq!(calls, 1);
    }
}
