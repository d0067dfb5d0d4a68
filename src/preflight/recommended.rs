//! Whether a host has the size that is recommended for its roles. Less works, for a while or for little work.

use std::collections::BTreeSet;

use super::{
    Subject,
    finding::{Check, Finding},
    survey::Survey,
};
use crate::inventory::{Host, Inventory, Role};

const SIZE: Check = Check {
    name: "recommended-size",
    checked: "processors, memory, and the file systems together",
    expected: "etcd and control planes: 4 processors, 8 GB; workers: 8, 16 GB; storage: 4, 8 GB. Disk: etcd 40 GB, \
               control planes 30, workers 50, storage 500. With several roles the larger of each",
};

/// Gigabytes are 10⁹ bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Size {
    cpus: u32,
    memory_gb: u64,
    disk_gb: u64,
}

/// What is recommended for a host: of each the most that one of its roles wants, for they share it.
fn recommended(inventory: &Inventory, host: &Host) -> Size {
    let size = |cpus, memory_gb, disk_gb| Size { cpus, memory_gb, disk_gb };
    let etcd = host.has(inventory.etcd_role()).then(|| size(4, 8, 40));
    let roles = host.roles.iter().map(|role| match role {
        // Without members of its own it is etcd only where the inventory says so, and then it is counted above.
        Role::Etcd => Size::default(),
        Role::ControlPlane => size(4, 8, 30),
        Role::Worker => size(8, 16, 50),
        // Disks of its own need not be mounted yet, so nobody knows how large their file systems are.
        Role::Storage if host.disks.is_empty() => size(4, 8, 500),
        Role::Storage => size(4, 8, 0),
    });
    roles.chain(etcd).fold(Size::default(), |most, one| Size {
        cpus: most.cpus.max(one.cpus),
        memory_gb: most.memory_gb.max(one.memory_gb),
        disk_gb: most.disk_gb.max(one.disk_gb),
    })
}

/// All of it in one finding: whoever makes the machine larger does that once.
pub fn from_survey(inventory: &Inventory, host: &Subject, survey: &Survey) -> Finding {
    let wanted = recommended(inventory, host.host);
    // The survey tells of folders; those of the same size are on the same file system.
    let disks: BTreeSet<(u64, u64)> = survey.disks.iter().map(|disk| (disk.size_kib, disk.inodes)).collect();
    let disk_kib: u64 = disks.iter().map(|(size, _)| size).sum();
    let (cpus, memory_kib) = (host.facts.cpus, host.facts.memory_kib);
    let of = |have: String, wanted: String| format!("{have} of {wanted}");
    let short = [
        (cpus > 0 && cpus < wanted.cpus)
            .then(|| of(format!("{cpus}"), format!("{} processors", wanted.cpus))),
        is_less(memory_kib, wanted.memory_gb)
            .then(|| of(gigabytes(memory_kib), format!("{} GB of memory", wanted.memory_gb))),
        is_less(disk_kib, wanted.disk_gb)
            .then(|| of(gigabytes(disk_kib), format!("{} GB of disk", wanted.disk_gb))),
    ];
    let short: Vec<String> = short.into_iter().flatten().collect();
    if cpus == 0 && memory_kib == 0 && disk_kib == 0 {
        return SIZE.skipped(host.name, "the host did not tell");
    }
    let finding = if short.is_empty() {
        SIZE.ok(host.name, "as recommended for its roles, or more")
    } else {
        let fix = "give the machine more before it has real work; a lab, or a trial, does with less";
        SIZE.warning(host.name, short.join(", "), fix)
    };
    let Size { cpus, memory_gb, disk_gb } = wanted;
    finding.expecting(format!(
        "{cpus} processors, {memory_gb} GB of memory and {disk_gb} GB of disk for its roles"
    ))
}

/// Less than was asked for, beyond what the kernel and a file system keep for themselves: a twentieth. Nothing is less where
/// the host did not tell.
fn is_less(kib: u64, wanted_gb: u64) -> bool {
    kib > 0 && kib * 1024 / 950_000 < wanted_gb * 1000
}

