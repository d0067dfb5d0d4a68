//! Settings of cert-manager.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::ingress_nginx::Given;
use crate::{inventory::SecretSource, yaml::schema};

/// The issuer that is always there: an authority of the cluster's own.
pub const OWN_CA: &str = "own-ca";

/// Settings of cert-manager. It brings the ClusterIssuers `own-ca`, an authority of the cluster's own that needs no
/// internet, and with `acme` also `acme-staging` and `acme-production`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CertManager {
    /// The ClusterIssuer of those who name none: of ingresses with the annotation `kubernetes.io/tls-acme: "true"`, and
    /// of other add-ons.
    #[schemars(length(min = 1))]
    pub default_issuer: String,
    /// Your company's authority, for `own-ca`. Default: one that signs itself, made in the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Given")]
    pub ca: Option<Given>,
    /// Certificates that everybody's browser trusts. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Acme")]
    pub acme: Option<Acme>,
    /// A folder on this machine that keeps, in a folder with the cluster's name, what shall outlive the cluster: the
    /// accounts with ACME authorities, certificates of `acme-production`, and the own authority where `ca` names none. Each
    /// apply brings it up to date; a cluster that is made anew gets it back. Default: nothing is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PathBuf")]
    pub keep: Option<PathBuf>,
    /// Certificates for Gateways, too. The definitions of the Gateway API must be in the cluster: Cilium's `gateway_api` brings
    /// them.
    pub gateway_api: bool,
    /// Values for its Helm chart, merged over those that hoist gives it.
    pub values: Map<String, Json>,
}

impl Default for CertManager {
    fn default() -> Self {
        CertManager {
            default_issuer: String::from(OWN_CA),
            ca: None,
            acme: None,
            keep: None,
            gateway_api: false,
            values: Map::new(),
        }
    }
}

/// Certificates by ACME (RFC 8555), from Let's Encrypt unless `server` says otherwise. `acme-staging` has generous
/// limits and certificates that nobody trusts: try it first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// Where the authority writes to when something is wrong with your certificates.
    #[schemars(regex(pattern = r"^[^@\s]+@[^@\s]+\.[^@\s.]+$"), example = "admin@company.com")]
    pub email: String,
    /// The ingress class by which the authority is answered over HTTP (HTTP-01): it must reach port 80 from the
    /// internet. Default: that of ingress-nginx where it is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub ingress_class: Option<String>,
    /// The Gateway by which the authority is answered over HTTP (HTTP-01), in place of an ingress class: its listener on
    /// port 80 must let in routes from all namespaces. Needs `gateway_api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Gateway")]
    pub gateway: Option<Gateway>,
    /// The authority is answered by DNS at Cloudflare (DNS-01).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Cloudflare")]
    pub cloudflare: Option<Cloudflare>,
    /// The authority is answered by DNS at AWS Route 53 (DNS-01).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Route53")]
    pub route53: Option<Route53>,
    /// The DNS servers that tell whether an answer can be seen from outside, `ADDRESS:PORT`. Default: those of the
    /// cluster, which are the wrong ones where your own give other answers inside than outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(regex(pattern = r"^[0-9A-Za-z.-]+:[0-9]{1,5}$")))]
    pub nameservers: Vec<String>,
    /// The directory of the authority behind `acme-production`.
    #[serde(default = "production")]
    #[schemars(regex(pattern = r"^https://[^\s]+$"))]
    pub server: String,
    /// The directory of the authority behind `acme-staging`.
    #[serde(default = "staging")]
    #[schemars(regex(pattern = r"^https://[^\s]+$"))]
    pub staging_server: String,
}

// https://letsencrypt.org/docs/acme-protocol-updates/ and https://letsencrypt.org/docs/staging-environment/
fn production() -> String {
    String::from("https://acme-v02.api.letsencrypt.org/directory")
}

fn staging() -> String {
    String::from("https://acme-staging-v02.api.letsencrypt.org/directory")
}

/// A Gateway in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Its name.
    #[schemars(schema_with = "schema::dns_label")]
    pub name: String,
    /// Its namespace.
    #[schemars(schema_with = "schema::dns_label")]
    pub namespace: String,
}

/// DNS at Cloudflare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cloudflare {
    /// An API token that may read zones and edit their DNS.
    pub token: SecretSource,
    /// The zones that are there. Default: all names are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::hosts")]
    pub zones: Vec<String>,
}

/// DNS at AWS Route 53.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route53 {
    /// The region that AWS is asked in; Route 53 is the same in all.
    #[serde(default = "region")]
    #[schemars(regex(pattern = r"^[a-z0-9-]+$"))]
    pub region: String,
    /// The ID of a key that may change the zones' records (`route53:ChangeResourceRecordSets` and such).
    pub access_key: SecretSource,
    /// The secret of that key.
    pub secret_key: SecretSource,
    /// The zones that are there. Default: all names are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::hosts")]
    pub zones: Vec<String>,
}

fn region() -> String {
    String::from("us-east-1")
}
