//! What comes before what.

use serde_json::{Map, Value};

use super::{Definition, Error, desired::Desired};
use crate::{
    engine::{Context, Templates},
    inventory::{Inventory, Wanted},
};

/// The add-ons that one cannot work without. The user's own need all that they name: nobody else knows what they are.
///
/// # Errors
/// When a condition is none.
pub fn needs(
    wanted: &Wanted,
    definition: &Definition,
    templates: &Templates,
    context: &Context,
) -> Result<Vec<String>, Error> {
    if let Some(own) = &wanted.own {
        return Ok(own.after.clone());
    }
    let place = format!("roles/addons/{}/addon.yaml", wanted.name);
    let mut needs = Vec::new();
    for need in &definition.requires {
        let holds = need.when.as_ref().map(|when| templates.holds(&place, when, context)).transpose()?;
        if holds != Some(false) {
            needs.push(need.addon.clone());
        }
    }
    Ok(needs)
}

/// The add-on that makes the volumes of an add-on with these settings; none where it is none of this inventory.
pub fn storage(inventory: &Inventory, settings: &Map<String, Value>) -> Option<&'static str> {
    let class = settings.get("storage_class").and_then(Value::as_str);
    let (longhorn, nfs) = (&inventory.addons.longhorn, &inventory.addons.nfs_provisioner);
    let default = longhorn.as_ref().is_some_and(|longhorn| longhorn.default_class);
    let of_longhorn = longhorn.is_some() && class.map_or(default, |class| class == "longhorn");
    let of_nfs = nfs
        .as_ref()
        .is_some_and(|nfs| class.map_or(nfs.default_class.unwrap_or(!default), |class| class == nfs.class));
    match (of_longhorn, of_nfs) {
        (true, _) => Some("longhorn"),
        (false, true) => Some("nfs-provisioner"),
        (false, false) => None,
    }
}

/// What add-ons need and the inventory does not have. `needs` are those of each.
pub fn mistakes(
    inventory: &Inventory,
    wanted: &[Wanted],
    definitions: &[Definition],
    needs: &[Vec<String>],
) -> Vec<String> {
    let mut found = Vec::new();
    for ((asked, definition), needs) in wanted.iter().zip(definitions).zip(needs) {
        let name = &asked.name;
        for needed in needs.iter().filter(|_| asked.own.is_none()) {
            if !wanted.iter().any(|other| other.name == *needed) {
                found.push(format!("{name} cannot work without {needed}: add `{needed}: {{}}` to `addons`"));
            }
        }
        if let Some(role) = definition.hosts.filter(|role| inventory.with_role(*role).next().is_none()) {
            found.push(format!("{name} needs a host with the role `{}`", role.name()));
        }
    }
    let edges: Vec<(&str, Vec<&str>)> = wanted
        .iter()
        .zip(definitions)
        .zip(needs)
        .map(|((asked, definition), needs)| {
            (asked.name.as_str(), definition.after.iter().chain(needs).map(String::as_str).collect())
        })
        .collect();
    if let Some(circle) = circle(&edges) {
        found.push(format!("each of these waits for the other: {}", circle.join(", ")));
    }
    found
}

/// The add-ons that come before one, where they are wanted.
pub fn before(addon: &Desired) -> impl Iterator<Item = &str> {
    addon.definition.after.iter().chain(&addon.needs).map(String::as_str)
}

/// In an order in which one can be installed after the other.
pub fn sorted(addons: Vec<Desired>) -> Vec<Desired> {
    let mut left = addons;
    let mut sorted: Vec<Desired> = Vec::new();
    while !left.is_empty() {
        let waits = |addon: &Desired| before(addon).any(|name| left.iter().any(|other| other.name == name));
        // Without a circle somebody waits for nobody.
        let next = left.iter().position(|addon| !waits(addon)).unwrap_or(0);
        sorted.push(left.remove(next));
    }
    sorted
}

