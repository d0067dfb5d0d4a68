//! What runs, and what it takes.

use std::{collections::BTreeSet, fmt, net::Ipv4Addr};

use serde::Serialize;

use super::{
    cgroup::Cgroups,
    checks::gigabytes,
    config::Config,
    disk, down,
    error::LabError,
    network::Namespace,
    record,
    up::{answers, ssh},
};

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It answers SSH.
    Running,
    /// Its supervisor runs; it boots, reboots, or is stuck.
    Starting,
    /// It has a disk and nothing else.
    Stopped,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Stopped => "stopped",
        })
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    pub name: String,
    pub address: Option<Ipv4Addr>,
    pub state: State,
    /// Of the supervisor.
    pub pid: Option<i32>,
    /// Bytes in use, without file cache that can be dropped.
    pub memory: Option<u64>,
    /// Bytes of its root file system.
    pub disk: u64,
}

/// All nodes of the lab, by name.
pub fn status(config: &Config) -> Result<Vec<NodeStatus>, LabError> {
    let cgroups = Cgroups::of_this_machine()?;
    let namespace = Namespace::of(config);
    let alive: Vec<_> = record::all(config).into_iter().filter(record::Record::alive).collect();
    let names: BTreeSet<String> =
        alive.iter().map(|record| record.name.clone()).chain(down::nodes(config)).collect();
    let mut nodes = Vec::new();
    for name in names {
        let folder = config.disk(&name);
        let record = alive.iter().find(|record| record.name == name);
        let state = match record {
            None => State::Stopped,
            Some(record) if namespace.run(|| answers(ssh(record.address)))? => State::Running,
            Some(_) => State::Starting,
        };
        nodes.push(NodeStatus {
            address: record.map(|record| record.address).or_else(|| disk::address(&folder)),
            pid: record.map(|record| record.pid),
            memory: record.and_then(|_| cgroups.memory(&config.name, &name)),
            disk: disk::usage(&folder),
            name,
            state,
        });
    }
    Ok(nodes)
}

/// The table that people read.
pub fn table(nodes: &[NodeStatus]) -> String {
    let dash = || "-".to_owned();
    let mut text = format!(
        "{:<12} {:<15} {:<9} {:>8} {:>9} {:>9}\n",
        "NAME", "ADDRESS", "STATE", "PID", "MEMORY", "DISK"
    );
    for node in nodes {
        text += &format!(
            "{:<12} {:<15} {:<9} {:>8} {:>9} {:>9}\n",
            node.name,
            node.address.map_or_else(dash, |address| address.to_string()),
            node.state,
            node.pid.map_or_else(dash, |pid| pid.to_string()),
            node.memory.map_or_else(dash, |bytes| format!("{} MB", bytes / 1_000_000)),
            gigabytes(node.disk),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_json() {
        let nodes = [
            NodeStatus {
                name: "cp1".into(),
                address: Some(Ipv4Addr::new(10, 77, 0, 11)),
                state: State::Running,
                pid: Some(4711),
                memory: Some(431_000_000),
                disk: 2_000_000_000,
            },
            NodeStatus {
                name: "w1".into(),
                address: None,
                state: State::Stopped,
                pid: None,
                memory: None,
                disk: 400_000_000,
            },
        ];
        insta::assert_snapshot!(table(&nodes), @r"
        NAME         ADDRESS         STATE          PID    MEMORY      DISK
        cp1          10.77.0.11      running       4711    431 MB    2.0 GB
        w1           -               stopped          -         -    0.4 GB
        ");
        assert_eq!(
            serde_json::to_string(&nodes[0]).unwrap(),
            r#"{"name":"cp1","address":"10.77.0.11","state":"running","pid":4711,"memory":431000000,"disk":2000000000}"#
        );
    }
}
