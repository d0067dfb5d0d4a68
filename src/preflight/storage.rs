//! What volumes need of the hosts that keep them.

use super::{
    Subject,
    finding::{Check, Finding},
    sizes::{GIB, size},
    survey::Survey,
};
use crate::inventory::{Host, Inventory, Role};

const VOLUMES: Check = Check {
    name: "iscsi",
    checked: "whether volumes can be attached over iSCSI",
    expected: "the module iscsi_tcp, and no multipathd that takes the devices",
};

const FOLDER: Check = Check {
    name: "longhorn-disk",
    checked: "the file system of the folder for Longhorn's replicas",
    expected: "ext4 or XFS, programs can run from it, and more is free than Longhorn leaves free",
};

/// Where Longhorn keeps replicas, unless `vars.storage.path` says otherwise.
const LONGHORN: &str = "/var/lib/longhorn";
/// With less room than this for replicas a host is of little use, in KiB.
const LITTLE: u64 = 10 * GIB;

/// The folder in which Longhorn shall keep replicas on this host, if it is asked for and the host has no disks of its
/// own for them: those need not be mounted yet.
pub fn folder(inventory: &Inventory, host: &Host) -> Option<String> {
    let keeps = inventory.addons.longhorn.is_some() && host.has(Role::Storage) && host.disks.is_empty();
    let own = || Some(inventory.vars(host).get("storage")?.get("path")?.as_str()?.to_owned());
    keeps.then(|| own().unwrap_or_else(|| LONGHORN.to_owned()))
}

/// All of them.
pub fn from_survey(inventory: &Inventory, host: &Subject, survey: &Survey) -> Vec<Finding> {
    [iscsi(inventory, host, survey), replicas(inventory, host, survey)].into_iter().flatten().collect()
}

/// Whether replicas can be kept in the folder for them. Longhorn documents ext4 and XFS, and puts no replica where less than
/// `minimal_available` percent would stay free.
fn replicas(inventory: &Inventory, host: &Subject, survey: &Survey) -> Option<Finding> {
    let folder = folder(inventory, host.host)?;
    let longhorn = inventory.addons.longhorn.as_ref()?;
    let Some(disk) = survey.disk(&folder).filter(|disk| disk.size_kib > 0 && !disk.kind.is_empty()) else {
        return Some(
            FOLDER.skipped(host.name, format!("the host has no `df` and `findmnt` that tell of {folder}")),
        );
    };
    let kept = disk.size_kib / 100 * u64::from(longhorn.minimal_available);
    let room = disk.free_kib.saturating_sub(kept);
    let observed =
        format!("{folder}: {}, {} of {} free", disk.kind, size(disk.free_kib), size(disk.size_kib));
    let larger = format!(
        "name a disk for replicas with `disks` on the host, give {folder} a larger file system, or lower \
         `addons.longhorn.minimal_available` ({} %)",
        longhorn.minimal_available
    );
    Some(if disk.has("noexec") || disk.has("ro") {
        let fix = "mount it with `rw,exec`: Longhorn runs programs from there";
        FOLDER.error(host.name, format!("{observed}, mounted {}", disk.options.join(",")), fix)
    } else if room == 0 {
        FOLDER.error(host.name, format!("{observed}: Longhorn puts no replica there"), larger)
    } else if !matches!(disk.kind.as_str(), "ext4" | "xfs") {
        let fix = "give it a file system of ext4 or XFS, best on a disk of its own (`disks` on the host): Longhorn documents no other";
        FOLDER.warning(host.name, observed, fix)
    } else if room < LITTLE {
        FOLDER.warning(host.name, format!("{observed}: room for {} of replicas", size(room)), larger)
    } else {
        FOLDER.ok(host.name, observed)
    })
}

/// The kernel module that attaches volumes.
pub const ISCSI: &str = "iscsi_tcp";

