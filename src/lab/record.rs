//! Records of running nodes: which process watches over each. A process is known by its number, its start time and
//! the boot it belongs to, so that another one with a recycled number is never taken for it.

use std::{fs, net::Ipv4Addr, path::PathBuf};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use super::{
    cache::{remove, write_atomically},
    config::Config,
    error::LabError,
};

/// A node's supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) pid: i32,
    /// Clock ticks after boot, field 22 of `/proc/PID/stat`.
    start_time: u64,
    boot: String,
}

impl Record {
    /// Records the calling process as the supervisor of a node.
    pub(crate) fn of_this_process(name: &str, address: Ipv4Addr) -> Result<Self, LabError> {
        let pid = Pid::this().as_raw();
        let path = PathBuf::from(format!("/proc/{pid}/stat"));
        let stat = fs::read_to_string(&path).map_err(LabError::io("read", &path))?;
        let start_time = start_time(&stat).unwrap_or_default();
        Ok(Self { name: name.to_owned(), address, pid, start_time, boot: boot_id() })
    }

    pub(crate) fn write(&self, config: &Config) -> Result<(), LabError> {
        let path = path(config, &self.name);
        let text = serde_json::to_vec(self)
            .map_err(|error| LabError::io("write", &path)(std::io::Error::other(error)))?;
        write_atomically(&path, &text)
    }

    /// Whether the very process that was recorded is running.
    pub(crate) fn alive(&self) -> bool {
        self.boot == boot_id()
            && fs::read_to_string(format!("/proc/{}/stat", self.pid))
                .is_ok_and(|stat| start_time(&stat) == Some(self.start_time))
    }

    /// Asks the supervisor to stop its node; nothing happens when it is not running any more.
    pub(crate) fn terminate(&self) {
        if self.alive() {
            // It may end between the look and the signal; then there is nobody to be told.
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGTERM);
        }
    }
}

/// The record of a node, if there is one that can be read.
pub(crate) fn read(config: &Config, node: &str) -> Option<Record> {
    serde_json::from_slice(&fs::read(path(config, node)).ok()?).ok()
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

/// Start time from `/proc/PID/stat`; nothing for a process that has ended and only waits to be collected.
/// The command, in brackets, may hold anything, brackets too.
fn start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    // The state was field 3, so the next is field 4.
    fields.nth(22 - 4)?.trim().parse().ok()
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Cache;

    #[test]
    fn start_times() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 4711 100 10 18446744073709551615";
        assert_eq!(start_time(stat), Some(4711));
        assert_eq!(start_time(&stat.replace(") S ", ") Z ")), None);
        assert_eq!(start_time("7 (a"), None);
    }

    #[test]
    fn a_recycled_number_is_another_process() {
        let own = Record::of_this_process("n1", Ipv4Addr::LOCALHOST).unwrap();
        assert!(own.alive());
        assert!(!Record { start_time: own.start_time + 1, ..own.clone() }.alive());
        assert!(!Record { boot: "another".into(), ..own.clone() }.alive());
        // Must not end this test.
        Record { start_time: own.start_time + 1, ..own }.terminate();
    }

    #[test]
    fn records_survive_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(Cache::at(folder.path()), "lab").unwrap();
        let record = Record::of_this_process("w1", Ipv4Addr::LOCALHOST).unwrap();
        record.write(&config).unwrap();
        fs::write(config.run().join("w2.node.json"), "{half").unwrap();
        fs::write(config.console("w1"), "console").unwrap();
        assert_eq!(all(&config), [record]);
        delete(&config, "w1").unwrap();
        assert!(all(&config).is_empty());
    }
}
