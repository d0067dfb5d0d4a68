//! Add-ons: what they need of the rest.

use crate::{
    inventory::{Inventory, Plugin, Role},
    yaml::{Document, Problem},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let asked = |name| document.tree.key_at(&["addons", name]);
    let stores = inventory.with_role(Role::Storage).next().is_some();
    if inventory.addons.longhorn.is_some() && !stores && document.complete {
        problems.push(
            Problem::new(asked("longhorn"), "Longhorn has no host to keep volumes on")
                .label("needs hosts with the role `storage`")
                .help("add `storage` to the roles of the hosts with the disks, three for three replicas"),
        );
    }
    if inventory.addons.cilium.is_some() && inventory.cluster.network.plugin != Plugin::Cilium {
        problems.push(
            Problem::new(asked("cilium"), "settings for Cilium, which is not the network plugin")
                .label("not used")
                .also(document.tree.at(&["cluster", "network", "plugin"]), "another plugin")
                .help("set `cluster.network.plugin` to `cilium`, or remove the settings"),
        );
    }
}
