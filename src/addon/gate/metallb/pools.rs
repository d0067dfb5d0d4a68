//! Of which pools a proof may take an address, and who has those of the others.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;

use crate::{addon::gate::retry::text, yaml};

/// A pool, as it lives in the cluster.
pub(super) struct Pool {
    pub name: String,
    /// Its ranges of IPv4 addresses, as they are written and as they are meant.
    ranges: Vec<(String, Ipv4Addr, Ipv4Addr)>,
    /// Addresses that end in 0 or 255 are given to nobody.
    avoids: bool,
    /// Only some services may have its addresses.
    restricted: bool,
}

impl Pool {
    pub fn read(pool: &Value) -> Pool {
        let spec = &pool["spec"];
        let ranges = spec["addresses"].as_array().into_iter().flatten().map(text).filter_map(|range| {
            let (first, last) = yaml::ipv4_range(range)?;
            Some((range.to_owned(), first, last))
        });
        let selects = |field: &str| {
            spec["serviceAllocation"][field].as_array().is_some_and(|selectors| !selectors.is_empty())
        };
        Pool {
            name: text(&pool["metadata"]["name"]).to_owned(),
            ranges: ranges.collect(),
            avoids: spec["avoidBuggyIPs"] == true,
            restricted: ["namespaces", "namespaceSelectors", "serviceSelectors"].into_iter().any(selects),
        }
    }

    /// The range that an address is of.
    pub fn range(&self, address: Ipv4Addr) -> Option<&str> {
        let holds = |(_, first, last): &&(String, Ipv4Addr, Ipv4Addr)| (*first..=*last).contains(&address);
        self.ranges.iter().find(holds).map(|(range, _, _)| range.as_str())
    }

    pub fn ranges(&self) -> impl Iterator<Item = &str> {
        self.ranges.iter().map(|(range, _, _)| range.as_str())
    }

    /// Why a new service of any namespace gets no address of it, however it asks; nothing where it does.
    pub fn hindrance(&self, services: &[Value]) -> Option<String> {
        let all: u64 = self.ranges.iter().map(|(_, first, last)| self.usable(*first, *last)).sum();
        let mut given: Vec<Ipv4Addr> = services.iter().filter_map(address).collect();
        given.sort_unstable();
        given.dedup();
        let counts = |address: &&Ipv4Addr| {
            self.range(**address).is_some() && !(self.avoids && is_avoided((**address).into()))
        };
        let used = given.iter().filter(counts).count() as u64;
        if self.restricted {
            Some("only some services may have its addresses".to_owned())
        } else if all == 0 {
            Some("it has no IPv4 address to give".to_owned())
        } else {
            (used >= all).then(|| format!("all of its addresses ({all}) are in use"))
        }
    }

    /// How many addresses of a range may be given.
    fn usable(&self, first: Ipv4Addr, last: Ipv4Addr) -> u64 {
        let (first, last) = (u64::from(u32::from(first)), u64::from(u32::from(last)));
        let avoided_below = |end: u64| 2 * (end / 256) + (end % 256).min(1);
        let avoided = if self.avoids { avoided_below(last + 1) - avoided_below(first) } else { 0 };
        last + 1 - first - avoided
    }

    /// The services that have addresses of it, by name, each with where it takes connections by TCP.
    pub fn holders(&self, services: &[Value]) -> Vec<(String, SocketAddr)> {
        let holder = |service: &Value| {
            let address = address(service).filter(|address| self.range(*address).is_some())?;
            let ports = service["spec"]["ports"].as_array().into_iter().flatten();
            let mut tcp = ports.filter(|port| matches!(text(&port["protocol"]), "" | "TCP"));
            let port = u16::try_from(tcp.next()?["port"].as_u64()?).ok()?;
            let metadata = &service["metadata"];
            let name = format!("{}/{}", text(&metadata["namespace"]), text(&metadata["name"]));
            Some((name, SocketAddr::new(IpAddr::V4(address), port)))
        };
        services.iter().filter_map(holder).collect()
    }
}

/// The address that a service has.
pub(super) fn address(service: &Value) -> Option<Ipv4Addr> {
    text(&service["status"]["loadBalancer"]["ingress"][0]["ip"]).parse().ok()
}

fn is_avoided(address: u32) -> bool {
    matches!(address % 256, 0 | 255)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pool(spec: Value) -> Pool {
        Pool::read(&json!({"metadata": {"name": "lan"}, "spec": spec}))
    }

    fn service(name: &str, address: &str, protocol: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "n"},
               "spec": {"ports": [{"port": 53, "protocol": protocol}]},
               "status": {"loadBalancer": {"ingress": [{"ip": address}]}}})
    }

    #[test]
    fn a_pool_has_an_address_for_anybody_or_says_why_not() {
        let one = ["10.0.0.9"].map(|address| service("web", address, "TCP"));
        for (spec, given, hindrance) in [
            (json!({"addresses": ["10.0.0.9/32"]}), &[][..], None),
            (json!({"addresses": ["10.0.0.9/32"], "autoAssign": false}), &[], None),
            (json!({"addresses": ["10.0.0.9/32"]}), &one[..], Some("all of its addresses (1) are in use")),
            (json!({"addresses": ["10.0.0.9-10.0.0.10"]}), &one, None),
            (
                json!({"addresses": ["10.0.0.8/30"], "serviceAllocation": {"namespaces": ["web"]}}),
                &[],
                Some("only some services may have its addresses"),
            ),
            (
                json!({"addresses": ["10.0.0.8/30"], "serviceAllocation": {"priority": 10, "namespaces": []}}),
                &[],
                None,
            ),
            (json!({"addresses": ["10.0.0.255-10.0.1.0"]}), &[], None),
            (
                json!({"addresses": ["10.0.0.255-10.0.1.0"], "avoidBuggyIPs": true}),
                &[],
                Some("it has no IPv4 address to give"),
            ),
            (json!({"addresses": ["10.0.0.8-10.0.1.0"], "avoidBuggyIPs": true}), &one, None),
            (json!({"addresses": ["fd00::/64"]}), &[], Some("it has no IPv4 address to give")),
        ] {
            assert_eq!(pool(spec.clone()).hindrance(given).as_deref(), hindrance, "{spec}");
        }
        let whole = pool(json!({"addresses": [], "avoidBuggyIPs": true}));
        assert_eq!(whole.usable([10, 0, 0, 0].into(), [10, 0, 3, 255].into()), 1024 - 8);
        assert_eq!(whole.usable([10, 0, 0, 8].into(), [10, 0, 1, 0].into()), 249 - 2);
    }

    #[test]
    fn those_that_have_its_addresses_are_asked_by_tcp() {
        let services = [
            service("web", "10.0.0.9", "TCP"),
            service("dns", "10.0.0.10", "UDP"),
            service("theirs", "10.9.0.1", "TCP"),
            json!({"metadata": {"name": "inner"}, "spec": {"ports": [{"port": 80}]}}),
        ];
        let holders = pool(json!({"addresses": ["10.0.0.8/29"]})).holders(&services);
        assert_eq!(holders, [("n/web".to_owned(), "10.0.0.9:53".parse().unwrap())]);
    }
}
