//! What a host needs to keep volumes: its disks, and an iSCSI name that no other host has.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Observed;
use crate::inventory::{Host, Inventory};

/// What templates see as `host.disks`.
pub(super) fn disks(host: &Host) -> Value {
    let all = host.disks.iter();
    all.map(|disk| {
        json!({
            "device": disk.device,
            "path": disk.path,
            "filesystem": disk.filesystem.name(),
            "format": disk.format,
            "options": disk.options,
        })
    })
    .collect()
}

/// iSCSI names that clones have brought along, by the host that has to get another one. The first host of the inventory
/// keeps the name.
pub(super) fn shared_initiators<'a>(
    inventory: &'a Inventory,
    facts: &'a Observed,
) -> BTreeMap<&'a str, &'a str> {
    let mut owners = BTreeMap::new();
    let mut shared = BTreeMap::new();
    for name in inventory.hosts.keys() {
        let own = facts.get(name).map(|facts| facts.initiator.as_str());
        let Some(initiator) = own.filter(|initiator| is_name(initiator)) else { continue };
        if owners.insert(initiator, name.as_str()).is_some() {
            shared.insert(name.as_str(), initiator);
        }
    }
    shared
}

/// A name as RFC 3720 (3.2.6) has it. Anything else is no name, whatever it is.
fn is_name(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_');
    ["iqn.", "eui.", "naa."].iter().any(|kind| text.starts_with(kind)) && text.chars().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{facts::Facts, inventory};

    #[test]
    fn the_first_of_the_clones_keeps_the_name() {
        let text = "cluster: {name: a, kubernetes: 1.20.2}\nhosts:\n  z: {address: 10.0.0.1, roles: [control-plane]}\n  a: {address: 10.0.0.2, roles: [storage]}\n  b: {address: 10.0.0.3, roles: [storage]}\n  c: {address: 10.0.0.4, roles: [storage]}\n  d: {address: 10.0.0.5, roles: [storage]}\n";
        let inventory = inventory::parse("test", text).unwrap().inventory;
        let initiators = [("z", "iqn.1:x"), ("a", "iqn.1:y"), ("b", "iqn.1:x"), ("c", ""), ("d", "iqn.1:x")];
        let facts: Observed = initiators
            .iter()
            .map(|(name, initiator)| (name.to_string(), Facts::parse(&format!("initiator={initiator}\n"))))
            .collect();
        let shared = shared_initiators(&inventory, &facts);
        assert_eq!(shared, BTreeMap::from([("b", "iqn.1:x"), ("d", "iqn.1:x")]));
        assert!(!is_name("iqn.1'; reboot; '") && !is_name("") && !is_name("x"));
        let alone = facts.into_iter().filter(|(name, _)| name == "b").collect();
        assert_eq!(shared_initiators(&inventory, &alone), BTreeMap::new());
    }
}