/// For every node where Longhorn is asked for, because volumes are attached where pods are, and for hosts that keep
/// volumes.
fn iscsi(inventory: &Inventory, host: &Subject, survey: &Survey) -> Option<Finding> {
    let longhorn = inventory.addons.longhorn.is_some();
    let attaches = longhorn && host.host.has(Role::Worker);
    if !(attaches || host.host.has(Role::Storage)) {
        return None;
    }
    let Some((_, module)) = survey.modules.iter().find(|(name, _)| name == ISCSI) else {
        return Some(VOLUMES.skipped(host.name, "the host did not tell"));
    };
    if !module {
        let (observed, fix) = (
            "there is no module iscsi_tcp",
            "install the modules of the running kernel (Ubuntu: linux-modules-extra-$(uname -r)); a container cannot have \
             volumes over iSCSI",
        );
        return Some(match longhorn {
            true => VOLUMES.error(host.name, observed, fix),
            false => VOLUMES.warning(host.name, observed, fix),
        });
    }
    if survey.is_active("multipathd") && !survey.blacklist {
        return Some(VOLUMES.warning(
            host.name,
            "multipathd runs, and no blacklist keeps it from the devices of volumes",
            "`hoist apply` tells it to leave Longhorn's alone; for volumes of others, `blacklist { devnode \"^sd[a-z0-9]+\" }` in \
             /etc/multipath.conf, then `systemctl restart multipathd`; or `systemctl disable --now multipathd` where nothing \
             needs it",
        ));
    }
    let initiator = match survey.iscsi.as_str() {
        "" => "iscsi_tcp; the initiator gets its name from `hoist apply`",
        name => name,
    };
    Some(VOLUMES.ok(host.name, initiator))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{
        Severity::{self, Error, Ok, Skipped, Warning},
        tests::Fleet,
    };

    fn say(change: impl FnOnce(&mut Fleet)) -> Option<Severity> {
        let mut fleet = Fleet::three();
        fleet.inventory.hosts["w1"].roles.push(Role::Storage);
        change(&mut fleet);
        let hosts = fleet.subjects();
        iscsi(&fleet.inventory, &hosts[1], hosts[1].survey.unwrap()).map(|finding| finding.severity)
    }

    fn without_module(fleet: &mut Fleet) {
        let modules = &mut fleet.survey("w1").modules;
        modules.iter_mut().filter(|(name, _)| name == ISCSI).for_each(|(_, there)| *there = false);
    }

    #[test]
    fn hosts_that_keep_volumes() {
        assert_eq!(say(|_| {}), Some(Ok));
        assert_eq!(say(without_module), Some(Warning));
        let longhorn = |fleet: &mut Fleet| {
            without_module(fleet);
            fleet.inventory.addons.longhorn = Some(Default::default());
        };
        assert_eq!(say(longhorn), Some(Error));
        assert_eq!(say(|fleet| fleet.survey("w1").modules.clear()), Some(Skipped));
        let multipath = |fleet: &mut Fleet| fleet.survey("w1").active = Some(vec!["multipathd".into()]);
        assert_eq!(say(multipath), Some(Warning));
        let told = |fleet: &mut Fleet| {
            multipath(fleet);
            fleet.survey("w1").blacklist = true;
        };
        assert_eq!(say(told), Some(Ok));
        assert_eq!(say(|fleet| fleet.inventory.hosts["w1"].roles = vec![Role::Worker]), None);
    }

    #[test]
    fn folders_for_replicas() {
        const GIB: u64 = 1 << 20;
        for (mount, size, free, severity, says) in [
            ("rw,relatime ext4", 100 * GIB, 50 * GIB, Ok, "ext4, 50.0 GiB of 100.0 GiB free"),
            ("rw,relatime xfs", 100 * GIB, 50 * GIB, Ok, "xfs"),
            ("rw,relatime ext4", 100 * GIB, 25 * GIB, Error, "no replica"),
            ("rw,relatime ext4", 100 * GIB, 30 * GIB, Warning, "room for 5.0 GiB"),
            ("rw,relatime btrfs", 100 * GIB, 50 * GIB, Warning, "btrfs"),
            ("rw,noexec ext4", 100 * GIB, 50 * GIB, Error, "noexec"),
            ("rw,relatime", 100 * GIB, 50 * GIB, Skipped, "findmnt"),
            ("", 0, 0, Skipped, "/srv/replicas"),
        ] {
            let mut fleet = Fleet::three();
            fleet.inventory.addons.longhorn = Some(Default::default());
            fleet.inventory.hosts["w1"].roles.push(Role::Storage);
            let path = serde_json::json!({"path": "/srv/replicas"});
            fleet.inventory.vars.insert("storage".into(), path);
            let line = format!("disk=/srv/replicas {size} {free} 1000 900 {mount}");
            fleet.survey("w1").disks.extend(Survey::parse(&line).disks);
            let hosts = fleet.subjects();
            let found = replicas(&fleet.inventory, &hosts[1], hosts[1].survey.unwrap()).unwrap();
            assert!(found.severity == severity && found.observed.contains(says), "{mount}: {found:?}");
        }
    }

    #[test]
    fn only_folders_that_longhorn_will_use_are_asked_for() {
        let mut fleet = Fleet::three();
        let of = |fleet: &Fleet| folder(&fleet.inventory, &fleet.inventory.hosts["w1"]);
        fleet.inventory.hosts["w1"].roles.push(Role::Storage);
        assert_eq!(of(&fleet), None);
        fleet.inventory.addons.longhorn = Some(Default::default());
        assert_eq!(of(&fleet).as_deref(), Some(LONGHORN));
        let own = serde_json::json!({"path": "/srv"});
        fleet.inventory.hosts["w1"].vars.insert("storage".into(), own);
        assert_eq!(of(&fleet).as_deref(), Some("/srv"));
        let text = "cluster: {name: a, kubernetes: 1.20.2}\naddons: {longhorn: {}}\nhosts: {w1: {address: 10.0.0.1, roles: \
                    [control-plane, storage], disks: [{device: /dev/sdb}]}}\n";
        let inventory = crate::inventory::parse("test", text).unwrap().inventory;
        assert_eq!(folder(&inventory, &inventory.hosts["w1"]), None);
    }
}
