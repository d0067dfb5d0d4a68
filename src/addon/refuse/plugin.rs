//! Another network plugin than the one that the cluster runs on: pods of the two would not reach each other, and what the
//! one needs on hosts stands in the way of the other.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::{
    addon::{
        Error, Status,
        release::{ADDON, SECRET, releases},
    },
    facts::Facts,
    inventory::{Inventory, Plugin},
    kube::{Api, Kind},
    transport::{Host, Script},
};

const DAEMON_SET: Kind = Kind::new("apps/v1", "DaemonSet");
const CILIUM: &str = "cilium";
const NAMESPACE: &str = "kube-system";
/// What the role `bridge` writes; Cilium itself moves it away where it takes over.
const BRIDGE: &str = "/etc/cni/net.d/10-bridge.conflist";

/// Compares the plugin that the inventory names with what the cluster runs on. Hosts are asked only where the inventory
/// wants Cilium and the cluster does not have it.
///
/// # Errors
/// [`Error::Plugin`], and when the API server does not answer.
pub async fn plugin(
    api: &Api,
    inventory: &Inventory,
    hosts: &IndexMap<String, Arc<dyn Host>>,
    facts: &IndexMap<String, Facts>,
) -> Result<(), Error> {
    let found = cilium(api).await?;
    match (inventory.cluster.network.plugin, found) {
        (Plugin::Bridge, Some(found)) => Err(Error::Plugin {
            asked: "bridge",
            found: format!("the cluster runs on Cilium ({found})"),
            fix: String::from("write `plugin: cilium` under `cluster.network`"),
        }),
        (Plugin::Cilium, None) => match bridged(hosts, facts).await {
            Some(host) => Err(Error::Plugin {
                asked: "cilium",
                found: format!("{host} is a node that connects its pods with the bridge ({BRIDGE})"),
                fix: format!(
                    "write `plugin: bridge` under `cluster.network`, or leave it out; if that file is left over from another \
                     cluster, delete it on {host}"
                ),
            }),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// What there is of Cilium.
async fn cilium(api: &Api) -> Result<Option<String>, Error> {
    if api.object(DAEMON_SET, Some(NAMESPACE), CILIUM).await?.is_some() {
        return Ok(Some(format!("DaemonSet {NAMESPACE}/{CILIUM}")));
    }
    let secrets = api.objects(SECRET, Some(NAMESPACE), &format!("owner=helm,{ADDON}={CILIUM}")).await?;
    let is_there = releases(&secrets)?.iter().any(|release| release.status != Status::Gone);
    Ok(is_there.then(|| format!("release {NAMESPACE}/{CILIUM}")))
}

/// The first node that is connected by the bridge. One that does not answer now is told of by who has to change it.
async fn bridged(hosts: &IndexMap<String, Arc<dyn Host>>, facts: &IndexMap<String, Facts>) -> Option<String> {
    for (name, host) in hosts {
        if !facts.get(name).is_some_and(|facts| facts.kubernetes.joined) {
            continue;
        }
        let asked = host.run(Script::new(format!("test -e {BRIDGE}"))).await;
        if asked.is_ok_and(|answer| answer.status == 0) {
            return Some(name.clone());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        addon::{gate::testing::Cluster, release::tests::stored},
        facts::Kubernetes,
    };

    /// What is said where the inventory names this plugin; hosts with these names have the bridge's file.
    async fn said(cluster: &mut Cluster, plugin: Plugin, bridged: &'static [&'static str]) -> Option<String> {
        cluster.on_script(move |host, text| {
            assert_eq!(text.trim(), format!("test -e {BRIDGE}"));
            (if bridged.contains(&host) { 0 } else { 1 }, String::new())
        });
        let mut inventory = cluster.bench("").inventory.clone();
        inventory.cluster.network.plugin = plugin;
        let joined = |name: &str| Facts {
            kubernetes: Kubernetes { joined: name != "new", ..Kubernetes::default() },
            ..Facts::default()
        };
        let facts = cluster.hosts.keys().map(|name| (name.clone(), joined(name))).collect();
        let found = super::plugin(cluster.bench("").api, &inventory, &cluster.hosts, &facts).await;
        found.err().map(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_cluster_on_cilium_gets_no_bridge() {
        let mut cluster = Cluster::new(&["cp1"]).await;
        assert_eq!(said(&mut cluster, Plugin::Bridge, &["cp1"]).await, None);
        // Its helm may have been killed before it made anything.
        let mut secret = stored(CILIUM, 1, "pending-install", json!({}));
        secret["kind"] = json!("Secret");
        secret["metadata"]["namespace"] = json!(NAMESPACE);
        secret["metadata"]["name"] = json!("sh.helm.release.v1.cilium.v1");
        secret["metadata"]["labels"][ADDON] = json!(CILIUM);
        cluster.put(secret);
        let release = said(&mut cluster, Plugin::Bridge, &[]).await.unwrap();
        assert!(release.contains("release kube-system/cilium"), "{release}");
        cluster.put(json!({"kind": "DaemonSet", "metadata": {"name": CILIUM, "namespace": NAMESPACE}}));
        assert_eq!(
            said(&mut cluster, Plugin::Bridge, &[]).await.unwrap(),
            "the inventory names the network plugin `bridge`, but the cluster runs on Cilium (DaemonSet \
             kube-system/cilium): a cluster keeps the plugin that it was begun with"
        );
        assert_eq!(said(&mut cluster, Plugin::Cilium, &["cp1"]).await, None, "the file is a leftover");
    }

    #[tokio::test]
    async fn a_cluster_on_the_bridge_gets_no_cilium() {
        let mut cluster = Cluster::new(&["cp1", "w1", "new"]).await;
        assert_eq!(said(&mut cluster, Plugin::Cilium, &[]).await, None, "Cilium was not installed yet");
        assert_eq!(said(&mut cluster, Plugin::Cilium, &["new"]).await, None, "it is no node yet");
        let refused = said(&mut cluster, Plugin::Cilium, &["w1"]).await.unwrap();
        assert!(refused.contains("w1 is a node that connects its pods with the bridge"), "{refused}");
    }
}
