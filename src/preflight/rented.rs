//! Whether the way to workers in EC2 is free.

use ipnet::Ipv4Net;

use super::{
    Subject,
    finding::{Check, Finding},
    survey::{Route, Survey},
};
use crate::inventory::Inventory;

const WAY: Check = Check {
    name: "burst-routes",
    checked: "the host's routes, where workers in EC2 are reached through a gateway",
    expected: "none into `burst.subnets` but that of the tunnel",
};
/// The interface of the tunnel, as in `templates/tunnel/hoist-tunnel.sh`.
const TUNNEL: &str = "hoist";

/// What a survey tells of a host. The host's own networks are among its routes.
pub fn from_survey(inventory: &Inventory, host: &Subject, survey: &Survey) -> Option<Finding> {
    let burst = &inventory.burst;
    if !burst.has_gateway() || !host.host.is_node() {
        return None;
    }
    let foreign = survey.routes.iter().filter(|route| route.device != TUNNEL);
    let pairs = foreign.flat_map(|route| burst.subnets.iter().map(move |subnet| (route, subnet)));
    // The longest prefix wins: what is behind a wider route is only lost where both mean the same addresses.
    let overlaps = |(route, subnet): (&Route, &Ipv4Net)| {
        let lost = subnet.contains(&route.network);
        (lost || route.network.contains(subnet)).then(|| (lost, format!("{route} overlaps {subnet}")))
    };
    Some(match pairs.filter_map(overlaps).max_by_key(|(lost, _)| *lost) {
        None => WAY.ok(host.name, "no other"),
        Some((true, observed)) => WAY.error(
            host.name,
            observed,
            "choose other `burst.subnets`, or remove the route: workers there would not be reached",
        ),
        Some((false, observed)) => WAY.warning(
            host.name,
            observed,
            "choose other `burst.subnets` if these addresses are in use: the tunnel's narrower route wins",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{
        Severity::{Error, Ok, Warning},
        tests::Fleet,
    };

    #[test]
    fn routes_to_where_workers_in_ec2_are() {
        for (network, device, severity) in [
            ("192.168.18.0/24", "eth0", Ok),
            ("172.16.0.0/22", "hoist", Ok),
            ("172.16.4.0/24", "eth0", Ok),
            ("172.16.0.0/12", "tun0", Warning),
            ("172.16.0.0/22", "eth1", Error),
            ("172.16.1.0/24", "eth1", Error),
        ] {
            let mut fleet = Fleet::three();
            let wide = Route { network: "172.0.0.0/8".parse().unwrap(), via: None, device: "eth0".into() };
            let route = Route { network: network.parse().unwrap(), via: None, device: device.into() };
            fleet.survey("w1").routes = vec![route];
            if severity == Error {
                fleet.survey("w1").routes.insert(0, wide);
            }
            let say = |fleet: &Fleet| {
                let hosts = fleet.subjects();
                from_survey(&fleet.inventory, &hosts[1], hosts[1].survey.unwrap())
            };
            assert_eq!(say(&fleet), None, "nothing is rented");
            let burst = &mut fleet.inventory.burst;
            (burst.region, burst.subnets) =
                (Some("eu-central-1".into()), vec!["172.16.0.0/22".parse().unwrap()]);
            assert_eq!(say(&fleet).unwrap().severity, severity, "{network} on {device}");
            fleet.inventory.burst.connection = crate::inventory::Connection::Vpn;
            assert_eq!(say(&fleet), None, "there a route is what is needed");
        }
    }
}
