//! Which lab, and where everything about it is.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use super::{cache::Cache, error::LabError, step};

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
    /// How long a node may take until it answers SSH; a virtual machine may take five times as long.
    pub boot_limit: Duration,
    /// Bytes of the disks that are made; without it, new nodes share the disk of this machine.
    pub disk_size: Option<u64>,
    /// Names of new nodes that are made as virtual machines.
    pub virtual_machines: BTreeSet<String>,
}

impl Config {
    /// The lab `name`, watched over by this very program.
    ///
    /// # Errors
    /// [`LabError::BadNode`] when the name cannot be one; [`LabError::Io`] when this program's path is unknown.
    pub fn new(cache: Cache, name: &str) -> Result<Self, LabError> {
        check_name(name)?;
        let program = std::env::current_exe().map_err(LabError::io("find", "this program"))?;
        let boot_limit = Duration::from_secs(60);
        let (name, virtual_machines) = (name.to_owned(), BTreeSet::new());
        Ok(Self { name, cache, program, boot_limit, disk_size: None, virtual_machines })
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

    /// The inventory of a lab that has an official release, which is this lab's own; its lock is beside it.
    pub fn release(&self) -> PathBuf {
        self.folder().join("release/inventory.yaml")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.folder().join("lock")
    }

    /// Name of a node that is unique on this machine, and never longer than 12 characters: systemd-nspawn puts `vb-`
    /// before it for the node's end on the bridge, and shortens what the kernel finds too long (15) to a name that
    /// nobody else can know.
    pub(crate) fn machine(&self, node: &str) -> String {
        let digest = step::digest(&[&self.name, node]);
        format!("{:.3}-{:.8}", node, digest)
    }
}

/// That a name can be that of a lab, a node or a site.
pub(crate) fn check_name(name: &str) -> Result<(), LabError> {
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
    fn machines_have_short_names_of_their_own() {
        let lab = |name: &str| Config::new(Cache::at("/cache"), name).unwrap();
        let long = "a-name-of-thirty-two-characters-";
        let names: Vec<String> = ["one", "two"]
            .into_iter()
            .flat_map(|name| ["a", "cp1", "cp12", long].map(|node| lab(name).machine(node)))
            .collect();
        assert!(names.iter().all(|name| (10..=12).contains(&name.len())), "{names:?}");
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len());
        assert_eq!(lab("one").machine("cp1"), names[1], "the same in every run");
    }
}
