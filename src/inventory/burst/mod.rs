//! Workers in EC2. The doc comments are the reference that users read.

mod instances;

use std::net::Ipv4Addr;

use indexmap::IndexMap;
use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use instances::{Architecture, Capacity, Image, Instances, Range, System};

use crate::yaml::schema;

/// Workers in EC2 for what the machines have no room for: `hoist burst run` rents them, and gives them back. What is begun
/// here must be said in full, so that there are no costs without a limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Burst {
    /// The region of AWS, such as `eu-central-1`; none in China or of the government of the United States.
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
    /// A network that is there already, instead of one that `hoist burst up` makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub existing: Option<ExistingNetwork>,
    /// How machines and instances reach each other.
    pub connection: Connection,
    /// The address of the office's own VPN device, where `connection` is `vpn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpn_device: Option<Ipv4Addr>,
    /// How instances may be paid for. Without `spot` they cost about three times as much and are never taken back.
    #[schemars(extend("uniqueItems" = true, "minItems" = 1))]
    pub capacity: Vec<Capacity>,
    /// Which types of instances may be rented.
    pub instances: Instances,
    /// What types of instances cost on demand, in US dollars an hour. Default: AWS' price list is asked; say it where your
    /// company allows nobody to. A type that is not here is then not rented on demand.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("examples" = [{"m7i.large": 0.1197}], "additionalProperties" = {"type": "number", "minimum": 0.0001}))]
    pub prices: IndexMap<String, f64>,
    /// What the instances boot.
    pub image: Image,
    /// The size of an instance's disk, in GiB. It is a gp3 volume, encrypted. The budgets count it with 0.10 US dollars a GiB and
    /// month.
    #[schemars(range(min = 10, max = 16384))]
    pub disk: u32,
    /// Labels on each rented node.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, String>,
    /// Taints that each rented node keeps, as in `kubectl taint`. Only pods that tolerate them are a reason to rent; with
    /// `[]` all pods are.
    pub taints: Vec<String>,
    /// A script for /bin/sh that each instance runs before it joins, as root. What it prints is on the instance's console;
    /// a status other than 0 keeps the instance from joining. No place for secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// How long a pod waits before an instance is rented for it, in seconds.
    pub after_seconds: u32,
    /// How long an instance stays when nothing runs on it, in minutes.
    pub idle_minutes: u32,
    /// How old an instance becomes, in hours; then another takes its place.
    #[schemars(range(min = 1))]
    pub lifetime_hours: u32,
    /// The most instances that run at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_instances: Option<u32>,
    /// The most vCPUs that they may have together.
    #[schemars(range(min = 1))]
    pub max_vcpus: u32,
    /// The most US dollars that they may cost in an hour, with their disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01))]
    pub hourly_budget: Option<f64>,
    /// The most US dollars that they may cost in a calendar month, with their disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub monthly_budget: Option<u32>,
}

/// A VPC that somebody else has made, and looks after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExistingNetwork {
    /// The subnets of the instances, one for each of `subnets`, in its order.
    #[schemars(extend("minItems" = 1), inner(regex(pattern = r"^subnet-[0-9a-f]+$")))]
    pub subnets: Vec<String>,
    /// The security groups of the instances: the machines must reach kubelets (TCP 10250) and the pods' network.
    #[schemars(extend("minItems" = 1), inner(regex(pattern = r"^sg-[0-9a-f]+$")))]
    pub security_groups: Vec<String>,
    /// The name of the instances' instance profile; without it they have none. The policy that `hoist burst plan` prints takes
    /// its role to have the same name, as EC2's console makes them: change it there where the role has another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_profile: Option<String>,
    /// The key that disks are encrypted with. Default: the account's own key for EBS. For spot instances the key's policy has to
    /// let `AWSServiceRoleForEC2Spot` use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
}

/// How machines and instances reach each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Connection {
    /// Machines dial a small instance of hoist's, with WireGuard: nothing has to be opened where they are.
    #[default]
    Gateway,
    /// AWS' Site-to-Site VPN, to a device of the office that somebody else sets up; about 36 US dollars a month.
    Vpn,
    /// They reach each other already, over Direct Connect or a VPN that is there.
    Routed,
}

/// So that nobody's pods come to be in EC2 unasked.
const TAINT: &str = "hoist.dev/burst=true:NoSchedule";

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
            existing: None,
            connection: Connection::Gateway,
            vpn_device: None,
            capacity: vec![Capacity::Spot, Capacity::OnDemand],
            instances: Instances::default(),
            prices: IndexMap::new(),
            image: Image::default(),
            disk: 30,
            labels: IndexMap::new(),
            taints: vec![TAINT.to_owned()],
            script: None,
            after_seconds: 15,
            idle_minutes: 5,
            lifetime_hours: 24,
            max_instances: None,
            max_vcpus: 32,
            hourly_budget: None,
            monthly_budget: None,
        }
    }
}

impl Burst {
    /// Whether anything is said.
    pub fn is_wanted(&self) -> bool {
        *self != Burst::default()
    }

    /// Whether machines and instances meet at a gateway of hoist's.
    pub fn has_gateway(&self) -> bool {
        self.is_wanted() && self.connection == Connection::Gateway && self.existing.is_none()
    }
}
