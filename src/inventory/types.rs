//! What an inventory can say. The doc comments are the reference that users read.

use std::{collections::BTreeSet, net::Ipv4Addr, path::PathBuf};

use indexmap::IndexMap;
use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::{
    addons::{Addons, Wanted},
    burst::Burst,
    cluster::{Cluster, Etcd, KubeadmAddon},
    disk::Disk,
    jump::Jump,
    role_vars::RoleVars,
};
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
    /// The places where machines stand, such as server rooms, so that losing one of them is survived.
    #[serde(default)]
    #[schemars(schema_with = "schema::dns_labels")]
    pub sites: Vec<String>,
    /// The machines, by the name that they will have as nodes: lower-case letters, digits and hyphens. At most
    /// 5000, which is as many as Kubernetes is made for.
    #[schemars(extend(
        "minProperties" = 1,
        "maxProperties" = 5000,
        "propertyNames" = {"format": "dns-label"}
    ))]
    pub hosts: IndexMap<String, Host>,
    /// What is installed into the cluster.
    #[serde(default)]
    pub addons: Addons,
    /// Workers in EC2 for what the machines have no room for. Empty: none.
    #[serde(default)]
    pub burst: Burst,
    /// Values for roles. A host's own `vars` win: what it says of a name takes the place of all that is said of it here.
    #[serde(default)]
    #[schemars(with = "RoleVars")]
    pub vars: Map<String, Json>,
}

/// How a host is reached over SSH. What is left out is taken from `~/.ssh/config`, where the host stands under its
/// address or its name; and then from the defaults.
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
    /// The file of the private key; `~` is your home. A certificate is taken from `KEY-cert.pub` beside it. Default:
    /// the keys of ssh-agent, then `id_ed25519`, `id_ecdsa` and `id_rsa` in `~/.ssh`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// How the user becomes root. Default: `root` when the user is root, else `sudo`.
    #[serde(rename = "become", skip_serializing_if = "Option::is_none")]
    pub becoming: Option<Become>,
    /// The jump hosts through which the host is reached: `[USER@]HOST[:PORT]`, or a list of such, the first one first.
    /// `none` is none. A host that is named here itself is reached without it. Keys, known hosts and times are
    /// those of the hosts, unless `~/.ssh/config` has others for the jump host. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jump: Option<Jump>,
    /// The file with the hosts' public keys, in OpenSSH's format. Default: `~/.ssh/known_hosts`, then
    /// `/etc/ssh/ssh_known_hosts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<PathBuf>,
    /// The file to read in place of `~/.ssh/config` and `/etc/ssh/ssh_config`; `none` to read none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// The most seconds for each step of connecting: TCP, key exchange, a login attempt, the root shell. Default: 15.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub connect_timeout: Option<u32>,
    /// After so many seconds without a sign of life a host is asked for one; after three such questions without an
    /// answer the connection counts as lost. Default: 15.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub keepalive: Option<u32>,
    /// The network namespace on this machine from which the host, or the first jump host, can be reached, as
    /// `ip netns` names it. Default: the one that hoist runs in.
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
    /// How files get to the hosts.
    pub from: ArtifactsFrom,
    /// The address of a web server's folder that has the same files under the same paths as `folder`: there hosts fetch
    /// them, with curl or wget. What a host cannot fetch comes as `from` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        regex(pattern = r"^https?://[^/@\s]+(/[^\s]*)?$"),
        extend("examples" = ["http://files.example.com/hoist"])
    )]
    pub url: Option<String>,
    /// Where hosts get the packages of their operating system.
    pub packages: Packages,
    /// Helm charts to have at hand beside those of the add-ons. One with the name of an add-on's chart takes its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<Chart>,
    /// Container images to have at hand beside those of Kubernetes and of the add-ons: `REGISTRY/REPOSITORY:TAG`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(regex(pattern = r"^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+:[A-Za-z0-9_][A-Za-z0-9._-]*$")), extend("uniqueItems" = true))]
    pub images: Vec<String>,
}

