//! Add-ons of the user's own.

use crate::{
    inventory::{Chart, Inventory, chart_of},
    yaml::{Document, Problem, Span, nearest, schema_of, to_dns_label},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let own = &inventory.addons.own;
    if own.is_empty() {
        return;
    }
    charts(document, problems);
    let built_in = built_in();
    for (name, addon) in own {
        let key = document.tree.key_at(&["addons", "own", name]);
        if to_dns_label(name).as_ref() != Some(name) || name.len() > 53 {
            let help = "write lower-case letters, digits and `-`, at most 53 of them: Helm allows no other name of a release";
            problems.push(Problem::new(key, format!("{name:?} cannot be the name of an add-on")).help(help));
        }
        if built_in.contains(name) {
            let problem = Problem::new(key, format!("`{name}` is an add-on that hoist has"));
            problems.push(problem.help("choose another name, or say it directly under `addons`"));
        }
        if addon.chart.is_none() && addon.manifests.is_none() && document.is_whole(&["addons", "own", name]) {
            let problem = Problem::new(key, format!("`{name}` installs nothing"));
            problems.push(problem.help("give it a `chart`, a folder of `manifests`, or both"));
        }
        if addon.chart.is_none() && !addon.values.is_empty() {
            let place = document.tree.key_at(&["addons", "own", name, "values"]);
            let problem = Problem::new(place, "values without a chart").label("for nothing");
            problems.push(problem.help("give the add-on a `chart`, or remove the values"));
        }
        for (index, before) in addon.after.iter().enumerate() {
            let known = || built_in.iter().chain(own.keys()).map(String::as_str);
            if before == name || !known().any(|known| known == before) {
                let place = document.tree.at(&["addons", "own", name, "after", &index.to_string()]);
                let meant = nearest(before, known().filter(|known| *known != name.as_str()));
                let help = match meant {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => String::from("name an add-on of this inventory, or one that hoist has"),
                };
                problems
                    .push(Problem::new(place, format!("`{before}` cannot come before `{name}`")).help(help));
            }
        }
    }
}

/// The artifacts know a chart by its name: two of one name would be taken for each other.
fn charts(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let all = inventory.artifacts.charts.iter().enumerate();
    let named =
        all.map(|(index, chart)| (chart, document.tree.at(&["artifacts", "charts", &index.to_string()])));
    let mut seen: Vec<(&Chart, Span)> = named.collect();
    for (name, addon) in &inventory.addons.own {
        let Some(chart) = &addon.chart else { continue };
        if !document.is_whole(&["addons", "own", name, "chart"]) {
            continue;
        }
        let place = document.tree.at(&["addons", "own", name, "chart"]);
        let problem = || Problem::new(place, format!("two charts are called `{}`", chart.name));
        match seen.iter().find(|(other, _)| other.name == chart.name) {
            Some((other, _)) if *other == chart => {}
            Some((_, also)) => problems.push(problem().label("one").also(*also, "the other").help(
                "a chart is known by its name: take the same version from the same repository for both",
            )),
            None => {
                let wanted = inventory.wanted();
                let hoists = wanted.iter().filter(|wanted| wanted.own.is_none());
                if let Some(wanted) = hoists.into_iter().find(|wanted| chart_of(&wanted.name) == chart.name) {
                    problems.push(
                        problem().label("one").also(super::asked(document, &wanted.name), "the other").help(format!(
                            "`{}` brings a chart of this name. One of yours in its place belongs under `artifacts.charts`; a \
                             second release of it is not possible beside it",
                            wanted.name
                        )),
                    );
                }
                seen.push((chart, place));
            }
        }
    }
}

/// The names of the add-ons that hoist has.
fn built_in() -> Vec<String> {
    let schema = schema_of::<crate::inventory::Addons>();
    let keys = schema["properties"].as_object().into_iter().flat_map(|properties| properties.keys());
    keys.filter(|key| *key != "own").cloned().collect()
}

#[cfg(test)]
mod tests {
    use crate::inventory;

    fn problems(own: &str) -> String {
        let text = format!(
            "cluster: {{name: a, kubernetes: 1.36.5}}\nhosts: {{a: {{address: 10.0.0.1, roles: [control-plane]}}}}\n\
             addons: {{own: {{{own}}}}}\n"
        );
        match inventory::parse("test", &text) {
            Ok(_) => String::new(),
            Err(error) => error.to_json().to_string(),
        }
    }

    #[test]
    fn what_cannot_be_is_named() {
        assert_eq!(problems("site: {namespace: web, manifests: site, after: [keda]}"), "");
        for (own, expected) in [
            ("keda: {namespace: web, manifests: site}", "is an add-on that hoist has"),
            ("Site: {namespace: web, manifests: site}", "cannot be the name"),
            ("site: {namespace: web}", "installs nothing"),
            ("site: {namespace: web, manifests: site, values: {a: 1}}", "values without a chart"),
            ("site: {namespace: web, manifests: site, after: [ked]}", "did you mean `keda`?"),
            ("site: {namespace: web, manifests: site, after: [site]}", "cannot come before"),
            ("site: {namespace: Web, manifests: site}", "Web"),
        ] {
            let found = problems(own);
            assert!(found.contains(expected), "{own}: {found}");
        }
    }
}
