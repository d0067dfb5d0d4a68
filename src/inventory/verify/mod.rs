//! What the schema cannot say: how the values of an inventory fit together.

mod hosts;
mod labels;
mod network;
mod paths;

use super::{Inventory, version};
use crate::yaml::{Document, Problem};

/// Every inconsistency in the inventory.
pub(super) fn verify(document: &Document<Inventory>) -> Vec<Problem> {
    let mut problems = Vec::new();
    kubernetes(document, &mut problems);
    hosts::verify(document, &mut problems);
    network::verify(document, &mut problems);
    labels::verify(document, &mut problems);
    paths::verify(document, &mut problems);
    problems
}

fn kubernetes(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let version = &document.value.cluster.kubernetes;
    if !version::is_supported(version) {
        let supported = version::supported();
        problems.push(
            Problem::new(
                document.tree.at(&["cluster", "kubernetes"]),
                format!("Kubernetes {version} cannot be installed by this version"),
            )
            .label("not supported")
            .help(format!("choose a patch release of one of these: {supported}")),
        );
    }
}
