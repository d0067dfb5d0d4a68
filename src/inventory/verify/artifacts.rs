//! Charts and images: what each is called must say which one is meant.

use std::collections::HashSet;

use crate::{
    inventory::Inventory,
    yaml::{Document, Problem},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let mut seen = HashSet::new();
    for (index, chart) in document.value.artifacts.charts.iter().enumerate() {
        if !seen.insert(&chart.name) {
            problems.push(
                Problem::new(
                    document.tree.at(&["artifacts", "charts", &index.to_string(), "name"]),
                    format!("two charts are called `{}`", chart.name),
                )
                .label("the second one")
                .help("a chart is known by its name: keep one version of it"),
            );
        }
    }
}
