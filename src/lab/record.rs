//! Records of running nodes: which process watches over each.

use std::{fs, net::Ipv4Addr, path::PathBuf};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::{
    cache::{read_json, remove, write_json},
    config::Config,
    error::LabError,
    identity::Identity,
};

/// A node's supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) supervisor: Identity,
}

impl Record {
    pub(crate) fn write(&self, config: &Config) -> Result<(), LabError> {
        write_json(&path(config, &self.name), self)
    }

    /// Whether the very process that was recorded is running.
    pub(crate) fn alive(&self) -> bool {
        self.supervisor.alive()
    }

    /// Asks the supervisor to stop its node; nothing happens when it is not running any more.
    pub(crate) fn terminate(&self) {
        self.supervisor.send(Signal::SIGTERM);
    }
}

/// The record of a node, if there is one that can be read.
pub(crate) fn read(config: &Config, node: &str) -> Option<Record> {
    read_json(&path(config, node))
}

/// Records of all nodes, alive or not, sorted by name.
pub(crate) fn all(config: &Config) -> Vec<Record> {
    let Ok(items) = fs::read_dir(config.run()) else { return Vec::new() };
    let mut records: Vec<Record> = items
        .flatten()
        .filter_map(|item| item.file_name().to_str()?.strip_suffix(".node.json").map(str::to_owned))
        .filter_map(|node| read(config, &node))
        .collect();
    records.sort_by(|a, b| a.name.cmp(&b.name));
    records
}

/// Forgets a node.
pub(crate) fn delete(config: &Config, node: &str) -> Result<(), LabError> {
    remove(&path(config, node))
}

fn path(config: &Config, node: &str) -> PathBuf {
    config.run().join(format!("{node}.node.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Cache;

    #[test]
    fn records_survive_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(Cache::at(folder.path()), "lab").unwrap();
        let record = Record {
            name: "w1".to_owned(),
            address: Ipv4Addr::LOCALHOST,
            supervisor: Identity::own().unwrap(),
        };
        record.write(&config).unwrap();
        fs::write(config.run().join("w2.node.json"), "{half").unwrap();
        fs::write(config.console("w1"), "console").unwrap();
        assert_eq!(all(&config), [record]);
        delete(&config, "w1").unwrap();
        assert!(all(&config).is_empty());
    }
}
