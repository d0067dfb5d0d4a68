//! The launch of the gateway: what the inventory says, into the interface that the network has for it.

use super::{NAME, PublicKey, record::Wanted};
use crate::{
    burst::{
        cloud::{UserData, tag},
        network::{self, Made},
        offer::{Architecture, Capacity, Money, Offer},
        time::Time,
    },
    inventory::{Burst, Inventory},
};

/// Of its disk. Images of Debian and Ubuntu have 8 at most.
const GIB: u32 = 8;

/// The size of its disk: that of workers' disks where it is launched from an image that the inventory names, which may be
/// larger than those of the system's makers.
pub fn disk_gib(burst: &Burst) -> u32 {
    match burst.image.said(architecture(&burst.gateway_type)) {
        Some(_) => burst.disk.max(GIB),
        None => GIB,
    }
}

/// Nothing where the network has no gateway. `cluster` is the uid of the cluster's `kube-system` namespace, `key` the gateway's
/// own.
pub fn wanted(
    inventory: &Inventory,
    made: &Made,
    cluster: &str,
    key: &PublicKey,
    user_data: UserData,
) -> Option<Wanted> {
    let gateway = made.gateway.as_ref()?;
    let instance_type = &inventory.burst.gateway_type;
    let architecture = architecture(instance_type);
    let mut template = network::template(inventory, made, cluster);
    template.images = [(architecture, inventory.burst.image.id(architecture))].into();
    template.subnets = [(gateway.zone.clone(), gateway.subnet.clone())].into();
    template.security_groups = vec![gateway.security_group.clone()];
    // It has no business with AWS.
    template.instance_profile = None;
    template.root_gib = disk_gib(&inventory.burst);
    // It is never taken back.
    let (capacity, price, zone) = (Capacity::OnDemand, Money::default(), gateway.zone.clone());
    let offer = Offer { instance_type: instance_type.clone(), zone, capacity, price };
    let mut request = template.request(NAME, 0, &offer, architecture, user_data, Time(0))?;
    // Nobody needs it any more when somebody says so, at no time that is known.
    request.tags.remove(tag::EXPIRES);
    request.network_interface = Some(gateway.interface.clone());
    // It begins without credits, and workers wait for it: as `standard` it would boot with a twentieth of its vCPUs. So it has
    // what the account gives: AWS' default is `unlimited`.
    request.credit_specification = None;
    Some(Wanted::new(cluster.to_owned(), key.to_string(), request))
}

/// By EC2's names: `a1`, and families with a `g` behind the generation, have processors of Arm.
fn architecture(instance_type: &str) -> Architecture {
    let family = instance_type.split('.').next().unwrap_or_default();
    let behind = family.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
    let attributes = behind.trim_start_matches(|digit: char| digit.is_ascii_digit());
    if family == "a1" || attributes.contains('g') { Architecture::Arm64 } else { Architecture::Amd64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        burst::network::{Network, recorded},
        inventory,
    };

    #[test]
    fn it_takes_the_interface_of_the_network_and_nothing_of_the_workers() {
        let text = include_str!("../../../inventory/burst.yaml");
        let inventory = inventory::parse("burst.yaml", text).unwrap().inventory;
        let network = Network::of(&inventory).unwrap();
        let made = Made::read(&network, &recorded::outputs("x")).unwrap();
        let script = || UserData::new("#!/bin/sh\n".into()).unwrap();
        let key = crate::burst::gateway::PrivateKey::generate().unwrap().public();
        let wanted = super::wanted(&inventory, &made, "8c1f", &key, script()).unwrap();
        let request = wanted.request(7);
        assert_eq!(request.network_interface.as_deref(), Some("eni-1"));
        assert_eq!((request.instance_type.as_str(), request.spot), ("t4g.nano", false));
        assert!(request.image_id.ends_with("/arm64"), "{}", request.image_id);
        assert_eq!((request.iam_instance_profile, request.credit_specification), (None, None));
        assert_eq!(request.tags["hoist.dev/claim"], "gateway");
        assert_eq!(request.tags["hoist.dev/cluster"], "office-burst");
        assert_eq!(request.client_token.len(), 64);
        assert_ne!(request.client_token, wanted.request(8).client_token);
        let existing = Made { gateway: None, ..made };
        assert_eq!(super::wanted(&inventory, &existing, "8c1f", &key, script()), None);
    }

    /// EC2 refuses a disk that is smaller than the image.
    #[test]
    fn an_image_of_the_inventory_gets_a_disk_as_large_as_workers() {
        let mut burst = Burst { disk: 30, ..Burst::default() };
        assert_eq!(disk_gib(&burst), 8);
        burst.image.amd64 = Some("ami-1".into());
        assert_eq!(disk_gib(&burst), 8, "the gateway boots another");
        burst.image.arm64 = Some("/company/golden".into());
        assert_eq!(disk_gib(&burst), 30);
        burst.disk = 5;
        assert_eq!(disk_gib(&burst), 8);
    }

    #[test]
    fn the_processor_follows_from_the_type() {
        for (name, expected) in [
            ("t4g.nano", Architecture::Arm64),
            ("c7gn.medium", Architecture::Arm64),
            ("a1.medium", Architecture::Arm64),
            ("t3.nano", Architecture::Amd64),
            ("t3a.nano", Architecture::Amd64),
            ("g4dn.xlarge", Architecture::Amd64),
            ("m7i-flex.large", Architecture::Amd64),
        ] {
            assert_eq!(architecture(name), expected, "{name}");
        }
    }
}
