//! A network that is there: what launches need of it.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde::Serialize;

use super::{Network, failure::StackFailure};
use crate::inventory::{Connection, ExistingNetwork};

/// Names and ids, as AWS gave them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Made {
    /// Unknown where somebody else made the network, like the routes.
    pub vpc: Option<String>,
    /// Of the workers, by availability zone.
    pub subnets: BTreeMap<String, String>,
    /// Of the workers.
    pub security_groups: Vec<String>,
    pub instance_profile: Option<String>,
    /// What disks are encrypted with: an ARN where hoist made it. Without one the account's own key for EBS.
    pub kms_key: Option<String>,
    /// The workers' route table, for whoever has routes to add.
    pub routes: Option<String>,
    /// Where an instance connects machines and workers.
    pub gateway: Option<Gateway>,
    /// Where a VPN does. Its configuration, for the office's device, is in AWS' console.
    pub vpn_connection: Option<String>,
}

/// What outlives each instance that is the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gateway {
    /// Where machines dial.
    pub address: Ipv4Addr,
    /// The id of that address.
    pub allocation: String,
    /// The id of the network interface.
    pub interface: String,
    pub private_address: Ipv4Addr,
    pub subnet: String,
    pub zone: String,
    pub security_group: String,
}

impl Made {
    /// What an inventory says of a network of somebody else's.
    pub fn existing(network: &Network, existing: &ExistingNetwork) -> Made {
        let zones = network.zones.iter().map(|zone| zone.name.clone());
        Made {
            vpc: None,
            subnets: zones.zip(existing.subnets.iter().cloned()).collect(),
            security_groups: existing.security_groups.clone(),
            instance_profile: existing.instance_profile.clone(),
            kms_key: existing.kms_key.clone(),
            routes: None,
            gateway: None,
            vpn_connection: None,
        }
    }

    /// What a stack's outputs tell.
    ///
    /// # Errors
    /// One is missing, or is no address where one should be: the stack is not of this document.
    pub fn read(network: &Network, outputs: &BTreeMap<String, String>) -> Result<Made, StackFailure> {
        let foreign =
            |output: &str| StackFailure::Foreign { name: network.stack(), output: output.to_owned() };
        let get = |output: &str| outputs.get(output).cloned().ok_or_else(|| foreign(output));
        let address = |output: &str| get(output)?.parse().map_err(|_| foreign(output));
        let subnets = network.zones.iter().map(|zone| {
            let letter = zone.name.trim_start_matches(network.region.as_str()).to_uppercase();
            Ok((zone.name.clone(), get(&format!("WorkersSubnet{letter}"))?))
        });
        let gateway = || {
            Ok::<_, StackFailure>(Gateway {
                address: address("GatewayAddress")?,
                allocation: get("GatewayAllocation")?,
                interface: get("GatewayInterface")?,
                private_address: address("GatewayPrivateAddress")?,
                subnet: get("GatewaySubnet")?,
                zone: network.zones.first().map(|zone| zone.name.clone()).unwrap_or_default(),
                security_group: get("GatewayGroup")?,
            })
        };
        Ok(Made {
            vpc: Some(get("Vpc")?),
            subnets: subnets.collect::<Result<_, StackFailure>>()?,
            security_groups: vec![get("WorkersGroup")?],
            instance_profile: Some(get("WorkersProfile")?),
            kms_key: Some(get("DiskKey")?),
            routes: Some(get("WorkersRoutes")?),
            gateway: (network.connection == Connection::Gateway).then(gateway).transpose()?,
            vpn_connection: (network.connection == Connection::Vpn)
                .then(|| get("VpnConnection"))
                .transpose()?,
        })
    }
}
