//! Cilium.

use super::asked;
use crate::{
    inventory::{Inventory, Plugin},
    yaml::{Document, Problem},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    if inventory.addons.cilium.is_some() && inventory.cluster.network.plugin != Plugin::Cilium {
        problems.push(
            Problem::new(asked(document, "cilium"), "settings for Cilium, which is not the network plugin")
                .label("not used")
                .also(document.tree.at(&["cluster", "network", "plugin"]), "another plugin")
                .help("set `cluster.network.plugin` to `cilium`, or remove the settings"),
        );
    }
}
