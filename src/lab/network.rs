//! The lab's network: a namespace of its own with a bridge, unseen from the machine and without a way out.

use std::{
    fs::{self, File},
    io,
    net::Ipv4Addr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
};

use nix::{
    mount::umount,
    sched::{CloneFlags, setns},
};

use super::{
    cache::{remove, write_atomically},
    config::Config,
    error::LabError,
    process,
};

/// Where `ip netns` keeps namespaces.
const FOLDER: &str = "/run/netns";
/// The bridge that nodes are plugged into.
pub(crate) const BRIDGE: &str = "br0";
/// The bridge's own address, and the nodes' default route: it answers, and leads nowhere.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Length of the network's prefix.
pub(crate) const PREFIX: u8 = 24;

/// Whether a node may have this address.
pub(crate) fn can_have(address: Ipv4Addr) -> bool {
    let [a, b, c, last] = address.octets();
    [a, b, c] == [10, 77, 0] && (2..255).contains(&last)
}

/// The network namespace of a lab.
#[derive(Debug, Clone)]
pub(crate) struct Namespace {
    name: String,
    /// Where `ip netns` keeps it.
    path: PathBuf,
    /// Holds its inode number: what tells it from one of the same name that somebody else made.
    record: PathBuf,
}

impl Namespace {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            name: config.name.clone(),
            path: Path::new(FOLDER).join(&config.name),
            record: config.run().join("network"),
        }
    }

    /// Its inode number, if it exists.
    pub(crate) fn inode(&self) -> Option<u64> {
        fs::metadata(&self.path).ok().map(|metadata| metadata.ino())
    }

    /// Whether it exists and this lab made it.
    pub(crate) fn is_ours(&self) -> bool {
        self.inode().is_some_and(|inode| {
            fs::read_to_string(&self.record).is_ok_and(|record| record.trim() == inode.to_string())
        })
    }

    /// Makes it, unless it is there. Whether it was made now.
    pub(crate) fn ensure(&self) -> Result<bool, LabError> {
        if self.is_ours() {
            return Ok(false);
        }
        if self.path.exists() {
            return Err(LabError::ForeignNamespace { name: self.name.clone() });
        }
        ip(&["netns", "add", &self.name])?;
        let made = self.fill();
        if made.is_err() {
            ip(&["netns", "del", &self.name])?;
        }
        made.map(|()| true)
    }

    fn fill(&self) -> Result<(), LabError> {
        let inode = self.inode().map(|inode| inode.to_string()).unwrap_or_default();
        write_atomically(&self.record, inode.as_bytes())?;
        let address = format!("{GATEWAY}/{PREFIX}");
        for arguments in [
            &["link", "set", "lo", "up"][..],
            &["link", "add", BRIDGE, "type", "bridge"],
            &["address", "add", &address, "dev", BRIDGE],
            &["link", "set", BRIDGE, "up"],
        ] {
            ip(&[&["-n", &self.name], arguments].concat())?;
        }
        let forward = "/proc/sys/net/ipv4/ip_forward";
        // Through this file a thread changes the network that it is in.
        self.run(|| fs::write(forward, "1"))?.map_err(LabError::io("write", forward))
    }

    /// Removes it, if this lab made it. What still runs in it keeps it alive, unnamed.
    pub(crate) fn delete(&self) -> Result<(), LabError> {
        if self.is_ours() {
            ip(&["netns", "del", &self.name])?;
            tidy(Path::new(FOLDER));
        }
        remove(&self.record)
    }

    /// Puts the calling thread, and all programs it starts from now on, into the namespace.
    pub(crate) fn enter(&self) -> Result<(), LabError> {
        if !self.path.exists() {
            return Err(LabError::NotRunning { name: self.name.clone() });
        }
        let entered = File::open(&self.path)
            .and_then(|file| setns(file, CloneFlags::CLONE_NEWNET).map_err(io::Error::from));
        entered.map_err(LabError::io("enter", &self.path))
    }

    /// Runs something in the namespace and returns; the calling thread stays where it is.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| self.enter().map(|()| work()));
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// `ip netns` mounts its folder over itself and never unmounts it. Once it is empty it goes; whoever needs it next
/// makes it again.
fn tidy(folder: &Path) {
    // Fails for a folder that is in use or not empty, as it should.
    if fs::read_dir(folder).is_ok_and(|mut items| items.next().is_none()) {
        let _ = umount(folder);
        let _ = fs::remove_dir(folder);
    }
}

fn ip(arguments: &[&str]) -> Result<(), LabError> {
    process::output(process::command("ip", arguments)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Cache;

    #[test]
    fn node_addresses() {
        for (address, expected) in
            [("10.77.0.2", true), ("10.77.0.254", true), ("10.77.0.1", false), ("10.77.1.2", false)]
        {
            assert_eq!(can_have(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn a_namespace_that_is_not_there_cannot_be_entered() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(Cache::at(folder.path()), "no-such-lab").unwrap();
        let namespace = Namespace::of(&config);
        assert!(!namespace.is_ours());
        assert!(matches!(namespace.run(|| ()), Err(LabError::NotRunning { .. })));
    }
}
