//! Whether a host is big enough: processors, memory, disks.

use super::{
    Subject,
    finding::{Check, Finding},
    survey::{Disk, Survey},
};
use crate::inventory::{Inventory, Role};

const CPUS: Check = Check { name: "cpus", checked: "how many processors there are", expected: "at least 1" };
const MEMORY: Check =
    Check { name: "memory", checked: "how much memory there is", expected: "at least 700 MiB" };
const SPACE: Check = Check {
    name: "disk-space",
    checked: "free space below /var",
    expected: "10 GiB, and at the very least 2 GiB",
};
const EVICTION: Check = Check {
    name: "disk-eviction",
    checked: "the part of the disks that is free",
    expected: "more than the kubelet wants: 10 % of its disk, 15 % of the images', 5 % of inodes",
};
const ETCD: Check = Check {
    name: "disk-etcd",
    checked: "free space for etcd's data",
    expected: "at least 8 GiB, the most that etcd's documentation suggests a database to grow to",
};
const OPTIONS: Check = Check {
    name: "mount-options",
    checked: "how the file systems are mounted that hoist, containers and etcd use",
    expected: "writable; programs can run from /usr/local/bin and /var/lib/containerd",
};

/// What kubeadm demands of a control plane: `ControlPlaneNumCPU` and `ControlPlaneMem`, in MiB.
const CONTROL_PLANE: (u32, u64) = (2, 1700);
/// Below this a worker has no room for anything but Kubernetes itself, in MiB.
const WORKER_MEMORY: u64 = 700;

const MIB: u64 = 1 << 10;
/// In KiB.
pub const GIB: u64 = 1 << 20;

/// What facts tell.
pub fn from_facts(inventory: &Inventory, host: &Subject) -> Vec<Finding> {
    vec![cpus(inventory, host), memory(inventory, host), space(host)]
}

/// Whether the inventory tells kubeadm not to mind.
fn ignored(inventory: &Inventory, check: &str) -> bool {
    let names = &inventory.cluster.ignore_preflight_errors;
    names.iter().any(|name| name.eq_ignore_ascii_case(check) || name.eq_ignore_ascii_case("all"))
}

fn cpus(inventory: &Inventory, host: &Subject) -> Finding {
    let (name, cpus) = (host.name, host.facts.cpus);
    let observed = cpus.to_string();
    if cpus == 0 {
        return CPUS.skipped(name, "the host did not tell");
    }
    if !host.host.has(Role::ControlPlane) {
        return CPUS.ok(name, observed);
    }
    let (needed, _) = CONTROL_PLANE;
    let fix = "give the machine more processors; a control plane with fewer is refused by kubeadm unless \
               `ignore_preflight_errors: [NumCPU]` stands in the inventory";
    let finding = if cpus >= needed {
        CPUS.ok(name, observed)
    } else if ignored(inventory, "NumCPU") {
        CPUS.warning(name, observed, fix)
    } else {
        CPUS.error(name, observed, fix)
    };
    finding.expecting(format!("at least {needed} for a control plane"))
}

fn memory(inventory: &Inventory, host: &Subject) -> Finding {
    let (name, memory) = (host.name, host.facts.memory_kib / MIB);
    let observed = format!("{memory} MiB");
    if memory == 0 {
        return MEMORY.skipped(name, "the host did not tell");
    }
    if !host.host.has(Role::ControlPlane) {
        return match memory {
            WORKER_MEMORY.. => MEMORY.ok(name, observed),
            _ => MEMORY.warning(name, observed, "give the machine more memory"),
        };
    }
    let (_, needed) = CONTROL_PLANE;
    let fix = "give the machine more memory; a control plane with less is refused by kubeadm unless \
               `ignore_preflight_errors: [Mem]` stands in the inventory";
    let finding = if memory >= needed {
        MEMORY.ok(name, observed)
    } else if ignored(inventory, "Mem") {
        MEMORY.warning(name, observed, fix)
    } else {
        MEMORY.error(name, observed, fix)
    };
    finding.expecting(format!("at least {needed} MiB for a control plane"))
}

/// What a small node with the images of Kubernetes takes below /var.
const LEAST_SPACE: u64 = 2 * GIB;
/// What leaves room for logs and for a few images of its own.
const ENOUGH_SPACE: u64 = 10 * GIB;

fn space(host: &Subject) -> Finding {
    const FIX: &str = "free some space, or give /var a larger file system";
    let free = host.facts.free_kib;
    match free {
        0 => SPACE.skipped(host.name, "the host did not tell"),
        1..LEAST_SPACE => SPACE.error(host.name, size(free), FIX),
        LEAST_SPACE..ENOUGH_SPACE => SPACE.warning(host.name, size(free), FIX),
        _ => SPACE.ok(host.name, size(free)),
    }
}

