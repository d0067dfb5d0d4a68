//! What an inventory can say. The doc comments are the reference that users read.

use std::{net::Ipv4Addr, path::PathBuf};

use indexmap::IndexMap;
use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::yaml::schema;

/// Everything about one cluster.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// What the cluster is.
    pub cluster: Cluster,
    /// How hosts are reached, unless a host says otherwise.
    #[serde(default)]
    pub ssh: Ssh,
    /// Where the files come from that hosts need.
    #[serde(default)]
    pub artifacts: Artifacts,
    /// The machines, by the name that they will have as nodes: lower-case letters, digits and hyphens.
    #[schemars(extend("minProperties" = 1, "propertyNames" = {"format": "dns-label"}))]
    pub hosts: IndexMap<String, Host>,
    /// Values for roles, under names that the roles document. A host's own `vars` win.
    #[serde(default)]
    pub vars: Map<String, Json>,
}

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
    /// The cluster's own networks.
    #[serde(default)]
    pub network: Network,
    /// Preflight checks that kubeadm may fail, by kubeadm's names, such as `ImagePull`.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true), inner(regex(pattern = r"^[A-Za-z0-9_-]+$")))]
    pub ignore_preflight_errors: Vec<String>,
    /// Add-ons of kubeadm that are left out.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    pub skip_addons: Vec<Addon>,
    /// Fields for the KubeletConfiguration of every node, merged over what hoist writes.
    #[serde(default)]
    pub kubelet: Map<String, Json>,
    /// Fields for the KubeProxyConfiguration, merged over what hoist writes.
    #[serde(default)]
    pub kube_proxy: Map<String, Json>,
}

/// Where the API server is reached.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// An address or a DNS name; without it, the address of the first control-plane host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::host")]
    pub address: Option<String>,
    /// The TCP port of the API server.
    #[serde(default = "default_api_port")]
    #[schemars(range(min = 1))]
    pub port: u16,
}

impl Default for Endpoint {
    fn default() -> Self {
        Endpoint { address: None, port: default_api_port() }
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
}

/// The cluster's own networks. They overlap neither each other nor the network of the hosts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Where pods get their addresses; each host takes a /24 of it.
    #[schemars(schema_with = "schema::ipv4_network")]
    pub pods: Ipv4Net,
    /// Where services get their addresses; between /12 and /29.
    #[schemars(schema_with = "schema::ipv4_network")]
    pub services: Ipv4Net,
    /// What connects the pods.
    pub plugin: Plugin,
}

impl Default for Network {
    fn default() -> Self {
        let network = |a, b, prefix| Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), prefix);
        Network { pods: network(10, 244, 16), services: network(10, 96, 12), plugin: Plugin::default() }
    }
}

/// What connects the pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Plugin {
    /// A Linux bridge on each host and routes between the hosts, which are in one layer-2 network.
    #[default]
    Bridge,
}

/// An add-on that kubeadm installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Addon {
    /// The cluster's DNS server.
    Coredns,
    /// What makes the addresses of services work on each node.
    KubeProxy,
}

impl Addon {
    /// kubeadm's name for it, as in `--skip-phases addon/<name>`.
    pub fn name(self) -> &'static str {
        match self {
            Addon::Coredns => "coredns",
            Addon::KubeProxy => "kube-proxy",
        }
    }
}

/// How a host is reached over SSH.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ssh {
    /// The user to log in as. Default: `root`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub user: Option<String>,
    /// The TCP port of the SSH server. Default: 22.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// The file of the private key; `~` is your home. Default: `~/.ssh/id_ed25519`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// How the user becomes root. Default: `root` when the user is root, else `sudo`.
    #[serde(rename = "become", skip_serializing_if = "Option::is_none")]
    pub becoming: Option<Become>,
    /// The file with the hosts' public keys, in OpenSSH's format. Default: `~/.ssh/known_hosts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<PathBuf>,
    /// The network namespace on this machine from which the hosts can be reached, as `ip netns` names it.
    /// Default: the one that hoist runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub network_namespace: Option<String>,
}

/// How the SSH user becomes root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Become {
    /// By `sudo`.
    Sudo,
    /// Not at all: it is root already.
    Root,
}

/// Where the files come from that hosts need.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Artifacts {
    /// The folder on this machine with binaries and images; `~` is your home.
    pub folder: PathBuf,
    /// A file that `hoist bundle create` made, to be used instead of the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<PathBuf>,
}

impl Default for Artifacts {
    fn default() -> Self {
        Artifacts { folder: PathBuf::from("~/.cache/hoist/artifacts"), bundle: None }
    }
}

/// One machine.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// The IPv4 address at which it is reached, and by which the other nodes know it.
    pub address: Ipv4Addr,
    /// What it is for, at least one thing.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub roles: Vec<Role>,
    /// Labels of the node, as in `kubectl label`.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
    /// Taints of the node, as in `kubectl taint`: `key=value:Effect` or `key:Effect`.
    #[serde(default)]
    pub taints: Vec<String>,
    /// The part of the pod network that this host takes. Default: the /24 that its address points to, so that
    /// 10.77.0.11 takes 10.244.11.0/24 of 10.244.0.0/16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::ipv4_network")]
    pub pod_subnet: Option<Ipv4Net>,
    /// How this host is reached, where it differs from the others.
    #[serde(default)]
    pub ssh: Ssh,
    /// Values for roles on this host.
    #[serde(default)]
    pub vars: Map<String, Json>,
}

/// What a host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs the API server, the controllers, the scheduler and etcd.
    ControlPlane,
    /// Runs what users deploy. Together with `control-plane`: the node takes both.
    Worker,
}

impl Role {
    /// The name in an inventory.
    pub fn name(self) -> &'static str {
        match self {
            Role::ControlPlane => "control-plane",
            Role::Worker => "worker",
        }
    }
}

impl Host {
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

impl Inventory {
    /// The hosts with a role, in the order of the file.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = (&str, &Host)> {
        self.hosts.iter().filter(move |(_, host)| host.has(role)).map(|(name, host)| (name.as_str(), host))
    }

    /// Address and port of the API server; `None` only when there is no control-plane host, which a verified
    /// inventory has.
    pub fn endpoint(&self) -> Option<(String, u16)> {
        let endpoint = &self.cluster.endpoint;
        let address = match &endpoint.address {
            Some(address) => address.clone(),
            None => self.with_role(Role::ControlPlane).next()?.1.address.to_string(),
        };
        Some((address, endpoint.port))
    }

    /// The values that roles see on a host: the inventory's, and the host's own over them, key by key.
    pub fn vars(&self, host: &Host) -> Map<String, Json> {
        let mut vars = self.vars.clone();
        vars.extend(host.vars.iter().map(|(key, value)| (key.clone(), value.clone())));
        vars
    }
}
