//! Settings of ingress-nginx.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::{inventory::SecretSource, yaml::schema};

/// Settings of ingress-nginx. Its project has ended: there are no fixes any more, not even of its security.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IngressNginx {
    /// The name of its ingress class.
    #[schemars(schema_with = "schema::dns_label")]
    pub class: String,
    /// It serves ingresses that name no class, too.
    pub default_class: bool,
    /// On which workers it runs.
    pub kind: Workload,
    /// How many pods a `deployment` has. Default: 2, or 1 where there is one worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub replicas: Option<u32>,
    /// How it is reached from outside. Default: `load-balancer` where MetalLB is installed, otherwise `host-port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Exposure")]
    pub expose: Option<Exposure>,
    /// Its address, one of MetalLB's. Default: any that is free.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Ipv4Addr")]
    pub address: Option<Ipv4Addr>,
    /// Its ports on the nodes, with `node-port`.
    pub node_ports: NodePorts,
    /// Applications see the addresses of clients, and not that of a node between. Then only nodes answer that run it.
    pub client_addresses: bool,
    /// The certificate of names that no ingress has one for. Default: one that no client trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DefaultCertificate")]
    pub default_certificate: Option<DefaultCertificate>,
    /// Values for its Helm chart, merged over those that hoist gives it.
    pub values: Map<String, Json>,
}

impl Default for IngressNginx {
    fn default() -> Self {
        IngressNginx {
            class: String::from("nginx"),
            default_class: true,
            kind: Workload::default(),
            replicas: None,
            expose: None,
            address: None,
            node_ports: NodePorts::default(),
            client_addresses: true,
            default_certificate: None,
            values: Map::new(),
        }
    }
}

/// On which workers something runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// On all of them.
    #[default]
    DaemonSet,
    /// On as many as it has `replicas`.
    Deployment,
}

/// How something is reached from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Exposure {
    /// By an address of its own, which MetalLB gives.
    LoadBalancer,
    /// By ports above 30000 on every node.
    NodePort,
    /// By the ports 80 and 443 of the nodes on which it runs.
    HostPort,
}

/// Ports on every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NodePorts {
    #[schemars(range(min = 30000, max = 32767))]
    pub http: u16,
    #[schemars(range(min = 30000, max = 32767))]
    pub https: u16,
}

impl Default for NodePorts {
    fn default() -> Self {
        NodePorts { http: 30080, https: 30443 }
    }
}

/// Where a certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum DefaultCertificate {
    /// cert-manager asks an issuer for it.
    Issued(Issued),
    /// It is yours.
    Given(Given),
}

/// A certificate that cert-manager asks an issuer for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// The names that it is for. `*.apps.example.com` needs the own authority or an ACME issuer that asks DNS.
    #[schemars(length(min = 1), inner(regex(pattern = r"^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$")), extend("uniqueItems" = true))]
    pub names: Vec<String>,
    /// The ClusterIssuer. Default: cert-manager's `default_issuer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub issuer: Option<String>,
}

/// A certificate and its key, as PEM text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// The certificate, followed by those of the authorities between it and the root.
    pub certificate: SecretSource,
    pub key: SecretSource,
}
