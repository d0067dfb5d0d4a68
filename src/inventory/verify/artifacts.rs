//! Artifacts: what a chart is called must say which one is meant, and one place must be where hosts fetch files.

use std::collections::HashSet;

use crate::{
    inventory::{ArtifactsFrom, Inventory},
    yaml::{Document, Problem},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let artifacts = &document.value.artifacts;
    if artifacts.from == ArtifactsFrom::Origin {
        let mut contradicts = |key: &str, why: &str, help: &str| {
            let place = document.tree.at(&["artifacts", key]);
            problems.push(
                Problem::new(place, format!("`{key}` and `from: origin` exclude each other: {why}"))
                    .label("this one")
                    .help(help.to_string()),
            );
        };
        if artifacts.url.is_some() {
            contradicts(
                "url",
                "both say where hosts fetch files",
                "keep `url` where that server has the files; `from` is then for what a host cannot fetch there: `peers` or \
                 `installer`",
            );
        }
        if artifacts.bundle.is_some() {
            contradicts(
                "bundle",
                "a bundle is for a site where nothing is fetched from the internet",
                "keep `bundle` and take `from: peers`, or take `folder`, which `hoist lock --fetch` fills",
            );
        }
    }
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
