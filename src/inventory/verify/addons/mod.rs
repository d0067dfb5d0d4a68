//! Add-ons: what their settings need of the rest, and what no schema says of them. One file an add-on.

mod cilium;
mod longhorn;
mod own;

use crate::{
    inventory::Inventory,
    yaml::{Document, Problem, Span},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    longhorn::verify(document, problems);
    cilium::verify(document, problems);
    own::verify(document, problems);
}

/// Where the key of an add-on stands.
fn asked(document: &Document<Inventory>, name: &str) -> Span {
    document.tree.key_at(&["addons", name])
}
