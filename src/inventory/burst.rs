//! Workers in EC2. The doc comments are the reference that users read.

use indexmap::IndexMap;
use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::yaml::schema;

/// Workers in EC2 for what the machines have no room for. This version checks what is said here, shows the network that it
/// needs, and starts no instances yet. What is begun here must be said in full, so that there are no costs without a limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Burst {
    /// The region of AWS, such as `eu-central-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"), extend("examples" = ["eu-central-1"]))]
    pub region: Option<String>,
    /// The networks that the instances are in, one for each availability zone; between /16 and /28.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::ipv4_networks")]
    pub subnets: Vec<Ipv4Net>,
    /// The networks that the gateway between here and there may be in, one for each of `subnets`, in its order; a /28 is
    /// enough. Needed where the VPC is made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::ipv4_networks")]
    pub gateway_subnets: Vec<Ipv4Net>,
    /// The availability zones of `subnets`, in their order. Default: the first of the region, `a`, `b`, `c`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("uniqueItems" = true), inner(regex(pattern = r"^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$")))]
    pub zones: Vec<String>,
    /// The network of the VPC, between /16 and /28. Default: the smallest that holds all subnets.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::ipv4_network")]
    pub vpc: Option<Ipv4Net>,
    /// The networks of the machines, which the instances must reach. Default: the /24 around each host's address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::ipv4_networks")]
    pub lan: Vec<Ipv4Net>,
    /// From where the machines dial the gateway: the office's public addresses. Default: anywhere, because many offices
    /// have no fixed one; WireGuard answers nobody without a key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::ipv4_networks")]
    pub office: Vec<Ipv4Net>,
    /// The type of the gateway's instance.
    #[schemars(regex(pattern = r"^[a-z0-9-]+\.[a-z0-9-]+$"))]
    pub gateway_type: String,
    /// Tags on everything that is made, beside hoist's own.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub tags: IndexMap<String, String>,
    /// The most instances that run at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_instances: Option<u32>,
    /// The most US dollars that they may cost in a calendar month.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub monthly_budget: Option<u32>,
}

impl Default for Burst {
    fn default() -> Burst {
        Burst {
            region: None,
            subnets: Vec::new(),
            gateway_subnets: Vec::new(),
            zones: Vec::new(),
            vpc: None,
            lan: Vec::new(),
            office: Vec::new(),
            gateway_type: String::from("t4g.nano"),
            tags: IndexMap::new(),
            max_instances: None,
            monthly_budget: None,
        }
    }
}

impl Burst {
    /// Whether anything is said.
    pub fn is_wanted(&self) -> bool {
        *self != Burst::default()
    }
}
