//! Add-ons: what their settings need of the rest, and what no schema says of them. One file an add-on.

mod cilium;
mod longhorn;
mod metallb;
mod metrics_server;
mod monitoring;
mod prometheus;

use crate::{
    inventory::Inventory,
    yaml::{Document, Problem, Span},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    longhorn::verify(document, problems);
    cilium::verify(document, problems);
    metrics_server::verify(document, problems);
    monitoring::verify(document, problems);
    prometheus::verify(document, problems);
    metallb::verify(document, problems);
}

/// Where the key of an add-on stands.
fn asked(document: &Document<Inventory>, name: &str) -> Span {
    document.tree.key_at(&["addons", name])
}

/// Whether one of the add-ons makes volumes.
fn gives_volumes(inventory: &Inventory) -> bool {
    inventory.addons.longhorn.is_some() || inventory.addons.nfs_provisioner.is_some()
}
