//! A control group per node, so that nodes share nothing but the machine's root group, and everything that a node
//! ever started can be found.
//!
//! Two kinds of machine: cgroup v2 with one tree, and the hybrid of systemd's older releases, where every v1
//! controller has a tree of its own. On v2 a group with processes must not have children, so the supervisor stays
//! in a leaf beside the one that systemd-nspawn divides further. The hybrid is what this has run on; the v2 path
//! follows the kernel's and systemd's rules and has not met a machine yet.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{error::LabError, mounts::Mount};

/// Controllers that nodes need, in cgroup v1.
const CONTROLLERS: &[&str] = &["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "pids"];
/// The same in cgroup v2, as far as they are controllers there.
const ENABLED: &[&str] = &["+cpu", "+cpuset", "+memory", "+pids", "+io"];
/// How long the kernel may take to let go of a group whose processes have ended.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long killed processes may take to end.
const PATIENCE_WITH_PROCESSES: Duration = Duration::from_secs(10);

/// The hierarchies of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cgroups {
    /// Mount points, each the root of a tree.
    roots: Vec<PathBuf>,
    /// Where memory is accounted.
    memory: PathBuf,
    /// cgroup v2 only.
    unified: bool,
}

impl Cgroups {
    /// Finds them among the mounts; the error names the hierarchy that is missing.
    pub(crate) fn find(mounts: &[Mount]) -> Result<Self, &'static str> {
        let v1: Vec<&Mount> = mounts
            .iter()
            .filter(|mount| mount.kind == "cgroup" && mount.point.starts_with("/sys/fs/cgroup"))
            .collect();
        let v2 =
            mounts.iter().find(|mount| mount.kind == "cgroup2" && mount.point.starts_with("/sys/fs/cgroup"));
        if v1.is_empty() {
            let root = v2.ok_or("cgroup")?.point.clone();
            return Ok(Self { roots: vec![root.clone()], memory: root, unified: true });
        }
        let with = |option: &str| v1.iter().find(|mount| mount.options.split(',').any(|o| o == option));
        if let Some(missing) = CONTROLLERS.iter().find(|controller| with(controller).is_none()) {
            return Err(missing);
        }
        with("name=systemd").ok_or("systemd")?;
        let memory = with("memory").ok_or("memory")?.point.clone();
        let roots = v1.iter().copied().chain(v2).map(|mount| mount.point.clone()).collect();
        Ok(Self { roots, memory, unified: false })
    }

    /// Those of the running machine.
    pub(crate) fn of_this_machine() -> Result<Self, LabError> {
        Self::find(&super::mounts::all()?).map_err(|missing| LabError::Checks {
            failures: vec![super::checks::Failure {
                check: "cgroups",
                found: format!("no {missing} hierarchy is mounted below /sys/fs/cgroup"),
                fix: "mount the cgroup file systems".to_owned(),
            }],
        })
    }

    /// Whether there is one tree of cgroup v2 and nothing else.
    pub(crate) fn unified(&self) -> bool {
        self.unified
    }

    /// Makes the groups of a node.
    pub(crate) fn create(&self, lab: &str, node: &str) -> Result<(), LabError> {
        for root in &self.roots {
            if self.unified {
                // Each level must hand its controllers down; one that the kernel lacks is no reason to stop.
                for folder in [root.clone(), root.join(lab), root.join(lab).join(node)] {
                    fs::create_dir_all(&folder).map_err(LabError::io("create", &folder))?;
                    for controller in ENABLED {
                        let _ = fs::write(folder.join("cgroup.subtree_control"), controller);
                    }
                }
                for leaf in ["machine", "hoist"] {
                    let folder = root.join(lab).join(node).join(leaf);
                    fs::create_dir_all(&folder).map_err(LabError::io("create", &folder))?;
                }
                continue;
            }
            for folder in [root.join(lab), root.join(lab).join(node)] {
                fs::create_dir_all(&folder).map_err(LabError::io("create", &folder))?;
                inherit_cpuset(&folder)?;
            }
        }
        Ok(())
    }

    /// Moves this process into the group of a node, or of something that is like one.
    pub(crate) fn enter(&self, lab: &str, node: &str) -> Result<(), LabError> {
        self.create(lab, node)?;
        self.join(lab, node, "hoist")
    }

    /// Ends whatever is in `group` (a lab, or a lab and a node) and below, at once. It was all started by nodes, so no
    /// number can be somebody else's.
    pub(crate) fn kill(&self, group: &Path) {
        let deadline = Instant::now() + PATIENCE_WITH_PROCESSES;
        loop {
            let processes = self.processes(group);
            for pid in &processes {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            if processes.is_empty() || Instant::now() > deadline {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs `spawn` in the node's group; what it starts stays there.
    pub(crate) fn spawn_in<T>(
        &self,
        lab: &str,
        node: &str,
        spawn: impl FnOnce() -> T,
    ) -> Result<T, LabError> {
        self.join(lab, node, "machine")?;
        let spawned = spawn();
        self.join(lab, node, "hoist")?;
        Ok(spawned)
    }

    fn join(&self, lab: &str, node: &str, leaf: &str) -> Result<(), LabError> {
        for root in &self.roots {
            let group = root.join(lab).join(node);
            let group = if self.unified { group.join(leaf) } else { group };
            let file = group.join("cgroup.procs");
            // 0 is the process that writes.
            fs::write(&file, "0").map_err(LabError::io("join", &file))?;
        }
        Ok(())
    }

    /// Every process in `group` (a lab, or a lab and a node) and below.
    pub(crate) fn processes(&self, group: &Path) -> BTreeSet<i32> {
        let mut found = BTreeSet::new();
        for root in &self.roots {
            for folder in deepest_first(&root.join(group)) {
                let list = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                found.extend(list.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
            }
        }
        found
    }

    /// Bytes of memory that a node holds and cannot give back at once: usage less inactive file cache.
    pub(crate) fn memory(&self, lab: &str, node: &str) -> Option<u64> {
        let group = self.memory.join(lab).join(node);
        let (usage, inactive) = if self.unified {
            ("memory.current", "inactive_file ")
        } else {
            ("memory.usage_in_bytes", "total_inactive_file ")
        };
        let usage: u64 = fs::read_to_string(group.join(usage)).ok()?.trim().parse().ok()?;
        let stat = fs::read_to_string(group.join("memory.stat")).ok()?;
        let cached: u64 = stat.lines().find_map(|line| line.strip_prefix(inactive)?.parse().ok())?;
        Some(usage.saturating_sub(cached))
    }

    /// Removes what the last boot of a node left below its group, so that a reboot begins as on a server: without any.
    ///
    /// Left where they are, groups of containers that are no more make the kubelet of the next boot look at each in
    /// vain, so long that it never gets ready. What is in use stays: the supervisor itself is in one of them.
    pub(crate) fn clear(&self, lab: &str, node: &str) {
        let deadline = Instant::now() + PATIENCE;
        for root in &self.roots {
            let top = root.join(lab).join(node);
            let own = [top.clone(), top.join("hoist")];
            loop {
                let left: Vec<_> =
                    deepest_first(&top).into_iter().filter(|folder| !own.contains(folder)).collect();
                if left.is_empty() || Instant::now() > deadline {
                    break;
                }
                for folder in left {
                    if fs::remove_dir(folder).is_err() {
                        thread::sleep(Duration::from_millis(5));
                    }
                }
            }
        }
    }

    /// Removes `group` and everything below it; waits while the kernel lets go of ended processes.
    /// What cannot be removed stays for [`Cgroups::left`] to be found.
    pub(crate) fn remove(&self, group: &Path) {
        let deadline = Instant::now() + PATIENCE;
        for root in &self.roots {
            let top = root.join(group);
            loop {
                for folder in deepest_first(&top) {
                    let _ = fs::remove_dir(folder);
                }
                if !top.exists() || Instant::now() > deadline {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// The folders of `group` that exist.
    pub(crate) fn left(&self, group: &Path) -> Vec<PathBuf> {
        self.roots.iter().map(|root| root.join(group)).filter(|folder| folder.exists()).collect()
    }
}

/// A v1 cpuset group is empty at first and takes no process; it gets what the group above has.
fn inherit_cpuset(folder: &Path) -> Result<(), LabError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = folder.join(file);
        let Some(above) = folder.parent().map(|parent| parent.join(file)) else { continue };
        let copied = match fs::read_to_string(&above) {
            Ok(value) if own.exists() => fs::write(&own, value.trim()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        copied.map_err(LabError::io("copy", &above))?;
    }
    Ok(())
}

/// A folder and all below it, children before their parents; empty when there is none.
fn deepest_first(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(items) = fs::read_dir(folder) else { return found };
    for item in items.flatten() {
        if item.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(deepest_first(&item.path()));
        }
    }
    found.push(folder.to_owned());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(point: &str, kind: &str, options: &str) -> Mount {
        Mount { point: point.into(), kind: kind.into(), options: options.into() }
    }

    #[test]
    fn one_tree_is_enough_in_v2() {
        let found = Cgroups::find(&[mount("/sys/fs/cgroup", "cgroup2", "rw")]).unwrap();
        assert!(found.unified);
        assert_eq!(found.roots, [PathBuf::from("/sys/fs/cgroup")]);
    }

    #[test]
    fn v1_needs_every_controller_and_the_named_tree() {
        let mut mounts: Vec<Mount> =
            ["cpu,cpuacct", "cpuset", "memory", "devices", "freezer", "pids", "name=systemd"]
                .iter()
                .map(|options| {
                    mount(&format!("/sys/fs/cgroup/{options}"), "cgroup", &format!("rw,{options}"))
                })
                .collect();
        mounts.push(mount("/sys/fs/cgroup/unified", "cgroup2", "rw"));
        let found = Cgroups::find(&mounts).unwrap();
        assert!(!found.unified);
        assert_eq!((found.roots.len(), found.memory), (8, PathBuf::from("/sys/fs/cgroup/memory")));
        mounts.remove(6);
        assert_eq!(Cgroups::find(&mounts), Err("systemd"));
        mounts.remove(2);
        assert_eq!(Cgroups::find(&mounts), Err("memory"));
        assert_eq!(Cgroups::find(&[]), Err("cgroup"));
    }

    #[test]
    fn children_come_before_their_parents() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("lab");
        fs::create_dir_all(top.join("cp1/inner")).unwrap();
        assert_eq!(deepest_first(&top), [top.join("cp1/inner"), top.join("cp1"), top.clone()]);
        assert!(deepest_first(&folder.path().join("none")).is_empty());
    }

    #[test]
    fn a_reboot_leaves_no_groups_of_the_last_boot() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let cgroups = Cgroups { roots: vec![root.clone()], memory: root.clone(), unified: false };
        for group in
            ["lab/n1/hoist", "lab/n1/kubepods.slice/pod.slice/container.scope", "lab/n2/kubepods.slice"]
        {
            fs::create_dir_all(root.join(group)).unwrap();
        }
        cgroups.clear("lab", "n1");
        assert!(root.join("lab/n1/hoist").exists(), "the supervisor is in it");
        assert!(!root.join("lab/n1/kubepods.slice").exists());
        assert!(root.join("lab/n2/kubepods.slice").exists(), "another node's");
        cgroups.clear("lab", "no-such-node");
    }
}
