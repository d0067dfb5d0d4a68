//! Settings of the monitoring of clients' networks.

use std::net::Ipv4Addr;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{inventory::SecretSource, yaml::schema};

/// Settings of the monitoring of clients' networks: each client has Telegraf, InfluxDB 2 and Grafana of its own, in a
/// namespace of its own that no other client's can reach.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Monitoring {
    /// The clients by name, which is also the name of the namespace.
    #[schemars(extend("minProperties" = 1, "propertyNames" = {"format": "dns-label"}))]
    pub clients: IndexMap<String, Client>,
    /// The storage class of all volumes. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::dns_label")]
    pub storage_class: Option<String>,
}

/// What is measured for a client, and how long it is kept.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Client {
    /// What is asked by SNMP, by name.
    #[schemars(extend("propertyNames" = {"format": "dns-label"}))]
    pub devices: IndexMap<String, Device>,
    /// IPv4 addresses that are pinged, four times each.
    #[schemars(extend("uniqueItems" = true))]
    pub ping: Vec<Ipv4Addr>,
    /// Seconds from one measurement to the next.
    #[schemars(range(min = 10, max = 3600))]
    pub interval: u32,
    /// Days that measurements are kept.
    #[schemars(range(min = 1, max = 3650))]
    pub retention: u32,
    /// The size of the database's volume.
    #[schemars(regex(pattern = "^[1-9][0-9]*[GT]i$"))]
    pub volume: String,
    /// The DNS name of the client's Grafana, through ingress-nginx. Default: none; `kubectl port-forward` leads there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::host")]
    pub host: Option<String>,
    /// The password of Grafana's `admin`. Default: one that is made up once and kept in the Secret `grafana`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
}

impl Default for Client {
    fn default() -> Self {
        Client {
            devices: IndexMap::new(),
            ping: Vec::new(),
            interval: 60,
            retention: 30,
            volume: String::from("10Gi"),
            host: None,
            password: None,
        }
    }
}

/// A device that answers SNMP v2c.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Device {
    pub address: Ipv4Addr,
    /// The UDP port that it answers on.
    #[serde(default = "snmp_port")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Its community: without quotes, backslashes, dollar signs and line breaks.
    pub community: SecretSource,
}

fn snmp_port() -> u16 {
    161
}
