//! The network in EC2 that workers are in: what an inventory asks for, with every address decided.
//!
//! A VPC with one subnet of workers and one of the gateway in each zone. The gateway is one instance. Machines dial it
//! (WireGuard), so that no port has to be opened where they are. It is the way of workers to the machines, and to the
//! internet: a NAT gateway of AWS would cost more than the workers of a small company. With `connection: vpn` or `routed`
//! there is no such instance, and a NAT gateway.
//!
//! `documents` writes the network for other tools. [`up`] has CloudFormation make it from the same document, and [`Made`]
//! is what came of it; [`destroy`] takes it away again. CloudFormation itself is behind [`Stacks`].

mod destroy;
mod documents;
mod failure;
mod launch;
mod made;
#[cfg(test)]
pub(crate) mod recorded;
mod stacks;
mod up;

use std::net::Ipv4Addr;

use indexmap::IndexMap;
use ipnet::Ipv4Net;
use miette::Diagnostic;
use serde::Serialize;

pub use destroy::{Carriers, Tagged, destroy, standing};
pub use documents::{Format, document};
pub use failure::StackFailure;
pub use launch::template;
pub use made::{Gateway, Made};
pub use stacks::{Blueprint, Event, Stack, Stacks, Status, Updated};
pub use up::{Outcome, Pace, Watch, in_zones, made, state, up};

use crate::inventory::{Connection, ExistingNetwork, Inventory};

/// The tag by which hoist knows what it has made, with the cluster's name as its value.
pub const TAG: &str = "hoist.dev/cluster";
/// Where the gateway listens for WireGuard.
pub const WIREGUARD: u16 = 51820;
/// Room for the gateway and its successor: EC2 keeps five addresses of each subnet for itself.
const GATEWAY_SUBNET: u8 = 28;
/// What a host's network is taken for when nothing is said.
const LAN: u8 = 24;
/// Zones are named by a letter behind the region.
const LETTERS: &str = "abcdefgh";

/// The network, decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Network {
    pub cluster: String,
    pub region: String,
    pub vpc: Ipv4Net,
    pub zones: Vec<Zone>,
    /// The networks of the machines.
    pub lan: Vec<Ipv4Net>,
    /// From where machines dial the gateway.
    pub office: Vec<Ipv4Net>,
    pub gateway_type: String,
    /// How machines and workers reach each other.
    pub connection: Connection,
    /// The office's end of a VPN.
    pub vpn_device: Option<Ipv4Addr>,
    /// A network that is there already: then nothing is made.
    pub existing: Option<ExistingNetwork>,
    /// On everything, hoist's own among them.
    pub tags: IndexMap<String, String>,
}

/// An availability zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Zone {
    pub name: String,
    /// Where workers are. No address of it is reached from the internet.
    pub workers: Ipv4Net,
    /// Where what has an address in the internet may be: the gateway, or NAT. Nothing where the network is there already.
    pub gateway: Option<Ipv4Net>,
}

/// Why there is no such network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum Error {
    #[error("the inventory asks for no workers in EC2")]
    #[diagnostic(help("say `region` and `subnets` in `burst`: inventory/burst.yaml is a sample"))]
    NotWanted,
    #[error("the VPC {vpc} has no room for the gateway's subnets beside those of the workers")]
    #[diagnostic(help(
        "set `burst.vpc` to a larger network, or `burst.gateway_subnets` to free ones in it, a /{GATEWAY_SUBNET} each"
    ))]
    NoRoom { vpc: Ipv4Net },
    #[error("the VPC {vpc} and {what} {net} overlap")]
    #[diagnostic(help(
        "set `burst.subnets`, or `burst.vpc`, to networks that nothing else uses; the VPC is the smallest that holds all \
         subnets when nothing else is said"
    ))]
    Overlap { vpc: Ipv4Net, what: &'static str, net: Ipv4Net },
    #[error("the inventory names a network that is there already: there is nothing to make")]
    #[diagnostic(help("leave `burst.existing` out if hoist should make one"))]
    Existing,
}

