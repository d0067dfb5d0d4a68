//! What an inventory may ask for and this version cannot install yet.
//!
//! Inventories are checked against the whole contract, so that they can be written ahead; what is missing here is
//! refused before any host is contacted. Each line that is deleted from [`GAPS`] is something that can be installed.

use miette::Severity;

use super::{Connection, Inventory, Release, version};
use crate::yaml::{Node, Problem, Span};

struct Gap {
    /// Completes "… is checked, but cannot be installed by this version yet".
    what: &'static str,
    /// Where it is asked for; nowhere when it is not.
    asked: fn(&Inventory, &Node) -> Vec<Span>,
    /// What can be installed instead.
    instead: &'static str,
}

const GAPS: &[Gap] = &[Gap {
    what: "the gateway between machines and workers in EC2",
    asked: |inventory, tree| {
        let burst = &inventory.burst;
        let gateway =
            burst.is_wanted() && burst.connection == Connection::Gateway && burst.existing.is_none();
        if gateway { vec![tree.key_at(&["burst"])] } else { Vec::new() }
    },
    instead: "set `burst.connection` to `vpn` or `routed`, or leave `burst` out",
}];

/// A note about everything that the inventory asks for and that cannot be installed.
pub(super) fn gaps(inventory: &Inventory, tree: &Node) -> Vec<Problem> {
    GAPS.iter()
        .filter_map(|gap| {
            let mut places = (gap.asked)(inventory, tree);
            places.sort_by_key(Span::offset);
            let (first, others) = places.split_first()?;
            let note = note(gap.what, *first).help(gap.instead);
            Some(others.iter().fold(note, |note, other| note.also(*other, "and here")))
        })
        .collect()
}

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

fn note(what: &str, span: Span) -> Problem {
    Problem::new(span, format!("{what} is checked, but cannot be installed by this version yet"))
        .label("not yet")
        .severity(Severity::Advice)
}
