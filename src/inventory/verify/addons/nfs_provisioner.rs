//! The NFS provisioner.

use super::asked;
use crate::{
    inventory::{Inventory, Role},
    yaml::{Document, Problem},
};

/// The storage class that Longhorn's chart makes.
const OF_LONGHORN: &str = "longhorn";

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let Some(nfs) = &inventory.addons.nfs_provisioner else { return };
    let longhorn = inventory.addons.longhorn.as_ref().filter(|longhorn| longhorn.default_class);
    if nfs.default_class == Some(true) && longhorn.is_some() {
        problems.push(
            Problem::new(
                document.tree.at(&["addons", "nfs-provisioner", "default_class"]),
                "two storage classes would be the default one",
            )
            .label("this one")
            .also(asked(document, "longhorn"), "and that of Longhorn")
            .help("set `default_class: false` for one of them"),
        );
    }
    if nfs.class == OF_LONGHORN && inventory.addons.longhorn.is_some() {
        problems.push(
            Problem::new(
                document.tree.at(&["addons", "nfs-provisioner", "class"]),
                format!("two storage classes would have the name `{OF_LONGHORN}`"),
            )
            .label("this one")
            .also(asked(document, "longhorn"), "and that of Longhorn")
            .help("choose another name, such as `nfs`"),
        );
    }
    // Only there a role asks; elsewhere the client is installed whatever is said.
    let off = |vars: &serde_json::Map<_, serde_json::Value>| {
        vars.get("storage").and_then(|storage| storage.get("nfs")).and_then(serde_json::Value::as_bool)
    };
    let common = off(&inventory.vars) == Some(false);
    let asks = |host: &crate::inventory::Host| host.has(Role::Storage) || inventory.addons.longhorn.is_some();
    let workers = inventory.hosts.iter().filter(|(_, host)| host.has(Role::Worker) && asks(host));
    for (name, host) in workers {
        let own = off(&host.vars);
        if own == Some(false) || own.is_none() && common {
            let own_place = ["hosts", name, "vars", "storage", "nfs"];
            let place: &[&str] = if own.is_some() { &own_place } else { &["vars", "storage", "nfs"] };
            problems.push(
                Problem::new(
                    document.tree.at(place),
                    "volumes on NFS cannot be mounted without the NFS client",
                )
                .label(format!("left out on `{name}`"))
                .also(asked(document, "nfs-provisioner"), "asked for here")
                .help("remove it, or leave the NFS provisioner out"),
            );
            if own.is_none() {
                return;
            }
        }
    }
}
