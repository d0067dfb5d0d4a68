//! What a lab could leave on the machine.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, path::Path};

/// Inode of a lab's network namespace.
pub fn network_namespace(lab: &str) -> u64 {
    fs::metadata(Path::new("/run/netns").join(lab)).unwrap().ino()
}

/// Everything that bears the lab's name or was in its network.
pub fn of_lab(lab: &str, network: u64) -> Vec<String> {
    let mut found = Vec::new();
    for line in fs::read_to_string("/proc/self/mountinfo").unwrap().lines() {
        found.extend(line.contains(lab).then(|| format!("mount {line}")));
    }
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let path = process.path();
        let inside = fs::metadata(path.join("ns/net")).is_ok_and(|namespace| namespace.ino() == network);
        let grouped =
            fs::read_to_string(path.join("cgroup")).is_ok_and(|groups| groups.contains(&format!("/{lab}")));
        let rooted = fs::read_link(path.join("root"))
            .is_ok_and(|root| root.to_string_lossy().contains(&format!("/{lab}/")));
        if inside || grouped || rooted {
            let command = fs::read_to_string(path.join("cmdline")).unwrap_or_default().replace('\0', " ");
            found.push(format!("process {} {command}", path.display()));
        }
    }
    let folders =
        ["/run/netns", "/run/systemd/nspawn/propagate", "/run/systemd/nspawn/locks", "/sys/fs/cgroup"];
    for folder in folders.iter().map(Path::new) {
        found.extend(
            names(folder)
                .into_iter()
                .filter(|name| name.contains(lab))
                .map(|name| format!("{}: {name}", folder.display())),
        );
    }
    // cgroup v1 has a tree for each controller.
    for controller in names(Path::new("/sys/fs/cgroup")) {
        let group = Path::new("/sys/fs/cgroup").join(controller).join(lab);
        found.extend(group.exists().then(|| format!("control group {}", group.display())));
    }
    found
}

/// What belongs to the whole machine.
pub struct Machine {
    interfaces: BTreeSet<String>,
    forwarding: String,
}

/// How it is now.
pub fn machine() -> Machine {
    Machine {
        interfaces: names(Path::new("/sys/class/net")),
        forwarding: fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(),
    }
}

impl Machine {
    /// What is different from then.
    pub fn added(&self) -> Vec<String> {
        let now = machine();
        let mut added: Vec<String> =
            now.interfaces.difference(&self.interfaces).map(|name| format!("interface {name}")).collect();
        if now.forwarding != self.forwarding {
            added.push("net.ipv4.ip_forward has changed".to_owned());
        }
        added
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeSet::new() };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
