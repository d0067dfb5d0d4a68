//! What carries a cluster's tag, whoever made it: kind by kind, for `DescribeTags` still tells of what is gone.

use async_trait::async_trait;
use aws_sdk_ec2::types::{
    Filter, Instance, InstanceStateName, NatGatewayState, Reservation, SpotInstanceState, VpnState,
};

use super::{Ec2, error::cloud_error};
use crate::burst::{
    cloud::{CloudError, Order},
    network::{Carriers, TAG, Tagged},
};

/// The whole answer to a question that EC2 answers page by page.
macro_rules! pages {
    ($what:literal, $call:expr) => {
        $call
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| cloud_error(Order::Describe($what), &error))?
    };
}

/// The answer to one that it answers at once.
macro_rules! answer {
    ($what:literal, $call:expr) => {
        $call.send().await.map_err(|error| cloud_error(Order::Describe($what), &error))?
    };
}

fn named<'a>(
    kind: &'a str,
    ids: impl Iterator<Item = Option<&'a str>> + 'a,
) -> impl Iterator<Item = Tagged> + 'a {
    ids.flatten().map(move |id| Tagged { kind: kind.to_owned(), id: id.to_owned() })
}

#[async_trait]
impl Carriers for Ec2 {
    async fn carriers(&self, cluster: &str) -> Result<Vec<Tagged>, CloudError> {
        let tag = || Filter::builder().name(format!("tag:{TAG}")).values(cluster).build();
        let mut all = self.machines(tag()).await?;
        all.extend(self.addresses(tag()).await?);
        all.extend(self.connections(tag()).await?);
        let client = &self.client;
        let groups = pages!("SecurityGroups", client.describe_security_groups().filters(tag()));
        all.extend(named("security-group", groups.iter().map(|it| it.group_id())));
        let subnets = pages!("Subnets", client.describe_subnets().filters(tag()));
        all.extend(named("subnet", subnets.iter().map(|it| it.subnet_id())));
        let tables = pages!("RouteTables", client.describe_route_tables().filters(tag()));
        all.extend(named("route-table", tables.iter().map(|it| it.route_table_id())));
        let gateways = pages!("InternetGateways", client.describe_internet_gateways().filters(tag()));
        all.extend(named("internet-gateway", gateways.iter().map(|it| it.internet_gateway_id())));
        let vpcs = pages!("Vpcs", client.describe_vpcs().filters(tag()));
        all.extend(named("vpc", vpcs.iter().map(|it| it.vpc_id())));
        Ok(all)
    }
}

impl Ec2 {
    /// What computes, or may yet, and its disks.
    async fn machines(&self, tag: Filter) -> Result<Vec<Tagged>, CloudError> {
        let client = &self.client;
        let reservations = pages!("Instances", client.describe_instances().filters(tag.clone()));
        let ended = |it: &&Instance| {
            it.state().and_then(|state| state.name()) == Some(&InstanceStateName::Terminated)
        };
        let instances = reservations.iter().flat_map(Reservation::instances).filter(|it| !ended(it));
        let mut all: Vec<Tagged> = named("instance", instances.map(|it| it.instance_id())).collect();
        let requests =
            pages!("SpotInstanceRequests", client.describe_spot_instance_requests().filters(tag.clone()));
        let open = requests
            .iter()
            .filter(|it| matches!(it.state(), Some(SpotInstanceState::Open | SpotInstanceState::Active)));
        all.extend(named("spot-instances-request", open.map(|it| it.spot_instance_request_id())));
        let volumes = pages!("Volumes", client.describe_volumes().filters(tag));
        all.extend(named("volume", volumes.iter().map(|it| it.volume_id())));
        Ok(all)
    }

    async fn addresses(&self, tag: Filter) -> Result<Vec<Tagged>, CloudError> {
        let client = &self.client;
        let interfaces =
            pages!("NetworkInterfaces", client.describe_network_interfaces().filters(tag.clone()));
        let mut all: Vec<Tagged> =
            named("network-interface", interfaces.iter().map(|it| it.network_interface_id())).collect();
        let addresses = answer!("Addresses", client.describe_addresses().filters(tag));
        all.extend(named("elastic-ip", addresses.addresses().iter().map(|it| it.allocation_id())));
        Ok(all)
    }

    /// Some of these are shown for an hour after they have ended.
    async fn connections(&self, tag: Filter) -> Result<Vec<Tagged>, CloudError> {
        let client = &self.client;
        let nat = pages!("NatGateways", client.describe_nat_gateways().filter(tag.clone()));
        let nat = nat.iter().filter(|it| it.state() != Some(&NatGatewayState::Deleted));
        let mut all: Vec<Tagged> = named("natgateway", nat.map(|it| it.nat_gateway_id())).collect();
        let told = answer!("VpnConnections", client.describe_vpn_connections().filters(tag.clone()));
        let vpns = told.vpn_connections().iter().filter(|it| it.state() != Some(&VpnState::Deleted));
        all.extend(named("vpn-connection", vpns.map(|it| it.vpn_connection_id())));
        let told = answer!("VpnGateways", client.describe_vpn_gateways().filters(tag.clone()));
        let gateways = told.vpn_gateways().iter().filter(|it| it.state() != Some(&VpnState::Deleted));
        all.extend(named("vpn-gateway", gateways.map(|it| it.vpn_gateway_id())));
        let told = answer!("CustomerGateways", client.describe_customer_gateways().filters(tag));
        let devices = told.customer_gateways().iter().filter(|it| it.state() != Some("deleted"));
        all.extend(named("customer-gateway", devices.map(|it| it.customer_gateway_id())));
        Ok(all)
    }
}
