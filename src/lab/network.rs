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
    net::if_::if_nametoindex,
    sched::{CloneFlags, setns},
};

use super::{
    cache::{remove, write_atomically},
    config::Config,
    error::LabError,
    packet::Mac,
    process,
};

/// Where `ip netns` keeps namespaces.
const FOLDER: &str = "/run/netns";
/// The kernel's settings of the network that a thread is in.
const SETTINGS: &str = "/proc/sys/net";
/// The bridge that nodes are plugged into.
pub(crate) const BRIDGE: &str = "br0";
/// This machine's end of the link to the bridge. It is a port like the nodes', so that its links can be cut like theirs.
const OWN_END: &str = "gateway0";
/// The other end: the port of the bridge.
pub(crate) const OWN_PORT: &str = "vb-gateway";
/// This machine's address in the lab, and the nodes' default route: it answers, and leads nowhere.
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
            // The bridge itself is nobody's neighbour.
            &["link", "set", BRIDGE, "addrgenmode", "none", "up"],
            &["link", "add", OWN_END, "type", "veth", "peer", "name", OWN_PORT],
            &["link", "set", OWN_PORT, "master", BRIDGE, "up"],
            &["link", "set", OWN_END, "up"],
            &["address", "add", &address, "dev", OWN_END],
        ] {
            ip(&[&["-n", &self.name], arguments].concat())?;
        }
        // Whoever asks for a name, or for what is outside, learns each time and at once that nobody is there.
        self.set("ipv4/ip_forward", "1")?;
        self.set("ipv4/icmp_ratemask", "0")?;
        // Nodes need this module, and cannot load it. With it the rules of this network would also be those of what nodes send
        // each other, and it would keep their connections in mind; but it is a switch.
        let of_bridges = Path::new(SETTINGS).join("bridge");
        if !of_bridges.exists() {
            let _ = process::output(process::command("modprobe", &["br_netfilter"]));
        }
        if of_bridges.exists() {
            for family in ["iptables", "ip6tables", "arptables"] {
                self.set(&format!("bridge/bridge-nf-call-{family}"), "0")?;
            }
        }
        Ok(())
    }

    /// Writes a setting of the kernel for this network alone.
    fn set(&self, setting: &str, value: &str) -> Result<(), LabError> {
        let file = Path::new(SETTINGS).join(setting);
        // Through this file a thread changes the network that it is in.
        self.run(|| fs::write(&file, value))?.map_err(LabError::io("write", &file))
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

    /// The same for asynchronous work.
    pub(crate) fn block_on<F: Future>(&self, work: impl FnOnce() -> F + Send) -> Result<F::Output, LabError>
    where
        F::Output: Send,
    {
        self.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map(|runtime| runtime.block_on(work())).map_err(LabError::io("start", "a runtime"))
        })?
    }

    /// Removes the port of a node that was killed: the kernel takes its time, and a new port needs the name.
    pub(crate) fn remove_port(&self, port: &str) -> Result<(), LabError> {
        let gone = self.run(|| process::output(process::command("ip", &["link", "delete", port])))?;
        let there = || self.run(|| if_nametoindex(port).is_ok());
        // It may have gone by itself.
        if gone.is_err() && there()? { gone.map(drop) } else { Ok(()) }
    }
}

/// The port of the bridge that systemd-nspawn makes for a machine.
pub(crate) fn port(machine: &str) -> String {
    format!("vb-{machine}")
}

/// Hardware addresses that the bridge of this network has seen lately, and at which port. None when there is no bridge.
pub(crate) fn seen() -> Vec<(Mac, String)> {
    let command = process::command("bridge", &["-json", "fdb", "show", "br", BRIDGE]);
    process::output(command).map(|text| forwarding(&text)).unwrap_or_default()
}

fn forwarding(json: &str) -> Vec<(Mac, String)> {
    #[derive(serde::Deserialize)]
    struct Seen {
        mac: String,
        ifname: String,
        state: String,
    }
    let mac = |text: &str| {
        let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
        bytes?.try_into().ok()
    };
    let entries: Vec<Seen> = serde_json::from_str(json).unwrap_or_default();
    // The permanent ones are the ports' own.
    let learnt = entries.into_iter().filter(|entry| entry.state != "permanent");
    learnt.filter_map(|entry| Some((mac(&entry.mac)?, entry.ifname))).collect()
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
    fn what_the_bridge_has_seen() {
        // As iproute2 6.1 prints it.
        let text = r#"[{"mac":"33:33:00:00:00:01","ifname":"br0","flags":["self"],"state":"permanent"},
            {"mac":"ae:87:3d:b9:34:59","ifname":"v0","flags":[],"master":"br0","state":""},
            {"mac":"86:ca:af:e5:b0:fc","ifname":"v0","flags":[],"master":"br0","state":"permanent"}]"#;
        assert_eq!(forwarding(text), [([0xae, 0x87, 0x3d, 0xb9, 0x34, 0x59], "v0".to_owned())]);
        assert_eq!(forwarding("nonsense"), []);
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