impl Default for Artifacts {
    fn default() -> Self {
        Artifacts {
            folder: PathBuf::from("~/.cache/hoist/artifacts"),
            bundle: None,
            from: ArtifactsFrom::default(),
            url: None,
            packages: Packages::Repositories,
            charts: Vec::new(),
            images: Vec::new(),
        }
    }
}

/// How files get to the hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactsFrom {
    /// This machine sends each file once to each site, and hosts of a site pass it on to each other. They need socat,
    /// which hoist installs, and one of the TCP ports 30000 to 32767 on each other; where they cannot, this machine sends.
    #[default]
    Peers,
    /// This machine sends each file to each host.
    Installer,
    /// Each host fetches for itself what `hoist.lock` has an address for, from there, with curl or wget and by
    /// `cluster.proxy`: the official releases, and packages where they are pinned. What a host cannot fetch, and images,
    /// come as with `peers`.
    Origin,
}

/// Where hosts get the packages of their operating system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Packages {
    /// From the repositories that they are configured with.
    #[default]
    Repositories,
    /// From the artifacts: `hoist lock` pins them, and no host needs a repository.
    Pinned,
}

/// A Helm chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chart {
    /// What its repository calls it.
    #[schemars(schema_with = "schema::dns_label")]
    pub name: String,
    /// Exactly as the repository writes it, such as `v1.21.1` or `4.15.1`.
    #[schemars(regex(pattern = r"^v?[0-9]+\.[0-9]+\.[0-9]+([-+][A-Za-z0-9.+-]+)?$"))]
    pub version: String,
    /// The address of the repository: `https://…`, or `oci://REGISTRY/PATH` without the chart's name.
    #[schemars(regex(pattern = r"^(https|oci)://[^\s@]+$"))]
    pub repository: String,
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
    /// Where it stands: one of `sites`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Labels of the node, as in `kubectl label`. One that is changed here is changed there, and one that is taken out here is
    /// taken away; those that somebody else gave stay.
    #[serde(default)]
    pub labels: IndexMap<String, String>,
    /// Taints of the node, as in `kubectl taint`: `key=value:Effect` or `key:Effect`. They follow changes as labels do.
    #[serde(default)]
    pub taints: Vec<String>,
    /// The part of the pod network that this host takes. Default: the /24 that its address points to, so that
    /// 10.77.0.11 takes 10.244.11.0/24 of 10.244.0.0/16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::ipv4_network")]
    pub pod_subnet: Option<Ipv4Net>,
    /// Disks for volumes, on a host with the role `storage`.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// How this host is reached, where it differs from the others.
    #[serde(default)]
    pub ssh: Ssh,
    /// Values for roles on this host.
    #[serde(default)]
    #[schemars(with = "RoleVars")]
    pub vars: Map<String, Json>,
}

/// What a host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs a member of etcd, when `cluster.etcd` is `external`. Alone: the host is no node.
    Etcd,
    /// Runs the API server, the controllers and the scheduler, and etcd when `cluster.etcd` is `stacked`.
    ControlPlane,
    /// Runs what users deploy. Together with `control-plane`: the node takes both.
    Worker,
    /// Keeps the replicas of volumes.
    Storage,
}

impl Role {
    /// The name in an inventory.
    pub fn name(self) -> &'static str {
        match self {
            Role::Etcd => "etcd",
            Role::ControlPlane => "control-plane",
            Role::Worker => "worker",
            Role::Storage => "storage",
        }
    }
}

impl Host {
    /// Whether the inventory gives it this role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether it becomes a node of the cluster: not so with members of etcd that are nothing else.
    pub fn is_node(&self) -> bool {
        self.roles.iter().any(|role| *role != Role::Etcd)
    }
}

