//! Disks for volumes.

use std::collections::HashMap;

use miette::Severity;

use crate::{
    inventory::{Disk, Host, Inventory, Role},
    yaml::{Document, Problem, Span},
};

/// Options with which volumes do not work: replicas run programs from where they are kept, and write.
const UNFIT: [&str; 2] = ["noexec", "ro"];

/// Names that the kernel gives in the order in which it finds disks.
const BY_ORDER: [&str; 5] = ["/dev/sd", "/dev/vd", "/dev/xvd", "/dev/hd", "/dev/nvme"];

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    for (name, host) in &document.value.hosts {
        let Some(first) = host.disks.first() else { continue };
        if !host.has(Role::Storage) && document.is_whole(&["hosts", name, "roles"]) {
            problems.push(
                Problem::new(
                    document.tree.key_at(&["hosts", name, "disks"]),
                    format!("the disks of `{name}` have no effect"),
                )
                .label(format!("nothing mounts {}", first.device))
                .also(document.tree.at(&["hosts", name, "roles"]), "without `storage`")
                .help("add `storage` to its roles, or remove the disks"),
            );
        }
        twice(document, name, host, problems);
        for (index, disk) in host.disks.iter().enumerate() {
            let index = index.to_string();
            one(disk, |key| document.tree.at(&["hosts", name, "disks", &index, key]), problems);
        }
    }
}

/// Devices and paths that are used by two disks.
fn twice(document: &Document<Inventory>, name: &str, host: &Host, problems: &mut Vec<Problem>) {
    for (key, of) in [("device", (|disk| &disk.device) as fn(&Disk) -> &String), ("path", |disk| &disk.path)]
    {
        let mut seen: HashMap<&String, Span> = HashMap::new();
        for (index, disk) in host.disks.iter().enumerate() {
            let place = document.tree.at(&["hosts", name, "disks", &index.to_string()]);
            if let Some(first) = seen.insert(of(disk), place) {
                problems.push(
                    Problem::new(place, format!("two disks of `{name}` have the {key} {}", of(disk)))
                        .label("again here")
                        .also(first, "first here")
                        .help(format!("give each its own `{key}`")),
                );
            }
        }
    }
}

fn one(disk: &Disk, at: impl Fn(&str) -> Span, problems: &mut Vec<Problem>) {
    if let Some(unfit) = disk.options.split(',').find(|option| UNFIT.contains(option)) {
        problems.push(
            Problem::new(
                at("options"),
                format!("volumes do not work on a disk that is mounted with `{unfit}`"),
            )
            .label(format!("`{unfit}`"))
            .help("remove it: replicas of volumes write there and run programs from there"),
        );
    }
    if disk.path.split('/').any(|part| part == ".." || part == ".") {
        problems.push(
            Problem::new(at("path"), format!("`{}` goes back and forth", disk.path))
                .label("`.` or `..`")
                .help("write the path without them"),
        );
    }
    if BY_ORDER.iter().any(|prefix| disk.device.starts_with(prefix)) {
        problems.push(
            Problem::new(at("device"), format!("{} may be another disk after a reboot", disk.device))
                .label("numbered in the order in which disks are found")
                .severity(Severity::Warning)
                .help("take its name in /dev/disk/by-id: `ls -l /dev/disk/by-id` on the host"),
        );
    }
}
