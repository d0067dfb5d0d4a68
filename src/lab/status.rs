//! What runs, and what it takes.

use std::{collections::BTreeSet, fmt, net::Ipv4Addr};

use serde::Serialize;

use super::{
    cgroup::Cgroups,
    checks::gigabytes,
    config::Config,
    disk, down,
    error::LabError,
    links::NodeLinks,
    network::Namespace,
    record,
    switch::Wiring,
    up::{PATIENCE, answers, delay, ssh},
    volume,
};

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It answers SSH.
    Running,
    /// Its supervisor runs; it boots, reboots, or is stuck.
    Starting,
    /// Its supervisor runs; its link to this machine is cut, so that more cannot be known.
    Unseen,
    /// It has a disk and nothing else.
    Stopped,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Unseen => "unseen",
            Self::Stopped => "stopped",
        })
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    pub name: String,
    pub address: Option<Ipv4Addr>,
    pub site: Option<String>,
    pub state: State,
    /// Of the supervisor.
    pub pid: Option<i32>,
    /// Bytes in use, without file cache that can be dropped.
    pub memory: Option<u64>,
    /// Bytes of its root file system.
    pub disk: u64,
    /// Bytes of the whole disk, if it has one of its own.
    pub disk_size: Option<u64>,
    /// What is wrong with its links.
    pub links: NodeLinks,
}

/// The whole lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabStatus {
    /// By name.
    pub nodes: Vec<NodeStatus>,
    /// Whether the network is as the nodes' links say; see [`WARNING`].
    pub in_force: bool,
}

/// What to tell people when the network is not as it should be.
pub const WARNING: &str = "the links are not all as shown, because a command was killed or the relay of slow links has \
                           ended; `hoist lab heal`, or the last `hoist lab cut` or `slow` again, puts that right";

/// How the lab is.
///
/// # Errors
/// When this machine's control groups or the lab's network cannot be read.
pub fn status(config: &Config) -> Result<LabStatus, LabError> {
    let cgroups = Cgroups::of_this_machine()?;
    let namespace = Namespace::of(config);
    let alive: Vec<_> = record::all(config).into_iter().filter(record::Record::alive).collect();
    let names: BTreeSet<String> =
        alive.iter().map(|record| record.name.clone()).chain(down::nodes(config)).collect();
    let wiring = Wiring::of(config);
    let mut nodes = Vec::new();
    for name in names {
        let folder = config.disk(&name);
        let record = alive.iter().find(|record| record.name == name);
        let state = match (record, delay(&wiring, &name)) {
            (None, _) => State::Stopped,
            (Some(_), None) => State::Unseen,
            (Some(record), Some(delay))
                if namespace.run(|| answers(ssh(record.address), PATIENCE + 2 * delay))? =>
            {
                State::Running
            }
            (Some(_), Some(_)) => State::Starting,
        };
        let volume = volume::usage(config, &name);
        nodes.push(NodeStatus {
            address: record.map(|record| record.address).or_else(|| disk::address(&folder)),
            site: disk::site(&folder),
            pid: record.map(|record| record.supervisor.pid),
            memory: record.and_then(|_| cgroups.memory(&config.name, &name)),
            disk: volume.map_or_else(|| disk::usage(&folder), |(used, _)| used),
            disk_size: volume.map(|(_, size)| size),
            links: wiring.node(&name),
            name,
            state,
        });
    }
    Ok(LabStatus { nodes, in_force: wiring.in_force() })
}

/// The table that people read.
pub fn table(nodes: &[NodeStatus]) -> String {
    let dash = || "-".to_owned();
    let mut text = format!(
        "{:<12} {:<15} {:<10} {:<9} {:>8} {:>9} {:>14}   {}\n",
        "NAME", "ADDRESS", "SITE", "STATE", "PID", "MEMORY", "DISK", "LINKS"
    );
    for node in nodes {
        text += &format!(
            "{:<12} {:<15} {:<10} {:<9} {:>8} {:>9} {:>14}   {}\n",
            node.name,
            node.address.map_or_else(dash, |address| address.to_string()),
            node.site.as_deref().unwrap_or("-"),
            node.state,
            node.pid.map_or_else(dash, |pid| pid.to_string()),
            node.memory.map_or_else(dash, |bytes| format!("{} MB", bytes / 1_000_000)),
            match node.disk_size {
                Some(size) =>
                    format!("{} of {}", gigabytes(node.disk).trim_end_matches(" GB"), gigabytes(size)),
                None => gigabytes(node.disk),
            },
            node.links,
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
                site: Some("north".into()),
                links: NodeLinks::default(),
                address: Some(Ipv4Addr::new(10, 77, 0, 11)),
                state: State::Running,
                pid: Some(4711),
                memory: Some(431_000_000),
                disk: 2_000_000_000,
                disk_size: Some(8_000_000_000),
            },
            NodeStatus {
                name: "w1".into(),
                site: None,
                links: NodeLinks::default(),
                address: None,
                state: State::Stopped,
                pid: None,
                memory: None,
                disk: 400_000_000,
                disk_size: None,
            },
        ];
        insta::assert_snapshot!(table(&nodes), @r"
        NAME         ADDRESS         SITE       STATE          PID    MEMORY           DISK   LINKS
        cp1          10.77.0.11      north      running       4711    431 MB  2.0 of 8.0 GB   -
        w1           -               -          stopped          -         -         0.4 GB   -
        ");
        assert_eq!(
            serde_json::to_string(&nodes[0]).unwrap(),
            r#"{"name":"cp1","address":"10.77.0.11","site":"north","state":"running","pid":4711,"memory":431000000,"disk":2000000000,"disk_size":8000000000,"links":{"faults":{}}}"#
        );
    }
}
