//! How hosts reach what is outside of the cluster. The doc comments are the reference that users read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Inventory;

/// The proxy through which hosts reach the internet: containerd and the package manager use it, and what fetches files there
/// (`artifacts.from: origin`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Proxy {
    /// For `http://` addresses: `http://proxy.office.lan:3128`. Without a user or password, which everybody on the
    /// hosts could read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// For `https://` addresses. Default: what `http` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<String>,
    /// What is reached directly besides the hosts, the endpoint, and the networks of pods and services: addresses,
    /// networks, host names, and domains with a dot before them.
    #[schemars(extend("uniqueItems" = true), inner(regex(pattern = r"^[A-Za-z0-9.:/*-]+$")))]
    pub no_proxy: Vec<String>,
}

/// A server that is asked for images of a registry before the registry itself is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Its address: `https://mirror.office.lan:5000`. `/v2` comes after it by itself.
    pub url: String,
    /// The certificate of the authority that signed the mirror's own, as PEM text. Default: the authorities that the
    /// host trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Takes any certificate. Whoever sits between can replace images: better name the `ca`.
    #[serde(default)]
    pub skip_verify: bool,
    /// `url` is the whole address, for servers that have a path before or in place of `/v2`.
    #[serde(default)]
    pub override_path: bool,
    /// What the mirror is asked for. Without `resolve` it gives layers, and the registry itself says which image a
    /// tag is.
    #[serde(default = "pull_and_resolve")]
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub capabilities: Vec<Capability>,
}

/// What a mirror is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// The content of images.
    Pull,
    /// Which image a tag is.
    Resolve,
}

fn pull_and_resolve() -> Vec<Capability> {
    vec![Capability::Pull, Capability::Resolve]
}

impl Proxy {
    /// The proxies for `http://` and for `https://` addresses.
    pub fn addresses(&self) -> (Option<&str>, Option<&str>) {
        let http = self.http.as_deref();
        (http, self.https.as_deref().or(http))
    }
}

impl Inventory {
    /// What hosts reach without the proxy: themselves, each other, the API server, pods, services, and what the
    /// inventory adds. Each once.
    pub fn reached_directly(&self) -> Vec<String> {
        let network = &self.cluster.network;
        let mut all: Vec<String> =
            ["localhost", "127.0.0.0/8", "::1", ".svc", ".cluster.local"].map(String::from).to_vec();
        all.extend([network.pods.to_string(), network.services.to_string()]);
        all.extend(self.endpoint().map(|(address, _)| address));
        all.extend(self.hosts.iter().flat_map(|(name, host)| [host.address.to_string(), name.clone()]));
        all.extend(self.cluster.proxy.iter().flat_map(|proxy| proxy.no_proxy.iter().cloned()));
        let mut seen = std::collections::HashSet::new();
        all.retain(|entry| seen.insert(entry.clone()));
        all
    }
}
