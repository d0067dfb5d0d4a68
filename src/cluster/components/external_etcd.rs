//! API servers find etcd on hosts of its own.

use serde_json::json;

use super::Components;
use crate::{cluster::etcd, inventory::Inventory};

/// Where the role `etcd-client` puts what an API server shows etcd. `kubeadm reset` empties /etc/kubernetes/pki, so they
/// are beside it.
const FOLDER: &str = "/etc/kubernetes/etcd";

pub(super) fn add(inventory: &Inventory, all: &mut Components) {
    let addresses = etcd::hosts(inventory).filter_map(|name| inventory.hosts.get(name));
    let endpoints: Vec<String> = addresses.map(|host| format!("https://{}:2379", host.address)).collect();
    if endpoints.is_empty() {
        return;
    }
    let external = json!({
        "endpoints": endpoints,
        "caFile": format!("{FOLDER}/ca.crt"),
        "certFile": format!("{FOLDER}/client.pem"),
        "keyFile": format!("{FOLDER}/client.pem"),
    });
    all.etcd.insert("external".to_string(), external);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;

    #[test]
    fn only_where_etcd_has_hosts_of_its_own() {
        let etcd = |text: &str| {
            let mut all = Components::default();
            add(&inventory::parse("t.yaml", text).unwrap().inventory, &mut all);
            all.etcd
        };
        assert!(etcd(include_str!("../../../inventory/lab.yaml")).is_empty());
        let external = &etcd(include_str!("../../../tests/fixtures/cluster/etcd.yaml"))["external"];
        assert_eq!(
            external["endpoints"],
            json!(["https://10.77.0.21:2379", "https://10.77.0.22:2379", "https://10.77.0.23:2379"])
        );
        assert_eq!(external["keyFile"], "/etc/kubernetes/etcd/client.pem");
    }
}
