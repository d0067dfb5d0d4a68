//! What is installed into a cluster. The doc comments are the reference that users read.
//!
//! Settings of each add-on have a file of their own. `values` is in all of them, and goes to the chart as it is.

mod cert_manager;
mod cilium;
mod external_secrets;
mod ingress_nginx;
mod keda;
mod longhorn;
mod metallb;
mod metrics_server;
mod monitoring;
mod nfs_provisioner;
mod own;
mod prometheus;
mod registry;
mod storage_class;

pub use cert_manager::{CertManager, OWN_CA};
pub use cilium::{Cilium, Hubble, MTU_BETWEEN_SITES, Routing};
pub use external_secrets::ExternalSecrets;
pub use ingress_nginx::{DefaultCertificate, Exposure, IngressNginx, Workload};
pub use keda::Keda;
pub use longhorn::{Backup, Longhorn, RecurringTask};
pub use metallb::{Bgp, Metallb, NamedPool, Peer, Pool, Protocol};
pub use metrics_server::MetricsServer;
pub use monitoring::{Client, Device, Monitoring};
pub use nfs_provisioner::NfsProvisioner;
pub use own::Own;
pub use prometheus::{Alerts, Email, Grafana, Prometheus, Scraped};
pub use registry::{Registry, RegistryExposure};
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// What is installed into the cluster, by name; `{}` takes an add-on as it is. What each does, and what hoist proves of
/// it: docs/addons.md.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Addons {
    /// Certificates from an issuer such as Let's Encrypt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CertManager")]
    pub cert_manager: Option<CertManager>,
    /// Settings of the network plugin, when `cluster.network.plugin` is `cilium`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Cilium")]
    pub cilium: Option<Cilium>,
    /// Secrets from a store outside of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ExternalSecrets")]
    pub external_secrets: Option<ExternalSecrets>,
    /// HTTP from outside by host name and path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "IngressNginx")]
    pub ingress_nginx: Option<IngressNginx>,
    /// More or fewer replicas by events and queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Keda")]
    pub keda: Option<Keda>,
    /// Volumes that are kept on several hosts: those with the role `storage`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Longhorn")]
    pub longhorn: Option<Longhorn>,
    /// Addresses for services of type LoadBalancer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Metallb")]
    pub metallb: Option<Metallb>,
    /// What `kubectl top` and autoscaling measure with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "MetricsServer")]
    pub metrics_server: Option<MetricsServer>,
    /// Telegraf, InfluxDB and Grafana for each of several clients, apart from each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Monitoring")]
    pub monitoring: Option<Monitoring>,
    /// Volumes on an NFS server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "NfsProvisioner")]
    pub nfs_provisioner: Option<NfsProvisioner>,
    /// Charts and manifests of your own, by a name of your choice, installed as the others are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub own: BTreeMap<String, Own>,
    /// Prometheus and Grafana.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Prometheus")]
    pub prometheus: Option<Prometheus>,
    /// A registry of images and charts inside the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Registry")]
    pub registry: Option<Registry>,
}

/// An add-on that an inventory asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Its key in the inventory.
    pub name: String,
    /// What is said of it, defaults filled in, without `values`.
    pub settings: Map<String, Json>,
    /// Values for its chart, over those that hoist gives it.
    pub values: Map<String, Json>,
    /// One of the user's own, and what it is.
    pub own: Option<Own>,
}

impl Addons {
    /// The add-ons that are asked for, by name.
    pub fn wanted(&self) -> Vec<Wanted> {
        // They came from JSON of this form.
        let Ok(Json::Object(mut all)) = serde_json::to_value(self) else { return Vec::new() };
        let own = all.shift_remove("own").map(as_map).unwrap_or_default();
        all.into_iter()
            .chain(own)
            .map(|(name, settings)| {
                let mut settings = as_map(settings);
                let values = settings.shift_remove("values").map(as_map).unwrap_or_default();
                let own = self.own.get(&name).cloned();
                Wanted { name, settings, values, own }
            })
            .collect()
    }

    /// The keys of the add-ons that are asked for.
    pub fn names(&self) -> Vec<String> {
        self.wanted().into_iter().map(|wanted| wanted.name).collect()
    }
}

/// What the chart of an add-on that hoist has is called by its repository.
pub fn chart_of(addon: &str) -> &str {
    match addon {
        "nfs-provisioner" => "nfs-subdir-external-provisioner",
        "prometheus" => "kube-prometheus-stack",
        name => name,
    }
}

fn as_map(value: Json) -> Map<String, Json> {
    match value {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_told_apart_from_values() {
        let text = r#"{"metallb": {"pools": ["10.0.0.8-10.0.0.9"], "values": {"a": 1}}, "cert-manager": {}}"#;
        let addons: Addons = serde_json::from_str(text).unwrap();
        assert_eq!(addons.names(), ["cert-manager", "metallb"]);
        let metallb = &addons.wanted()[1];
        assert_eq!(metallb.settings["pools"], serde_json::json!(["10.0.0.8-10.0.0.9"]));
        assert_eq!(metallb.values["a"], 1);
        assert!(!metallb.settings.contains_key("values"));
    }

    #[test]
    fn own_ones_are_asked_for_by_their_names() {
        let text =
            r#"{"keda": {}, "own": {"site": {"namespace": "web", "manifests": "site", "values": {"a": 1}}}}"#;
        let addons: Addons = serde_json::from_str(text).unwrap();
        assert_eq!(addons.names(), ["keda", "site"]);
        let site = &addons.wanted()[1];
        assert_eq!((&site.values["a"], site.own.is_some()), (&serde_json::json!(1), true));
        assert!(addons.wanted()[0].own.is_none());
    }
}