/// In words.
pub fn size(kib: u64) -> String {
    if kib < GIB { format!("{} MiB", kib / MIB) } else { format!("{:.1} GiB", kib as f64 / GIB as f64) }
}

/// What only the survey tells.
pub fn from_survey(inventory: &Inventory, host: &Subject, survey: &Survey) -> Vec<Finding> {
    if survey.disks.is_empty() {
        let why = "the host has no `df` that tells";
        return vec![EVICTION.skipped(host.name, why), OPTIONS.skipped(host.name, why)];
    }
    let mut findings = vec![eviction(host, survey), options(host, survey)];
    let folder = inventory.etcd_folder();
    if let Some(disk) = survey.disk(folder).filter(|_| host.host.has(inventory.etcd_role())) {
        let observed = size(disk.free_kib);
        findings.push(match disk.free_kib >= 8 * GIB {
            true => ETCD.ok(host.name, observed),
            false => ETCD.warning(
                host.name,
                observed,
                format!("give {folder} a larger file system, best one of its own"),
            ),
        });
    }
    findings
}

/// The kubelet's defaults for hard eviction: nodefs.available<10%, imagefs.available<15%, nodefs.inodesFree<5%.
fn eviction(host: &Subject, survey: &Survey) -> Finding {
    let short = |folder: &str, least: u64| {
        let disk = survey.disk(folder)?;
        let percent = |free: u64, all: u64| (all > 0).then(|| free * 100 / all);
        let space = percent(disk.free_kib, disk.size_kib).filter(|percent| *percent < least);
        let inodes = percent(disk.inodes_free, disk.inodes).filter(|percent| *percent < 5);
        match (space, inodes) {
            (Some(percent), _) => Some(format!("{folder}: {percent} % of the space is free")),
            (None, Some(percent)) => Some(format!("{folder}: {percent} % of the inodes are free")),
            (None, None) => None,
        }
    };
    let full: Vec<String> =
        [short("/var/lib/kubelet", 10), short("/var/lib/containerd", 15)].into_iter().flatten().collect();
    if full.is_empty() {
        return EVICTION.ok(host.name, "enough");
    }
    EVICTION.error(
        host.name,
        full.join("; "),
        "free some space: with less the node is under disk pressure from its first minute, and its pods are evicted",
    )
}

