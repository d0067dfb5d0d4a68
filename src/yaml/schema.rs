//! Schemas for types of other crates, to be named in `#[schemars(schema_with = "…")]`.

use schemars::{Schema, SchemaGenerator, json_schema};

/// [`ipnet::IpNet`]: a network without host bits.
pub fn network(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "network"})
}

/// [`ipnet::Ipv4Net`]: an IPv4 network without host bits.
pub fn ipv4_network(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "ipv4-network"})
}

/// Several [`ipnet::Ipv4Net`], each once.
pub fn ipv4_networks(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": ipv4_network(generator), "uniqueItems": true})
}

/// An IP address or a DNS name.
pub fn host(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "host"})
}

/// IP addresses and DNS names, each once.
pub fn hosts(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": host(generator), "uniqueItems": true})
}

/// A name as RFC 1123 allows it.
pub fn dns_label(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "dns-label"})
}

/// Up to a hundred names as RFC 1123 allows them, each once.
pub fn dns_labels(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": dns_label(generator), "uniqueItems": true, "maxItems": 100})
}

/// [`semver::Version`]: three numbers, and possibly a pre-release.
pub fn version(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "version"})
}

/// A machine through which others are reached: `[USER@]HOST[:PORT]`.
pub fn jump_host(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "jump-host"})
}

/// A schedule as cron(8) has it, of five fields.
pub fn cron(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "cron"})
}
