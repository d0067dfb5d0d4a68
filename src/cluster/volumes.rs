//! What a host needs to keep volumes: its disks, and an iSCSI name that no other host has.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Observed;
use crate::inventory::{Host, Inventory, Role};

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

/// The disks of a host as Longhorn's annotation of nodes has them. Paths have no quotes: the schema sees to it.
pub(super) fn longhorn_disks(host: &Host) -> String {
    let all = host.disks.iter();
    // All of such a disk is for replicas, so nothing of it is reserved for others.
    let all: Value =
        all.map(|disk| json!({"path": disk.path, "allowScheduling": true, "storageReserved": 0})).collect();
    all.to_string()
}

/// The engine's roles of a node for volumes, in order: what attaches them is needed wherever pods that use them run.
pub(super) fn roles(inventory: &Inventory, host: &Host) -> Vec<&'static str> {
    let addons = &inventory.addons;
    let uses = host.has(Role::Worker);
    if host.has(Role::Storage) || uses && addons.longhorn.is_some() {
        vec!["storage"]
    } else if uses && addons.nfs_provisioner.is_some() {
        vec!["nfs-client"]
    } else {
        Vec::new()
    }
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
    fn volumes_can_be_attached_where_pods_run() {
        let text = |addons: &str| {
            format!(
                "cluster: {{name: a, kubernetes: 1.36.2}}\nhosts:\n  c: {{address: 10.0.0.1, roles: [control-plane]}}\n  \
                 w: {{address: 10.0.0.2, roles: [worker]}}\n  s: {{address: 10.0.0.3, roles: [storage], disks: \
                 [{{device: /dev/disk/by-id/a, path: /srv/a}}]}}\naddons: {addons}\n"
            )
        };
        let nfs = "{nfs-provisioner: {server: nas, path: /srv}}";
        let both = "{longhorn: {}, nfs-provisioner: {server: nas, path: /srv}}";
        for (addons, expected) in [
            ("{}", [&[][..], &[], &["storage"]]),
            ("{longhorn: {}}", [&[], &["storage"], &["storage"]]),
            (nfs, [&[], &["nfs-client"], &["storage"]]),
            (both, [&[], &["storage"], &["storage"]]),
        ] {
            let inventory = inventory::parse("test", &text(addons)).unwrap().inventory;
            let found: Vec<_> = inventory.hosts.values().map(|host| roles(&inventory, host)).collect();
            assert_eq!(found, expected, "{addons}");
            assert_eq!(
                longhorn_disks(&inventory.hosts["s"]),
                r#"[{"path":"/srv/a","allowScheduling":true,"storageReserved":0}]"#
            );
        }
    }

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
