//! Settings of the registry.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{inventory::SecretSource, yaml::schema};

/// Settings of the registry, which keeps images and OCI charts on a volume. One pod serves it: while it moves to another
/// node, nothing is pulled.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// The name by which clients reach it, the first word of its images: `registry.office.lan`. Your DNS must know it.
    #[schemars(schema_with = "schema::host")]
    pub host: String,
    /// Who may use it: lines of `USER:HASH` as `htpasswd -B` writes them. Other hashes than bcrypt are not taken.
    pub users: SecretSource,
    /// The size of its volume, as Kubernetes writes it. It can grow later where the storage class lets it.
    #[serde(default = "size")]
    #[schemars(regex(pattern = "^[1-9][0-9]*(Mi|Gi|Ti)$"))]
    pub size: String,
    /// The storage class of its volume. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::dns_label")]
    pub storage_class: Option<String>,
    /// How it is reached. Default: `ingress` where ingress-nginx is installed, otherwise `load-balancer` where MetalLB
    /// is, otherwise `node-port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RegistryExposure")]
    pub expose: Option<RegistryExposure>,
    /// Its address with `load-balancer`, one of MetalLB's. Default: any that is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Ipv4Addr")]
    pub address: Option<Ipv4Addr>,
    /// Its port on every node with `node-port`.
    #[serde(default = "node_port")]
    #[schemars(range(min = 30000, max = 32767))]
    pub node_port: u16,
    /// It has a certificate from cert-manager. Without one, passwords cross the network in clear, and clients refuse
    /// unless they are told otherwise.
    #[serde(default = "yes")]
    pub tls: bool,
    /// The ClusterIssuer of the certificate. Default: cert-manager's `default_issuer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub issuer: Option<String>,
}

/// How the registry is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RegistryExposure {
    /// Through ingress-nginx, by its host name.
    Ingress,
    /// By an address of its own, which MetalLB gives.
    LoadBalancer,
    /// By a port above 30000 on every node, which is then part of images' names.
    NodePort,
}

fn size() -> String {
    String::from("50Gi")
}

fn node_port() -> u16 {
    30500
}

fn yes() -> bool {
    true
}