fn gigabytes(kib: u64) -> String {
    format!("{:.1}", kib as f64 * 1024.0 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        inventory::Etcd,
        preflight::{Severity, sizes::GIB, tests::Fleet},
    };

    #[test]
    fn each_role_has_its_size_and_several_the_larger() {
        use Role::{ControlPlane, Etcd as Member, Storage, Worker};
        for (etcd, roles, expected) in [
            (Etcd::External, vec![Member], (4, 8, 40)),
            (Etcd::External, vec![ControlPlane], (4, 8, 30)),
            (Etcd::Stacked, vec![ControlPlane], (4, 8, 40)),
            (Etcd::Stacked, vec![Worker], (8, 16, 50)),
            (Etcd::Stacked, vec![Storage], (4, 8, 500)),
            (Etcd::Stacked, vec![ControlPlane, Worker], (8, 16, 50)),
            (Etcd::External, vec![Member, ControlPlane], (4, 8, 40)),
            (Etcd::Stacked, vec![Worker, Storage], (8, 16, 500)),
        ] {
            let mut fleet = Fleet::three();
            fleet.inventory.cluster.etcd = etcd;
            let host = &mut fleet.inventory.hosts["w1"];
            host.roles = roles.clone();
            host.disks.clear();
            let size = recommended(&fleet.inventory, &fleet.inventory.hosts["w1"]);
            assert_eq!((size.cpus, size.memory_gb, size.disk_gb), expected, "{etcd:?} {roles:?}");
        }
    }

    #[test]
    fn what_is_less_is_a_warning_that_names_it() {
        // Machines of 16 GiB and of 16 GB, as the kernel counts them, and a disk of 50 GB with a file system.
        let (gib16, gb16, gb50) = (15 * GIB + 800 * 1024, 15_100_000, 48 * 976_563);
        for (cpus, memory, disk, says) in [
            (8, gib16, 50 * GIB, None),
            (8, gb16, gb50, None),
            (7, gib16, 50 * GIB, Some("7 of 8 processors")),
            (8, 8 * GIB, 50 * GIB, Some("8.6 of 16 GB of memory")),
            (8, gib16, 30 * GIB, Some("32.2 of 50 GB of disk")),
            (2, 4 * GIB, 20 * GIB, Some("2 of 8 processors, 4.3 of 16 GB of memory, 21.5 of 50 GB of disk")),
            // What a host does not tell is nothing to complain of.
            (0, gib16, 50 * GIB, None),
            (8, 0, 0, None),
        ] {
            let mut fleet = Fleet::three();
            fleet.inventory.hosts["w1"].roles = vec![Role::Worker];
            fleet.facts("w1").cpus = cpus;
            fleet.facts("w1").memory_kib = memory;
            fleet.survey("w1").disks.iter_mut().for_each(|it| it.size_kib = disk);
            let found = found(&fleet);
            let severity = if says.is_some() { Severity::Warning } else { Severity::Ok };
            assert_eq!(found.severity, severity, "{cpus} {memory} {disk}: {}", found.observed);
            assert_eq!(found.observed, says.unwrap_or("as recommended for its roles, or more"));
        }
        let mut fleet = Fleet::three();
        (fleet.facts("w1").cpus, fleet.facts("w1").memory_kib) = (0, 0);
        fleet.survey("w1").disks.clear();
        assert_eq!(found(&fleet).severity, Severity::Skipped);
    }

    #[test]
    fn file_systems_count_together_and_once() {
        let mut fleet = Fleet::three();
        fleet.inventory.hosts["w1"].roles = vec![Role::Worker];
        fleet.survey("w1").disks.iter_mut().for_each(|disk| disk.size_kib = 25 * GIB);
        assert_eq!(found(&fleet).observed, "26.8 of 50 GB of disk");
        fleet.disk("w1", "/var/lib/containerd").size_kib = 30 * GIB;
        assert_eq!(found(&fleet).severity, Severity::Ok);
    }

    /// Of w1.
    fn found(fleet: &Fleet) -> Finding {
        let host = &fleet.subjects()[1];
        from_survey(&fleet.inventory, host, host.survey.unwrap())
    }
}
