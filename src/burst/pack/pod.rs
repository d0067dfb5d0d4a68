//! A pod, as far as it matters where it can run.

use std::{collections::BTreeMap, fmt};

use super::{node::Effect, resources::Resources, select::Requirement};

/// The label of a node's name, and so the key of "one a node".
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// The label of a node's zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// A pod, pending or running.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pod {
    /// Unique within its namespace.
    pub name: String,
    pub namespace: String,
    pub labels: BTreeMap<String, String>,
    /// What it asks for, with its init containers and its overhead.
    pub requests: Resources,
    /// Labels that its node must have.
    pub selector: BTreeMap<String, String>,
    /// Required node affinity: its node meets all requirements of at least one of these. Empty: no demand.
    pub affinity: Vec<Vec<Requirement>>,
    pub tolerations: Vec<Toleration>,
    /// Ports of its node that it takes.
    pub ports: Vec<HostPort>,
    /// Topology spread constraints that must hold (`DoNotSchedule`).
    pub spread: Vec<Spread>,
    /// Required pod affinity: must be in one domain with such pods.
    pub near: Vec<Peers>,
    /// Required pod anti-affinity: must not be in one domain with such pods.
    pub apart: Vec<Peers>,
    /// Why it can run on the administrator's own machines only: its data is there.
    pub stays_home: Option<String>,
    /// What makes it anew when it is evicted, such as `ReplicaSet/web-5d4`. None: nothing does.
    pub controller: Option<String>,
    /// Higher first.
    pub priority: i32,
    /// Whether it is a DaemonSet's or a static pod, which come and go with their node.
    pub daemon: bool,
}

impl Pod {
    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// What taints a pod puts up with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Toleration {
    /// None: every key.
    pub key: Option<String>,
    /// None: every value (`Exists`).
    pub value: Option<String>,
    /// None: every effect.
    pub effect: Option<Effect>,
}

/// A port of a node, which one pod has or another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Which of the node's addresses. None: all of them.
    pub ip: Option<String>,
}

impl HostPort {
    /// Whether only the addresses tell them apart.
    pub(super) fn is_alike(&self, other: &HostPort) -> bool {
        (self.port, &self.protocol) == (other.port, &other.protocol)
    }

    /// Whether only one pod of a node can have them. Source: `HostPortInfo.CheckConflict` of Kubernetes' scheduler.
    pub fn overlaps(&self, other: &HostPort) -> bool {
        self.is_alike(other) && (self.ip.is_none() || other.ip.is_none() || self.ip == other.ip)
    }
}

/// `80/TCP`, `10.0.0.1:80/TCP`
impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ip) = &self.ip {
            write!(formatter, "{ip}:")?;
        }
        write!(formatter, "{}/{}", self.port, self.protocol)
    }
}

/// A hard topology spread constraint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spread {
    /// The label whose values are the domains.
    pub key: String,
    /// How many more such pods a domain may have than the one with the fewest.
    pub max_skew: u32,
    /// With fewer domains than this, the one with the fewest pods is taken to have none. One or less asks for nothing.
    pub min_domains: u32,
    /// Which pods of its namespace count.
    pub pods: Vec<Requirement>,
    /// Whether nodes count that the pod's selector and affinity rule out (`nodeAffinityPolicy: Ignore`).
    pub any_labels: bool,
    /// Whether nodes do not count whose taints the pod does not tolerate (`nodeTaintsPolicy: Honor`).
    pub no_taints: bool,
}

impl Spread {
    /// As even as can be, over the values of this label; the rest as Kubernetes' defaults.
    pub fn over(key: &str) -> Spread {
        Spread {
            key: key.to_owned(),
            max_skew: 1,
            min_domains: 1,
            pods: Vec::new(),
            any_labels: false,
            no_taints: false,
        }
    }
}

/// Other pods, and the label whose values are the domains in which they are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peers {
    pub key: String,
    pub pods: Vec<Requirement>,
    /// Where they are; empty: in all namespaces.
    pub namespaces: Vec<String>,
}
