//! Workers in EC2. The doc comments are the reference that users read.

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::yaml::schema;

/// Workers in EC2 for what the machines have no room for. This version checks what is said here, and starts no
/// instances yet. What is begun here must be said in full, so that there are no costs without a limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// The most instances that run at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_instances: Option<u32>,
    /// The most US dollars that they may cost in a calendar month.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub monthly_budget: Option<u32>,
}

impl Burst {
    /// Whether anything is said.
    pub fn is_wanted(&self) -> bool {
        *self != Burst::default()
    }
}