pub fn options(host: &Subject, survey: &Survey) -> Finding {
    if survey.disks.iter().any(|disk| disk.options.is_empty()) {
        return OPTIONS.skipped(host.name, "there is no findmnt that tells");
    }
    let bad = |folder: &str, option: &str| survey.disk(folder).is_some_and(|disk| disk.has(option));
    let written = survey.disks.iter().filter(|disk| disk.folder != "/");
    let read_only: Vec<String> = written
        .filter(|disk: &&Disk| disk.has("ro"))
        .map(|disk| format!("{} is read-only", disk.folder))
        .collect();
    let programs =
        ["/usr/local/bin", "/var/lib/containerd"].into_iter().filter(|folder| bad(folder, "noexec"));
    let mut errors = read_only;
    errors.extend(programs.map(|folder| format!("{folder} is noexec")));
    if !errors.is_empty() {
        let fix = "mount it with `rw,exec` (in /etc/fstab), or give these folders a file system of their own";
        return OPTIONS.error(host.name, errors.join("; "), fix);
    }
    let mut warnings: Vec<String> = ["nosuid", "nodev"]
        .into_iter()
        .filter(|option| bad("/var/lib/containerd", option))
        .map(|option| format!("/var/lib/containerd is {option}"))
        .collect();
    if bad("/var/lib/kubelet", "noexec") {
        warnings.push("/var/lib/kubelet is noexec".to_owned());
    }
    if warnings.is_empty() {
        return OPTIONS.ok(host.name, "writable, programs can run");
    }
    let fix = "containers inherit this: some images (with sudo or ping, or programs on volumes) do not work. Mount it with \
               `suid,dev,exec`";
    OPTIONS.warning(host.name, warnings.join("; "), fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{
        Severity::{self, Error, Ok, Skipped, Warning},
        tests::Fleet,
    };

    fn say(fleet: &Fleet, host: usize, check: &str) -> Severity {
        let hosts = fleet.subjects();
        let mut all = from_facts(&fleet.inventory, &hosts[host]);
        all.extend(from_survey(&fleet.inventory, &hosts[host], hosts[host].survey.unwrap()));
        all.into_iter().find(|finding| finding.check == check).unwrap().severity
    }

    #[test]
    fn control_planes_need_what_kubeadm_demands() {
        for (host, cpus, memory, ignore, severities) in [
            (0, 2, 1700, "", (Ok, Ok)),
            (0, 1, 1699, "", (Error, Error)),
            (0, 1, 1699, "Mem", (Error, Warning)),
            (0, 1, 1699, "numcpu", (Warning, Error)),
            (0, 1, 1699, "all", (Warning, Warning)),
            (1, 1, 1699, "", (Ok, Ok)),
            (1, 1, 500, "", (Ok, Warning)),
            (1, 0, 0, "", (Skipped, Skipped)),
        ] {
            let mut fleet = Fleet::three();
            fleet.inventory.cluster.ignore_preflight_errors = vec![ignore.into()];
            let name = ["cp1", "w1"][host];
            fleet.facts(name).cpus = cpus;
            fleet.facts(name).memory_kib = memory * MIB;
            let found = (say(&fleet, host, "cpus"), say(&fleet, host, "memory"));
            assert_eq!(found, severities, "{name} {cpus} {memory} {ignore}");
        }
    }

    #[test]
    fn space_below_var() {
        for (free, severity) in
            [(0, Skipped), (2 * GIB - 1, Error), (2 * GIB, Warning), (10 * GIB - 1, Warning), (10 * GIB, Ok)]
        {
            let mut fleet = Fleet::three();
            fleet.facts("w1").free_kib = free;
            assert_eq!(say(&fleet, 1, "disk-space"), severity, "{free}");
        }
        assert_eq!((size(700 * MIB), size(3 * GIB / 2)), ("700 MiB".into(), "1.5 GiB".into()));
    }

    #[test]
    fn what_the_kubelet_would_evict_for() {
        for (folder, size, free, inodes, inodes_free, severity) in [
            ("/var/lib/kubelet", 100, 10, 100, 5, Ok),
            ("/var/lib/kubelet", 100, 9, 100, 5, Error),
            ("/var/lib/kubelet", 100, 10, 100, 4, Error),
            ("/var/lib/containerd", 100, 14, 100, 5, Error),
            ("/var/lib/containerd", 100, 15, 0, 0, Ok),
        ] {
            let mut fleet = Fleet::three();
            let disk = fleet.disk("w1", folder);
            (disk.size_kib, disk.free_kib, disk.inodes, disk.inodes_free) = (size, free, inodes, inodes_free);
            assert_eq!(say(&fleet, 1, "disk-eviction"), severity, "{folder} {free} {inodes_free}");
        }
        let mut fleet = Fleet::three();
        fleet.disk("cp1", "/var/lib/etcd").free_kib = 8 * GIB - 1;
        assert_eq!(say(&fleet, 0, "disk-etcd"), Warning);
        assert_eq!(say(&Fleet::three(), 0, "disk-etcd"), Ok);
        // Where etcd is a role of its own, its data is elsewhere.
        fleet.inventory.cluster.etcd = crate::inventory::Etcd::External;
        fleet.inventory.hosts["cp1"].roles.push(Role::Etcd);
        let own = Disk { folder: "/var/lib/etcd-external".into(), ..fleet.disk("cp1", "/").clone() };
        fleet.survey("cp1").disks.push(Disk { free_kib: 8 * GIB, ..own });
        assert_eq!(say(&fleet, 0, "disk-etcd"), Ok);
        fleet.disk("w1", "/etc").options.clear();
        assert_eq!(say(&fleet, 1, "mount-options"), Skipped);
        fleet.survey("w1").disks.clear();
        assert_eq!(say(&fleet, 1, "disk-eviction"), Skipped);
        assert_eq!(say(&fleet, 1, "mount-options"), Skipped);
    }

    #[test]
    fn how_file_systems_are_mounted() {
        for (folder, option, severity) in [
            ("/", "relatime", Ok),
            ("/etc", "ro", Error),
            ("/var/lib/etcd", "ro", Error),
            ("/usr/local/bin", "noexec", Error),
            ("/var/lib/containerd", "noexec", Error),
            ("/var/lib/containerd", "nosuid", Warning),
            ("/var/lib/containerd", "nodev", Warning),
            ("/var/lib/kubelet", "noexec", Warning),
            ("/var/lib/etcd", "noexec", Ok),
            // The root itself may be read-only where everything that is written is a mount of its own.
            ("/", "ro", Ok),
        ] {
            let mut fleet = Fleet::three();
            fleet.disk("w1", folder).options = vec![option.into()];
            assert_eq!(say(&fleet, 1, "mount-options"), severity, "{folder} {option}");
        }
    }
}
