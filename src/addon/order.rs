//! What comes before what.

use super::{Definition, desired::Desired};
use crate::inventory::{Inventory, Wanted};

/// What add-ons need and the inventory does not have.
pub fn mistakes(inventory: &Inventory, wanted: &[Wanted], definitions: &[Definition]) -> Vec<String> {
    let mut found = Vec::new();
    for (asked, definition) in wanted.iter().zip(definitions) {
        let name = &asked.name;
        for needed in &definition.requires {
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
        .map(|(asked, definition)| (asked.name.as_str(), before(definition).collect()))
        .collect();
    if let Some(circle) = circle(&edges) {
        found.push(format!("each of these waits for the other: {}", circle.join(", ")));
    }
    found
}

/// The add-ons that come before one, where they are wanted.
pub fn before(definition: &Definition) -> impl Iterator<Item = &str> {
    definition.after.iter().chain(&definition.requires).map(String::as_str)
}

/// In an order in which one can be installed after the other.
pub fn sorted(addons: Vec<Desired>) -> Vec<Desired> {
    let mut left = addons;
    let mut sorted: Vec<Desired> = Vec::new();
    while !left.is_empty() {
        let waits = |addon: &Desired| {
            before(&addon.definition).any(|name| left.iter().any(|other| other.name == name))
        };
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

    #[test]
    fn a_circle_is_found_and_what_is_not_wanted_is_not_waited_for() {
        assert_eq!(circle(&[("a", vec!["b", "x"]), ("b", vec![])]), None);
        assert_eq!(
            circle(&[("a", vec!["b"]), ("b", vec!["a"]), ("c", vec![])]),
            Some(vec!["a".into(), "b".into()])
        );
    }
}