impl Inventory {
    /// The hosts with a role, in the order of the file.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = (&str, &Host)> {
        self.hosts.iter().filter(move |(_, host)| host.has(role)).map(|(name, host)| (name.as_str(), host))
    }

    /// The role whose hosts run the members of etcd.
    pub fn etcd_role(&self) -> Role {
        match self.cluster.etcd {
            Etcd::Stacked => Role::ControlPlane,
            Etcd::External => Role::Etcd,
        }
    }

    /// Milliseconds between two signs of life of etcd's leader, and until another is elected without them, where
    /// `vars.etcd` says nothing: etcd's own, and longer ones where its members are at several sites.
    pub fn etcd_times(&self) -> (i64, i64) {
        let sites = self.with_role(self.etcd_role()).map(|(_, host)| &host.site);
        if sites.collect::<BTreeSet<_>>().len() > 1 { (250, 2500) } else { (100, 1000) }
    }

    /// Where those members keep their data. Where etcd is a role of its own that is a folder of hoist's, so that neither
    /// kubeadm's reset nor a package's service ever takes it for theirs.
    pub fn etcd_folder(&self) -> &'static str {
        match self.cluster.etcd {
            Etcd::Stacked => "/var/lib/etcd",
            Etcd::External => "/var/lib/etcd-external",
        }
    }

    /// Address and port at which nodes reach the API server; `None` only when there is no control-plane host, which a
    /// verified inventory has.
    pub fn endpoint(&self) -> Option<(String, u16)> {
        let endpoint = &self.cluster.endpoint;
        if endpoint.local {
            return Some((Ipv4Addr::LOCALHOST.to_string(), endpoint.port));
        }
        let address = match self.shared_address() {
            Some(address) => address,
            None => self.with_role(Role::ControlPlane).next()?.1.address.to_string(),
        };
        Some((address, endpoint.port))
    }

    /// Address and port at which the API server is reached from outside of the cluster. Where nothing leads to all
    /// control planes, that is the API server of `speaker`, a control plane that lives: the balancer before it leads to
    /// the others as well, whose certificates have their own addresses and not this one.
    pub fn outer_endpoint(&self, speaker: &str) -> Option<(String, u16)> {
        let endpoint = &self.cluster.endpoint;
        match (self.shared_address(), self.hosts.get(speaker)) {
            (None, Some(host)) if endpoint.local => Some((host.address.to_string(), self.api_port())),
            (Some(address), _) => Some((address, endpoint.port)),
            _ => self.endpoint(),
        }
    }

    /// The address that leads to all control planes, as far as the inventory says.
    pub fn shared_address(&self) -> Option<String> {
        let endpoint = &self.cluster.endpoint;
        endpoint.vip.map(|vip| vip.to_string()).or_else(|| endpoint.address.clone())
    }

    /// Whether a balancer of hoist's own runs on this host.
    pub fn balances(&self, host: &Host) -> bool {
        let endpoint = &self.cluster.endpoint;
        host.is_node() && (endpoint.local || endpoint.vip.is_some() && host.has(Role::ControlPlane))
    }

    /// The port that API servers themselves listen on. Where balancers stand before them, those have the endpoint's
    /// port, on the same hosts.
    pub fn api_port(&self) -> u16 {
        let endpoint = &self.cluster.endpoint;
        if endpoint.is_balanced() { endpoint.port.saturating_add(1) } else { endpoint.port }
    }

    /// The add-ons that shall be installed, by name: those that are asked for, and the network plugin where it is one.
    pub fn wanted(&self) -> Vec<Wanted> {
        let mut addons = self.addons.clone();
        addons.cilium = self.cilium();
        addons.wanted()
    }

    /// The add-ons of kubeadm that are left out: those that the inventory names, and kube-proxy where Cilium replaces it.
    pub fn skipped_addons(&self) -> Vec<KubeadmAddon> {
        let mut skipped = self.cluster.skip_addons.clone();
        let replaced = self.cilium().is_some_and(|cilium| cilium.kube_proxy_replacement);
        if replaced && !skipped.contains(&KubeadmAddon::KubeProxy) {
            skipped.push(KubeadmAddon::KubeProxy);
        }
        skipped
    }

    /// The values that roles see on a host: the inventory's, and the host's own over them, key by key.
    pub fn vars(&self, host: &Host) -> Map<String, Json> {
        let mut vars = self.vars.clone();
        vars.extend(host.vars.iter().map(|(key, value)| (key.clone(), value.clone())));
        vars
    }
}
