//! What an inventory may ask for and nobody has seen work.

use miette::Severity;

use super::{Inventory, Release, version};
use crate::yaml::{Node, Problem};

/// That a release follows from documents and golden files alone.
pub(super) fn unproven(inventory: &Inventory, tree: &Node) -> Option<Problem> {
    let kubernetes = &inventory.cluster.kubernetes;
    Release::of(kubernetes).filter(|release| !release.proven)?;
    let proven = version::listed(|release| release.proven);
    let problem = Problem::new(
        tree.at(&["cluster", "kubernetes"]),
        format!("Kubernetes {kubernetes} has not been installed by those who built this version"),
    );
    let help = format!(
        "what it needs is taken from its documentation: try it on machines that may be lost; proven on lab nodes: {proven}"
    );
    Some(problem.label("not proven").help(help).severity(Severity::Advice))
}
