//! Which addresses the pods of a host have, where the plugin `bridge` gives them: as long as its bridge is there, these.

use std::net::IpAddr;

use ipnet::Ipv4Net;

use super::Observed;
use crate::{
    facts::Facts,
    inventory::{BRIDGE, Inventory, Plugin, pod_subnet},
};

/// The inventory gives the pods of a host other addresses than its bridge has. The plugin would refuse every new pod there
/// ("already has an IP address different from …"), and the others would look elsewhere for those that run.
#[derive(Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error(
    "the pods of {host} have addresses of {has} (the bridge {BRIDGE} there), and the inventory says {wanted}"
)]
#[diagnostic(help("nothing was changed; {}", self.fix()))]
pub struct OtherSubnet {
    pub host: String,
    pub has: Ipv4Net,
    pub wanted: Ipv4Net,
    /// Whether the host is in a cluster. Otherwise a former one has left the bridge.
    pub joined: bool,
}

impl OtherSubnet {
    fn fix(&self) -> String {
        let Self { host, has, joined, .. } = self;
        if *joined {
            format!(
                "pods that run keep the addresses that they have: set `pod_subnet: {has}` on {host}, and give another one to \
                 a host that is new. {host} itself gets another one when it is made anew: `kubectl drain {host}`, \
                 `kubeadm reset --force` there, and reboot it"
            )
        } else {
            format!(
                "a former cluster has left the bridge: run `ip link delete {BRIDGE}` on {host}, or reboot it"
            )
        }
    }
}

/// Compares the inventory with the bridges of all hosts that answered.
///
/// # Errors
/// The first host whose pods have other addresses.
pub(super) fn same_subnets(inventory: &Inventory, facts: &Observed) -> Result<(), OtherSubnet> {
    if inventory.cluster.network.plugin != Plugin::Bridge {
        return Ok(());
    }
    for (name, host) in inventory.hosts.iter().filter(|(_, host)| host.is_node()) {
        let own = facts.get(name).and_then(|facts| Some((facts, bridge(facts)?)));
        if let (Some((facts, has)), Some(wanted)) = (own, pod_subnet(inventory, host))
            && has != wanted
        {
            let joined = facts.kubernetes.joined || facts.kubernetes.interrupted;
            return Err(OtherSubnet { host: name.clone(), has, wanted, joined });
        }
    }
    Ok(())
}

fn bridge(facts: &Facts) -> Option<Ipv4Net> {
    let own = facts.addresses.iter().filter(|own| own.interface == BRIDGE);
    own.filter_map(|own| match own.address {
        IpAddr::V4(address) => Some(Ipv4Net::new(address, own.prefix).ok()?.trunc()),
        IpAddr::V6(_) => None,
    })
    .next()
}

#[cfg(test)]
mod tests {
    use miette::Diagnostic as _;

    use super::*;
    use crate::inventory;

    const LAB: &str = include_str!("../../inventory/lab.yaml");

    fn answer(text: &str, host: &str, said: &str) -> Result<(), OtherSubnet> {
        let inventory = inventory::parse("t.yaml", text).unwrap().inventory;
        same_subnets(&inventory, &Observed::from([(host.to_owned(), Facts::parse(said))]))
    }

    #[test]
    fn a_host_keeps_the_addresses_of_its_pods() {
        let own = "address=eth0 10.77.0.11/24\naddress=cni0 10.244.11.1/24\naddress=cni0 fe80::1/64\nkubernetes.joined=yes\n";
        assert_eq!(answer(LAB, "cp1", own), Ok(()));
        // No pod has been there.
        assert_eq!(answer(LAB, "cp1", "address=eth0 10.77.0.11/24\nkubernetes.joined=yes\n"), Ok(()));
        let other = LAB.replace("10.77.0.11, roles", "10.77.0.11, pod_subnet: 10.244.200.0/24, roles");
        assert_ne!(other, LAB);
        let error = answer(&other, "cp1", own).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the pods of cp1 have addresses of 10.244.11.0/24 (the bridge cni0 there), and the inventory says 10.244.200.0/24"
        );
        let help = error.help().unwrap().to_string();
        assert!(help.contains("set `pod_subnet: 10.244.11.0/24` on cp1"), "{help}");
        // Cilium gives the addresses itself.
        let cilium = LAB.replace("plugin: bridge", "plugin: cilium");
        assert!(answer(&cilium, "cp1", "address=cni0 10.9.9.1/24\n").is_ok() == (cilium != LAB));
    }

    #[test]
    fn what_a_former_cluster_has_left_is_named() {
        let error = answer(LAB, "w1", "address=cni0 10.42.0.1/24\n").unwrap_err();
        assert!(error.help().unwrap().to_string().contains("`ip link delete cni0` on w1"));
    }
}
