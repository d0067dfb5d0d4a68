//! Which lab, which nodes, and where everything about them is.

use std::{collections::BTreeSet, net::Ipv4Addr, path::PathBuf, str::FromStr, time::Duration};

use super::{cache::Cache, error::LabError, network};

/// Name of the lab where none is given.
pub const DEFAULT_LAB: &str = "hoist-lab";

/// One lab on this machine. Labs of different names do not see each other.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of its network namespace, control groups and folder.
    pub name: String,
    pub cache: Cache,
    /// The hoist program, which runs itself again to watch over each node.
    pub program: PathBuf,
    /// How long a node may take until it answers SSH.
    pub boot_limit: Duration,
}

/// A node that should run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSpec {
    pub name: String,
    pub address: Ipv4Addr,
}

impl Config {
    /// The lab `name`, watched over by this very program.
    ///
    /// # Errors
    /// [`LabError::BadNode`] when the name cannot be one; [`LabError::Io`] when this program's path is unknown.
    pub fn new(cache: Cache, name: &str) -> Result<Self, LabError> {
        check_name(name)?;
        let program = std::env::current_exe().map_err(LabError::io("find", "this program"))?;
        Ok(Self { name: name.to_owned(), cache, program, boot_limit: Duration::from_secs(60) })
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.cache.lab().join("labs").join(&self.name)
    }

    /// Root file systems by node.
    pub(crate) fn disks(&self) -> PathBuf {
        self.folder().join("nodes")
    }

    pub(crate) fn disk(&self, node: &str) -> PathBuf {
        self.disks().join(node)
    }

    /// What is only there while nodes run.
    pub(crate) fn run(&self) -> PathBuf {
        self.folder().join("run")
    }

    /// What a node printed on its console since it was started.
    pub fn console(&self, node: &str) -> PathBuf {
        self.run().join(format!("{node}.console.log"))
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.folder().join("lock")
    }

    /// Name of a node that is unique on this machine.
    pub(crate) fn machine(&self, node: &str) -> String {
        format!("{}-{node}", self.name)
    }
}

impl NodeSpec {
    /// The three nodes of `hoist lab up`.
    pub fn three() -> Vec<Self> {
        [("cp1", 11), ("w1", 12), ("w2", 13)]
            .map(|(name, last)| Self { name: name.to_owned(), address: Ipv4Addr::new(10, 77, 0, last) })
            .into()
    }
}

impl FromStr for NodeSpec {
    type Err = String;

    /// `NAME=ADDRESS`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = text.split_once('=').ok_or("expected NAME=ADDRESS, such as w3=10.77.0.14")?;
        let address = address.parse().map_err(|_| format!("`{address}` is not an IPv4 address"))?;
        Ok(Self { name: name.to_owned(), address })
    }
}

/// That every node can be made as it is asked for.
pub(crate) fn check_nodes(nodes: &[NodeSpec]) -> Result<(), LabError> {
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for node in nodes {
        check_name(&node.name)?;
        let problem = if !names.insert(&node.name) {
            "the name is given twice".to_owned()
        } else if !addresses.insert(node.address) {
            format!("address {} is given twice", node.address)
        } else if !network::can_have(node.address) {
            format!("{} is not an address for a node", node.address)
        } else {
            continue;
        };
        return Err(LabError::BadNode { node: node.name.clone(), problem });
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), LabError> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = (1..=32).contains(&name.len())
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if good {
        Ok(())
    } else {
        Err(LabError::BadNode { node: name.to_owned(), problem: "not a usable name".to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_checked() {
        let nodes = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<NodeSpec>>();
        check_nodes(&NodeSpec::three()).unwrap();
        for (list, problem) in [
            (&["a=10.77.0.5", "a=10.77.0.6"][..], "name is given twice"),
            (&["a=10.77.0.5", "b=10.77.0.5"], "10.77.0.5 is given twice"),
            (&["a=10.77.0.1"], "not an address for a node"),
            (&["a=10.78.0.5"], "not an address for a node"),
            (&["a=10.77.0.255"], "not an address for a node"),
            (&["A=10.77.0.5"], "not a usable name"),
            (&["../a=10.77.0.5"], "not a usable name"),
            (&["-a=10.77.0.5"], "not a usable name"),
        ] {
            let error = check_nodes(&nodes(list)).unwrap_err().to_string();
            assert!(error.contains(problem), "{list:?}: {error}");
        }
        assert!("a".parse::<NodeSpec>().is_err());
        assert!("a=b".parse::<NodeSpec>().is_err());
    }
}
