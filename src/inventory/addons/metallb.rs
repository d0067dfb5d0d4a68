//! Addresses for services.

use std::{borrow::Cow, fmt, net::Ipv4Addr};

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value as Json};

use crate::{inventory::SecretSource, yaml};

/// Settings of MetalLB.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Metallb {
    /// The addresses that services may get: networks, or ranges such as 192.168.18.230-192.168.18.239. No
    /// machine and no DHCP server may use them.
    pub pools: Vec<Pool>,
    /// Further addresses, by a name that services ask for with the annotation `metallb.io/address-pool`. Those of `pools`
    /// have the name `default`.
    #[schemars(extend("propertyNames" = {"format": "dns-label"}))]
    pub named_pools: IndexMap<String, NamedPool>,
    /// How the network learns where an address is, unless a named pool says otherwise.
    pub protocol: Protocol,
    /// The labels of the nodes that announce addresses. Default: none, that is all nodes but rented ones, and but control
    /// planes where there are other workers.
    pub node_selector: IndexMap<String, String>,
    /// The interfaces that `l2` answers on. Default: all.
    #[schemars(inner(regex(pattern = r"^[^\s/]{1,15}$")), extend("uniqueItems" = true))]
    pub interfaces: Vec<String>,
    /// Gives nobody an address that ends in 0 or 255, which some old devices do not talk to.
    pub avoid_buggy_ips: bool,
    /// The routers, for the protocol `bgp`.
    pub bgp: Bgp,
    /// Values for its Helm chart, merged over those that hoist gives it.
    pub values: Map<String, Json>,
}

impl Default for Metallb {
    fn default() -> Self {
        Metallb {
            pools: Vec::new(),
            named_pools: IndexMap::new(),
            protocol: Protocol::default(),
            node_selector: IndexMap::new(),
            interfaces: Vec::new(),
            avoid_buggy_ips: true,
            bgp: Bgp::default(),
            values: Map::new(),
        }
    }
}

/// Addresses under a name of their own.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedPool {
    /// As `pools`.
    #[schemars(length(min = 1))]
    pub addresses: Vec<Pool>,
    /// How the network learns where they are. Default: as the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Services that ask for nothing may get them, too.
    #[serde(default = "yes")]
    pub auto_assign: bool,
    /// The namespaces whose services may get them. Default: all.
    #[serde(default)]
    #[schemars(schema_with = "yaml::schema::dns_labels")]
    pub namespaces: Vec<String>,
}

fn yes() -> bool {
    true
}

/// How the network learns where an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// One node answers ARP for it: addresses of the nodes' own network.
    #[default]
    L2,
    /// Routers are told by BGP.
    Bgp,
}

/// What is needed to tell routers.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bgp {
    /// The autonomous system number (ASN) of the nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub asn: Option<u32>,
    /// The routers.
    pub peers: Vec<Peer>,
    /// The password of the sessions (TCP MD5), one for all routers. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
}

/// A router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    pub address: Ipv4Addr,
    /// The router's ASN.
    #[schemars(range(min = 1))]
    pub asn: u32,
    /// Its TCP port.
    #[serde(default = "bgp_port")]
    #[schemars(range(min = 1, max = 16384))]
    pub port: u16,
    /// It is not in the nodes' own network.
    #[serde(default)]
    pub multihop: bool,
}

fn bgp_port() -> u16 {
    179
}

impl Metallb {
    /// Every range of addresses: the name of its pool, its place in the settings, and how it is announced.
    pub fn ranges(&self) -> impl Iterator<Item = (&str, Vec<String>, Pool, Protocol)> {
        let own = self.pools.iter().enumerate().map(|(index, range)| {
            ("default", vec!["pools".to_owned(), index.to_string()], *range, self.protocol)
        });
        let named = self.named_pools.iter().flat_map(move |(name, pool)| {
            pool.addresses.iter().enumerate().map(move |(index, range)| {
                let path = ["named_pools", name, "addresses", &index.to_string()].map(str::to_owned);
                (name.as_str(), path.to_vec(), *range, pool.protocol.unwrap_or(self.protocol))
            })
        });
        own.chain(named)
    }
}

/// Consecutive addresses, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    pub first: Ipv4Addr,
    pub last: Ipv4Addr,
}

impl Pool {
    /// Whether an address is one of them.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }
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
