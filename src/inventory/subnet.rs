//! Which part of the pod network a host takes.

use std::{collections::HashSet, net::Ipv4Addr};

use ipnet::Ipv4Net;

use super::{Host, Inventory};

/// Prefix length of the part that a host takes unless it says otherwise: 254 pods, more than twice the
/// kubelet's limit of 110.
pub const POD_SUBNET_PREFIX: u8 = 24;

/// The bridge that the network plugin `bridge` makes on a host for its first pod.
pub const BRIDGE: &str = "cni0";

/// The pod subnet of a host: its own, or the one that its address points to. `None` when the pod network has
/// no room for even one.
///
/// The address decides, not the place in the file, so that adding or removing a host moves no other.
pub fn pod_subnet(inventory: &Inventory, host: &Host) -> Option<Ipv4Net> {
    host.pod_subnet.or_else(|| derived(inventory.cluster.network.pods, host.address))
}

/// For each address the subnet that it has to be given, because an earlier one points to the same; `None` where the
/// address decides. When there are no free ones left, that is for the check of the inventory to say.
pub(super) fn assign(pods: Ipv4Net, addresses: &[Ipv4Addr]) -> Vec<Option<Ipv4Net>> {
    let pointed: HashSet<Ipv4Net> = addresses.iter().filter_map(|address| derived(pods, *address)).collect();
    let mut free = pods.subnets(POD_SUBNET_PREFIX).into_iter().flatten().filter(|net| !pointed.contains(net));
    let mut taken = HashSet::new();
    let subnet = |address: &Ipv4Addr| match derived(pods, *address) {
        Some(subnet) if !taken.insert(subnet) => free.next(),
        _ => None,
    };
    addresses.iter().map(subnet).collect()
}

/// The subnet whose index is the address modulo the number of subnets.
fn derived(pods: Ipv4Net, address: Ipv4Addr) -> Option<Ipv4Net> {
    let bits = u32::from(POD_SUBNET_PREFIX.checked_sub(pods.prefix_len())?);
    let index = u32::from(address) & ((1_u32 << bits) - 1);
    let start = u32::from(pods.network()) + (index << (32 - u32::from(POD_SUBNET_PREFIX)));
    Ipv4Net::new(Ipv4Addr::from(start), POD_SUBNET_PREFIX).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_decides() {
        for (pods, address, subnet) in [
            ("10.244.0.0/16", "10.77.0.11", Some("10.244.11.0/24")),
            ("10.244.0.0/16", "10.77.3.11", Some("10.244.11.0/24")),
            ("10.244.0.0/16", "10.77.0.255", Some("10.244.255.0/24")),
            ("100.64.0.0/10", "192.168.18.201", Some("100.82.201.0/24")),
            ("10.244.8.0/22", "10.77.0.11", Some("10.244.11.0/24")),
            ("10.244.8.0/24", "10.77.0.11", Some("10.244.8.0/24")),
            ("0.0.0.0/0", "10.77.0.11", Some("77.0.11.0/24")),
            ("10.244.0.0/25", "10.77.0.11", None),
        ] {
            let found = derived(pods.parse().unwrap(), address.parse().unwrap());
            assert_eq!(found.map(|net| net.to_string()).as_deref(), subnet, "{pods} {address}");
        }
    }

    #[test]
    fn who_comes_second_is_given_a_free_part() {
        let addresses =
            ["10.0.0.11", "10.0.0.75", "10.0.0.12", "10.0.1.11"].map(|text| text.parse().unwrap());
        let shown = |pods: &str| {
            let given = assign(pods.parse().unwrap(), &addresses);
            given
                .into_iter()
                .map(|net| net.map_or("-".into(), |net| net.to_string()))
                .collect::<Vec<_>>()
                .join(" ")
        };
        // 64 parts, of which both .11 and .75 point to the same.
        assert_eq!(shown("10.233.64.0/18"), "- 10.233.64.0/24 - 10.233.65.0/24");
        assert_eq!(shown("10.244.0.0/16"), "- - - 10.244.0.0/24");
        assert_eq!(shown("10.244.0.0/24"), "- - - -");
        assert_eq!(shown("10.244.0.0/25"), "- - - -");
    }
}
