//! What an inventory can say about the cluster as a whole. The doc comments are the reference that users read.

use std::net::Ipv4Addr;

use indexmap::IndexMap;
use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::addons::Pool;
use super::failure_detection::FailureDetection;
use super::outside::{Mirror, Proxy};
use super::security::Security;
use crate::yaml::schema;

/// What the cluster is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The cluster's name, as contexts in a kubeconfig show it.
    #[schemars(schema_with = "schema::dns_label")]
    pub name: String,
    /// The Kubernetes version, in quotes: `"1.20.2"`.
    #[serde(with = "super::version::text")]
    #[schemars(schema_with = "schema::version")]
    pub kubernetes: semver::Version,
    /// Where the API server is reached by the nodes and by you.
    #[serde(default)]
    pub endpoint: Endpoint,
    /// Where etcd runs.
    #[serde(default)]
    pub etcd: Etcd,
    /// Whether etcd may have an even number of members, which survives no more losses than one member less: for a cluster
    /// that has lost a host for good, until another takes its place.
    #[serde(default)]
    pub even_etcd: bool,
    /// The cluster's own networks.
    #[serde(default)]
    pub network: Network,
    /// How soon a node that is gone is noticed.
    #[serde(default)]
    pub failure_detection: FailureDetection,
    /// The proxy through which hosts reach the internet. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// Mirrors of image registries, by the registry's name as it stands in images, such as `registry.k8s.io`;
    /// `_default` is every registry without mirrors of its own. They are asked in this order, and at last the registry
    /// itself. Also for a registry that needs a `ca` or has no TLS: name it as its own mirror.
    #[serde(default)]
    pub registries: IndexMap<String, Vec<Mirror>>,
    /// The cluster's defences.
    #[serde(default)]
    pub security: Security,
    /// Preflight checks that kubeadm may fail, by kubeadm's names, such as `ImagePull`.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true), inner(regex(pattern = r"^[A-Za-z0-9_-]+$")))]
    pub ignore_preflight_errors: Vec<String>,
    /// Add-ons of kubeadm that are left out.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub skip_addons: Vec<KubeadmAddon>,
    /// Fields for the KubeletConfiguration of every node, merged over what hoist writes.
    #[serde(default)]
    pub kubelet: Map<String, Json>,
    /// Fields for the KubeProxyConfiguration, merged over what hoist writes.
    #[serde(default)]
    pub kube_proxy: Map<String, Json>,
}

/// Where the API server is reached. With `vip` or `local`, load balancers that hoist installs listen on `port`, and the
/// API servers behind them on the port after it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// An IPv4 address or a DNS name, such as that of a load balancer of your own; without it and without `vip`, the address
    /// of the first control-plane host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::host")]
    pub address: Option<String>,
    /// An IPv4 address that no machine has yet, in the network of the control planes: one of them holds it at a
    /// time (VRRP), and a load balancer there leads to all API servers. Instead of `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<Ipv4Addr>,
    /// Every node has a load balancer of its own, on 127.0.0.1, and needs no other address to find a living API server.
    /// `vip` or `address` are then for you and for whatever else is outside of the cluster.
    #[serde(default)]
    pub local: bool,
    /// The virtual router ID (VRID) of `vip`, which no other VRRP router in the network should have. Default: the last
    /// number of `vip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub virtual_router_id: Option<u8>,
    /// The TCP port of the API server.
    #[serde(default = "default_api_port")]
    #[schemars(range(min = 1))]
    pub port: u16,
}

impl Default for Endpoint {
    fn default() -> Self {
        let port = default_api_port();
        Endpoint { address: None, vip: None, local: false, virtual_router_id: None, port }
    }
}

impl Endpoint {
    /// The virtual router ID of the virtual address, if there is one.
    pub fn router_id(&self) -> Option<u8> {
        let last = self.vip?.octets()[3];
        // 0 is no ID; an address that ends so is usable only in networks larger than a /24.
        Some(self.virtual_router_id.unwrap_or(if last == 0 { u8::MAX } else { last }))
    }

    /// Whether load balancers of hoist's own stand before the API servers.
    pub fn is_balanced(&self) -> bool {
        self.vip.is_some() || self.local
    }
}

fn default_api_port() -> u16 {
    6443
}

/// Where etcd runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Etcd {
    /// On the control-plane hosts, run by kubeadm.
    #[default]
    Stacked,
    /// On the hosts with the role `etcd`, which may be control planes too.
    External,
}

/// The cluster's own networks. They overlap neither each other nor the network of the hosts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Where pods get their addresses; each host takes a /24 of it, and so does each rented one. It cannot be changed later.
    #[schemars(schema_with = "schema::ipv4_network")]
    pub pods: Ipv4Net,
    /// Where services get their addresses; between /12 and /29.
    #[schemars(schema_with = "schema::ipv4_network")]
    pub services: Ipv4Net,
    /// What connects the pods.
    pub plugin: Plugin,
    /// The addresses that DHCP servers of your network hand out, which hoist cannot see: networks, or ranges such as
    /// 192.168.18.50-192.168.18.99. Nothing of the cluster's may be among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dhcp: Vec<Pool>,
}

impl Default for Network {
    fn default() -> Self {
        let network = |a, b, prefix| Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), prefix);
        Network {
            pods: network(10, 244, 16),
            services: network(10, 96, 12),
            plugin: Plugin::default(),
            dhcp: Vec::new(),
        }
    }
}

/// What connects the pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Plugin {
    /// A Linux bridge on each host and routes between the hosts, which are in one layer-2 network.
    #[default]
    Bridge,
    /// Cilium, with an overlay between the hosts. Its settings are those of `addons.cilium`.
    Cilium,
}

/// An add-on that kubeadm installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KubeadmAddon {
    /// The cluster's DNS server.
    Coredns,
    /// What makes the addresses of services work on each node.
    KubeProxy,
}

impl KubeadmAddon {
    /// kubeadm's name for it, as in `--skip-phases addon/<name>`.
    pub fn name(self) -> &'static str {
        match self {
            KubeadmAddon::Coredns => "coredns",
            KubeadmAddon::KubeProxy => "kube-proxy",
        }
    }
}