impl Network {
    /// What a verified inventory asks for.
    ///
    /// # Errors
    /// [`Error`].
    pub fn of(inventory: &Inventory) -> Result<Network, Error> {
        let burst = &inventory.burst;
        let region = burst.region.clone().filter(|_| !burst.subnets.is_empty()).ok_or(Error::NotWanted)?;
        let zones = zones(&region, &burst.zones, burst.subnets.len());
        let vpc = burst.vpc.unwrap_or_else(|| around(&burst.subnets, &burst.gateway_subnets));
        let gateways: Vec<Option<Ipv4Net>> = match burst.gateway_subnets.len() {
            _ if burst.existing.is_some() => vec![None; zones.len()],
            0 => free(vpc, &burst.subnets, zones.len()).ok_or(Error::NoRoom { vpc })?,
            _ => burst.gateway_subnets.iter().copied().map(Some).collect(),
        };
        let lan = lan(inventory);
        if burst.existing.is_none() {
            apart(vpc, &lan, inventory)?;
        }
        let zones = zones.into_iter().zip(&burst.subnets).zip(gateways);
        let mut tags = burst.tags.clone();
        tags.insert(TAG.to_owned(), inventory.cluster.name.clone());
        Ok(Network {
            cluster: inventory.cluster.name.clone(),
            region,
            vpc,
            zones: zones
                .map(|((name, workers), gateway)| Zone { name, workers: *workers, gateway })
                .collect(),
            lan,
            office: burst.office.clone(),
            gateway_type: burst.gateway_type.clone(),
            connection: burst.connection,
            vpn_device: burst.vpn_device,
            existing: burst.existing.clone(),
            tags,
        })
    }

    /// The stack of CloudFormation that the network is, one for each name of a cluster in an account and region.
    pub fn stack(&self) -> String {
        format!("hoist-burst-{}", self.cluster)
    }
}

/// What is inside of the VPC is never looked for outside of it.
fn apart(vpc: Ipv4Net, lan: &[Ipv4Net], inventory: &Inventory) -> Result<(), Error> {
    let network = &inventory.cluster.network;
    let machines = lan.iter().map(|&net| ("the machines' network", net));
    let others = [("the pods' network", network.pods), ("the services' network", network.services)];
    let overlaps = |net: &Ipv4Net| net.contains(&vpc) || vpc.contains(net);
    match machines.chain(others).find(|(_, net)| overlaps(net)) {
        Some((what, net)) => Err(Error::Overlap { vpc, what, net }),
        None => Ok(()),
    }
}

/// The availability zones of so many subnets: those that are said, or else the first of the region.
pub fn zones(region: &str, said: &[String], number: usize) -> Vec<String> {
    if !said.is_empty() {
        return said.to_vec();
    }
    LETTERS.chars().take(number).map(|letter| format!("{region}{letter}")).collect()
}

/// The smallest network that holds all of these, and room for the gateway's subnets where none are said.
fn around(workers: &[Ipv4Net], gateways: &[Ipv4Net]) -> Ipv4Net {
    let all: Vec<Ipv4Net> = workers.iter().chain(gateways).copied().collect();
    let mut around = all.first().copied().unwrap_or_default();
    let fits = |around: &Ipv4Net| {
        all.iter().all(|one| around.contains(one))
            && (!gateways.is_empty() || free(*around, workers, workers.len()).is_some())
    };
    while !fits(&around) {
        let Some(larger) = around.supernet() else { break };
        around = larger;
    }
    around
}

/// The first subnets of the gateway's size that nothing is in.
fn free(vpc: Ipv4Net, taken: &[Ipv4Net], number: usize) -> Option<Vec<Option<Ipv4Net>>> {
    let parts = vpc.subnets(GATEWAY_SUBNET).ok()?;
    let overlaps = |part: &Ipv4Net| taken.iter().any(|one| one.contains(part) || part.contains(one));
    let found: Vec<_> = parts.filter(|part| !overlaps(part)).take(number).map(Some).collect();
    (found.len() == number).then_some(found)
}