/// Those that wait for each other; none when there is an order.
fn circle(edges: &[(&str, Vec<&str>)]) -> Option<Vec<String>> {
    let mut left: Vec<&(&str, Vec<&str>)> = edges.iter().collect();
    loop {
        let names: Vec<&str> = left.iter().map(|(name, _)| *name).collect();
        let before = left.len();
        left.retain(|(_, after)| after.iter().any(|name| names.contains(name)));
        if left.is_empty() {
            return None;
        }
        if left.len() == before {
            return Some(names.into_iter().map(String::from).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{addon, cluster::surroundings, engine::Library, inventory};

    /// What this add-on needs where `addons` are asked for.
    fn needed(addons: &str, name: &str) -> String {
        let text = format!(
            "cluster: {{name: a, kubernetes: \"1.36.2\"}}\nhosts:\n  a: {{address: 10.0.0.1, roles: [control-plane]}}\n  \
             b: {{address: 10.0.0.2, roles: [worker, storage]}}\naddons: {{{addons}}}\n"
        );
        let inventory = inventory::parse("test", &text).unwrap_or_else(|error| panic!("{error:?}")).inventory;
        let (wanted, library) = (inventory.wanted(), Library::default());
        let mut context = surroundings(&inventory, None);
        let all = wanted.iter().map(|wanted| (wanted.name.clone(), Value::Object(wanted.settings.clone())));
        context.set("addons", all.collect::<Map<String, Value>>());
        let asked = wanted.iter().find(|wanted| wanted.name == name).unwrap();
        context.set("settings", &asked.settings);
        context.set("storage", storage(&inventory, &asked.settings));
        // Of the user's own, nothing of the definition counts.
        let file = if asked.own.is_some() { "keda" } else { name };
        let definition = addon::definition(&library, file).unwrap();
        needs(asked, &definition, &Templates::new(library), &context).unwrap().join(" ")
    }

    #[test]
    fn what_is_needed_follows_from_the_settings() {
        let nfs = "nfs-provisioner: {server: nas, path: /srv}";
        let registry = "registry: {host: registry.office.lan, users: {file: /users}";
        let (both, tls) = (format!("longhorn: {{}}, {nfs}, cert-manager: {{}}"), "cert-manager: {}");
        let pools = "metallb: {pools: [10.0.0.200-10.0.0.210]}, ingress-nginx:";
        for (addons, name, expected) in [
            (format!("{both}, {registry}}}"), "registry", "longhorn cert-manager"),
            (format!("{both}, {registry}, storage_class: nfs}}"), "registry", "nfs-provisioner cert-manager"),
            (format!("{both}, {registry}, storage_class: fast, tls: false}}"), "registry", ""),
            (format!("{nfs}, {tls}, {registry}}}"), "registry", "nfs-provisioner cert-manager"),
            (format!("{both}, prometheus: {{}}"), "prometheus", ""),
            (format!("{both}, prometheus: {{volume: 50Gi}}"), "prometheus", "longhorn"),
            (
                format!("{both}, prometheus: {{storage_class: nfs, grafana: {{volume: 5Gi}}}}"),
                "prometheus",
                "nfs-provisioner",
            ),
            (format!("{tls}, {pools} {{}}"), "ingress-nginx", "metallb"),
            (format!("{tls}, {pools} {{expose: host-port}}"), "ingress-nginx", ""),
            (
                format!("{tls}, {pools} {{default_certificate: {{issued: {{names: [a.office.lan]}}}}}}"),
                "ingress-nginx",
                "metallb cert-manager",
            ),
            ("prometheus: {}, metrics-server: {}".into(), "metrics-server", ""),
            (
                "keda: {}, own: {jobs: {namespace: jobs, manifests: jobs, after: [keda, longhorn]}}".into(),
                "jobs",
                "keda longhorn",
            ),
        ] {
            assert_eq!(needed(&addons, name), expected, "{name} in {addons}");
        }
    }

    #[test]
    fn no_condition_fails_whatever_else_there_is() {
        let library = Library::default();
        let rest = "cert-manager: {}, longhorn: {}, ingress-nginx: {}, metallb: {pools: [10.0.0.200-10.0.0.210]}, \
                    prometheus: {}, registry: {host: r.lan, users: {file: /u}}, monitoring: {clients: {tig: {ping: [10.0.0.9]}}}";
        let lone = |name: &str| match name {
            "registry" => "longhorn: {}, registry: {host: r.lan, users: {file: /u}, tls: false}".to_owned(),
            "monitoring" => {
                "monitoring: {clients: {tig: {ping: [10.0.0.9]}}, storage_class: fast}".to_owned()
            }
            name => format!("{name}: {{}}"),
        };
        let needy = library.addons().into_iter().filter(|name| {
            addon::definition(&library, name).unwrap().requires.iter().any(|need| need.when.is_some())
        });
        let needy: Vec<String> = needy.collect();
        assert_eq!(needy, ["ingress-nginx", "monitoring", "prometheus", "registry"]);
        for name in &needy {
            needed(rest, name);
            needed(&lone(name), name);
        }
    }

    #[test]
    fn a_circle_is_found_and_what_is_not_wanted_is_not_waited_for() {
        assert_eq!(circle(&[("a", vec!["b", "x"]), ("b", vec![])]), None);
        assert_eq!(
            circle(&[("a", vec!["b"]), ("b", vec!["a"]), ("c", vec![])]),
            Some(vec!["a".into(), "b".into()])
        );
    }
}
