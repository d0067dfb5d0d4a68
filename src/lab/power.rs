//! Power of single nodes: off, on, and gone for good.

use std::{collections::BTreeSet, path::Path, thread, time::Duration};

use super::{
    cache::remove,
    cgroup::Cgroups,
    config::Config,
    disk, down,
    error::LabError,
    network::{self, Namespace},
    node::NodeSpec,
    record::{self, Record},
    setup, switch, up, volume,
};
use crate::report::steps::{Progress, step};

/// The nodes that words mean: a node's name means it, that of a site all nodes that stand there.
///
/// # Errors
/// [`LabError::UnknownNodes`] for words that are neither.
pub fn meant(config: &Config, words: &[String]) -> Result<Vec<String>, LabError> {
    let known = down::nodes(config);
    let mut meant: Vec<String> = Vec::new();
    for word in words {
        let at_site = known
            .iter()
            .filter(|_| !known.contains(word))
            .filter(|node| disk::site(&config.disk(node)).as_ref() == Some(word));
        let before = meant.len();
        meant.extend(at_site.cloned());
        if meant.len() == before {
            meant.push(word.clone());
        }
    }
    down::require(config, &meant)?;
    let mut seen = BTreeSet::new();
    meant.retain(|node| seen.insert(node.clone()));
    Ok(meant)
}

/// Switches nodes off; the names of those that were on. Their disks stay.
///
/// Everything in the node ends at once, as when its power fails, or in order if `gently`. One thing differs from a
/// power cut: what the node wrote and did not sync is kept, for the kernel that holds it is this machine's.
///
/// # Errors
/// [`LabError::UnknownNodes`] before anything is done; what cannot be removed.
pub fn stop(
    config: &Config,
    names: &[String],
    gently: bool,
    progress: &mut dyn Progress,
) -> Result<Vec<String>, LabError> {
    down::require_root()?;
    let _lock = setup::lock(&config.lock(), &format!("lab `{}`", config.name))?;
    down::require(config, names)?;
    step(progress, &format!("stop: {}", names.join(", ")), Duration::from_secs(1), |_| {
        switch_off(config, names, gently)
    })
}

/// Boots nodes that have a disk, and waits until they answer; the names of those that were off.
///
/// # Errors
/// [`LabError::UnknownNodes`] before anything is done; those of [`up::up`].
pub fn start(
    config: &Config,
    names: &[String],
    progress: &mut dyn Progress,
) -> Result<Vec<String>, LabError> {
    down::require(config, names)?;
    let spec = |name: &String| {
        volume::attach(config, name)?;
        let disk = config.disk(name);
        let address = disk::address(&disk).ok_or_else(|| LabError::BadNode {
            node: name.clone(),
            problem: "its disk does not say which address it has".to_owned(),
        })?;
        Ok(NodeSpec { name: name.clone(), address, site: disk::site(&disk) })
    };
    let nodes = names.iter().map(spec).collect::<Result<Vec<_>, LabError>>()?;
    up::up(config, &nodes, progress)
}

/// Switches nodes off and removes their disks, and what was said about their links.
///
/// # Errors
/// As [`stop`].
pub fn discard(config: &Config, names: &[String], progress: &mut dyn Progress) -> Result<(), LabError> {
    down::require_root()?;
    let _lock = setup::lock(&config.lock(), &format!("lab `{}`", config.name))?;
    down::require(config, names)?;
    step(progress, &format!("remove: {}", names.join(", ")), Duration::from_secs(2), |_| {
        switch_off(config, names, false)?;
        for name in names {
            remove(&config.console(name))?;
            volume::unmount(&config.disk(name))?;
            remove(&config.disk(name))?;
            volume::discard(config, name)?;
        }
        switch::refresh(config)
    })
}

fn switch_off(config: &Config, names: &[String], gently: bool) -> Result<Vec<String>, LabError> {
    let cgroups = Cgroups::of_this_machine()?;
    let namespace = Namespace::of(config);
    let group = |name: &str| Path::new(&config.name).join(name);
    let on = names.iter().filter(|name| !cgroups.processes(&group(name)).is_empty()).cloned().collect();
    if gently {
        let records: Vec<Record> = names.iter().filter_map(|name| record::read(config, name)).collect();
        records.iter().for_each(Record::terminate);
        down::wait_until(down::patience(config, &records), || !records.iter().any(Record::alive));
    }
    // All at once, as when a rack loses its power.
    thread::scope(|scope| names.iter().for_each(|name| drop(scope.spawn(|| cgroups.kill(&group(name))))));
    for name in names {
        cgroups.remove(&group(name));
        record::delete(config, name)?;
        down::remove_nspawn_files(config, name)?;
        if namespace.is_ours() {
            namespace.remove_port(&network::port(&config.machine(name)))?;
        }
    }
    Ok(on)
}