fn lan(inventory: &Inventory) -> Vec<Ipv4Net> {
    if !inventory.burst.lan.is_empty() {
        return inventory.burst.lan.clone();
    }
    let around = |address: Ipv4Addr| Ipv4Net::new_assert(address, LAN).trunc();
    let mut all: Vec<Ipv4Net> = inventory.hosts.values().map(|host| around(host.address)).collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;

    fn network(burst: &str) -> Result<Network, Error> {
        let text = format!(
            "cluster: {{name: office, kubernetes: \"1.36.2\", network: {{pods: 100.64.0.0/10, services: 10.96.0.0/12}}}}\n\
             hosts:\n  a: {{address: 192.168.18.201, roles: [control-plane]}}\n  b: {{address: 192.168.18.9, roles: [worker]}}\n\
             \x20 c: {{address: 10.20.0.5, roles: [worker]}}\n\
             burst: {{region: eu-central-1, max_instances: 10, monthly_budget: 200, {burst}}}\n"
        );
        Network::of(&inventory::parse("test", &text).unwrap().inventory)
    }

    fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn addresses_are_decided_from_the_subnets_alone() {
        let made = network("subnets: [172.16.0.0/22, 172.16.4.0/22, 172.16.8.0/22]").unwrap();
        assert_eq!(made.vpc.to_string(), "172.16.0.0/20");
        let zones: Vec<&str> = made.zones.iter().map(|zone| zone.name.as_str()).collect();
        assert_eq!(zones, ["eu-central-1a", "eu-central-1b", "eu-central-1c"]);
        let gateways: Vec<Ipv4Net> = made.zones.iter().filter_map(|zone| zone.gateway).collect();
        assert_eq!(gateways, nets(&["172.16.12.0/28", "172.16.12.16/28", "172.16.12.32/28"]));
        assert_eq!(made.lan, nets(&["10.20.0.0/24", "192.168.18.0/24"]));
        assert_eq!(made.tags["hoist.dev/cluster"], "office");
    }

    #[test]
    fn a_vpc_that_the_subnets_fill_grows_for_the_gateway() {
        let made = network("subnets: [172.16.0.0/22]").unwrap();
        assert_eq!(made.vpc.to_string(), "172.16.0.0/21");
        assert_eq!(made.zones[0].gateway, "172.16.4.0/28".parse().ok());
    }

    #[test]
    fn what_is_said_is_taken() {
        let made = network(
            "subnets: [172.16.0.0/24], gateway_subnets: [172.16.1.0/28], zones: [eu-central-1c], vpc: 172.16.0.0/16, \
             lan: [192.168.0.0/16], tags: {owner: ops}",
        )
        .unwrap();
        assert_eq!(
            (made.vpc.to_string(), made.zones[0].name.as_str()),
            ("172.16.0.0/16".into(), "eu-central-1c")
        );
        assert_eq!(made.lan, nets(&["192.168.0.0/16"]));
        assert_eq!(made.tags.len(), 2);
    }

    /// The subnets do not overlap anything, but the network around them does.
    #[test]
    fn a_vpc_over_the_machines_is_refused() {
        let wide = network("subnets: [10.20.128.0/24, 10.21.0.0/24]").unwrap_err();
        assert_eq!(wide.to_string(), "the VPC 10.20.0.0/15 and the machines' network 10.20.0.0/24 overlap");
    }

    #[test]
    fn a_vpc_without_room_is_named() {
        let full = "subnets: [172.16.0.0/24], vpc: 172.16.0.0/24";
        assert_eq!(network(full), Err(Error::NoRoom { vpc: "172.16.0.0/24".parse().unwrap() }));
        // Which needs none where nothing is made.
        let existing = "connection: routed, existing: {subnets: [subnet-1], security_groups: [sg-1]}";
        assert_eq!(network(&format!("{full}, {existing}")).unwrap().zones[0].gateway, None);
    }
}
