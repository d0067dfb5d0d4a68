//! What is installed into a cluster. The doc comments are the reference that users read.

use std::{borrow::Cow, fmt, net::Ipv4Addr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value as Json};

use crate::yaml;

/// What is installed into the cluster, by name; `{}` takes an add-on as it is. This version knows the names and
/// checks what is said here, and installs none of them yet.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Addons {
    /// Certificates from an issuer such as Let's Encrypt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Addon")]
    pub cert_manager: Option<Addon>,
    /// Settings of the network plugin, when `cluster.network.plugin` is `cilium`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Addon")]
    pub cilium: Option<Addon>,
    /// Secrets from a store outside of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Addon")]
    pub external_secrets: Option<Addon>,
    /// HTTP from outside by host name and path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Addon")]
    pub ingress_nginx: Option<Addon>,
    /// More or fewer replicas by events and queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Addon")]
    pub keda: Option<Addon>,
    /// Volumes that are kept on several hosts: those with the role `storage`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Addon")]
    pub longhorn: Option<Addon>,
    /// Addresses for services of type LoadBalancer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Metallb")]
    pub metallb: Option<Metallb>,
    /// What `kubectl top` and autoscaling measure with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Addon")]
    pub metrics_server: Option<Addon>,
    /// Volumes on an NFS server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Addon")]
    pub nfs_provisioner: Option<Addon>,
    /// Prometheus and Grafana.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Addon")]
    pub prometheus: Option<Addon>,
    /// A registry of images and charts inside the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Addon")]
    pub registry: Option<Addon>,
}

/// Settings of an add-on.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Addon {
    /// Values for its Helm chart. Nothing in them is checked yet.
    pub values: Map<String, Json>,
}

/// Settings of MetalLB.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Metallb {
    /// The addresses that services may get: networks, or ranges such as 192.168.18.230-192.168.18.239. No
    /// machine and no DHCP server may use them.
    pub pools: Vec<Pool>,
    /// Values for its Helm chart. Nothing in them is checked yet.
    pub values: Map<String, Json>,
}

impl Addons {
    /// The keys of the add-ons that are asked for.
    pub fn names(&self) -> Vec<&'static str> {
        let Addons {
            cert_manager,
            cilium,
            external_secrets,
            ingress_nginx,
            keda,
            longhorn,
            metallb,
            metrics_server,
            nfs_provisioner,
            prometheus,
            registry,
        } = self;
        [
            ("cert-manager", cert_manager.is_some()),
            ("cilium", cilium.is_some()),
            ("external-secrets", external_secrets.is_some()),
            ("ingress-nginx", ingress_nginx.is_some()),
            ("keda", keda.is_some()),
            ("longhorn", longhorn.is_some()),
            ("metallb", metallb.is_some()),
            ("metrics-server", metrics_server.is_some()),
            ("nfs-provisioner", nfs_provisioner.is_some()),
            ("prometheus", prometheus.is_some()),
            ("registry", registry.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, wanted)| wanted.then_some(name))
        .collect()
    }
}

/// Consecutive addresses, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    pub first: Ipv4Addr,
    pub last: Ipv4Addr,
}

impl fmt::Display for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.first, self.last)
    }
}

impl Serialize for Pool {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pool, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (first, last) =
            yaml::ipv4_range(&text).ok_or_else(|| D::Error::custom("no range of addresses"))?;
        Ok(Pool { first, last })
    }
}

impl JsonSchema for Pool {
    fn schema_name() -> Cow<'static, str> {
        "Pool".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "ipv4-range"})
    }
}
