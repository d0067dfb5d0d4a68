//! How etcd is tuned where kubeadm runs it: as the role `etcd` does on hosts of its own.

use serde_json::{Map, Value};

use crate::{engine::Library, inventory::Inventory};

/// The flags of etcd, by name; not that of `snapshot_count`, which newer releases no longer have. The role's own
/// defaults count where the inventory's `vars.etcd` says nothing; what only one host says does not, for kubeadm has one
/// document for all.
pub fn flags(inventory: &Inventory) -> Vec<(String, String)> {
    let role = Library::default().role("etcd").ok();
    let defaults = role.and_then(|role| serde_json::to_value(role.defaults.get("etcd")).ok());
    let mut settings: Map<String, Value> =
        defaults.and_then(|all| all.as_object().cloned()).unwrap_or_default();
    settings.extend(inventory.vars.get("etcd").and_then(Value::as_object).cloned().unwrap_or_default());
    let text = |key: &str| match settings.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let (heartbeat, election) = inventory.etcd_times();
    let by_sites = |key: &str, time: i64| match text(key).as_str() {
        "0" => time.to_string(),
        said => said.to_string(),
    };
    [
        ("auto-compaction-mode", "periodic".to_string()),
        ("auto-compaction-retention", text("compaction_retention")),
        ("election-timeout", by_sites("election_ms", election)),
        ("heartbeat-interval", by_sites("heartbeat_ms", heartbeat)),
        ("quota-backend-bytes", text("quota_bytes")),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;

    fn flags_of(text: &str) -> String {
        let inventory = inventory::parse("t.yaml", text).unwrap().inventory;
        flags(&inventory).iter().map(|(name, value)| format!("{name}={value} ")).collect()
    }

    #[test]
    fn the_roles_defaults_count_and_sites_and_the_inventory_before_them() {
        const STACKED: &str = include_str!("../../../tests/fixtures/cluster/stacked.yaml");
        assert_eq!(
            flags_of(STACKED),
            "auto-compaction-mode=periodic auto-compaction-retention=8h election-timeout=1000 heartbeat-interval=100 \
             quota-backend-bytes=8589934592 "
        );
        let said = STACKED.replace("vars:\n", "vars:\n  etcd: {heartbeat_ms: 300, election_ms: 3000, quota_bytes: 1, compaction_retention: 1}\n");
        assert_eq!(
            flags_of(&said),
            "auto-compaction-mode=periodic auto-compaction-retention=1 election-timeout=3000 heartbeat-interval=300 \
             quota-backend-bytes=1 "
        );
        let apart = include_str!("../../../inventory/ha.yaml");
        assert!(flags_of(apart).contains("election-timeout=2500 heartbeat-interval=250 "));
    }
}
