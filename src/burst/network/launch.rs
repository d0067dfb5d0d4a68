//! What all launches into a network have in common.

use super::{Made, TAG};
use crate::{burst::cloud::Template, inventory::Inventory};

/// For [`Template::request`]. `cluster` is the uid of the cluster's `kube-system` namespace.
pub fn template(inventory: &Inventory, made: &Made, cluster: &str) -> Template {
    let burst = &inventory.burst;
    let mut tags: std::collections::BTreeMap<String, String> =
        burst.tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    // Permissions are bound to it.
    tags.insert(TAG.to_owned(), inventory.cluster.name.clone());
    let architectures = burst.instances.architectures.iter();
    Template {
        cluster: cluster.to_owned(),
        images: architectures.map(|&one| (one, burst.image.id(one))).collect(),
        subnets: made.subnets.clone(),
        security_groups: made.security_groups.clone(),
        instance_profile: made.instance_profile.clone(),
        root_device: burst.image.device().to_owned(),
        root_gib: burst.disk,
        kms_key: made.kms_key.clone(),
        tags,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        burst::{network::Network, offer::Architecture},
        inventory,
    };

    #[test]
    fn launches_are_into_what_the_inventory_names_with_what_it_says() {
        let text = "cluster: {name: office, kubernetes: \"1.36.2\"}\n\
             hosts:\n  a: {address: 192.168.18.201, roles: [control-plane]}\n  b: {address: 192.168.18.9, roles: [worker]}\n\
             burst:\n  region: eu-central-1\n  max_instances: 10\n  monthly_budget: 200\n  disk: 50\n  tags: {owner: ops}\n  \
             subnets: [172.16.0.0/24, 172.16.1.0/24]\n  zones: [eu-central-1b, eu-central-1c]\n  connection: routed\n  \
             instances: {architectures: [arm64, amd64]}\n  image: {system: ubuntu-24.04, arm64: ami-12}\n  \
             existing: {subnets: [subnet-1, subnet-2], security_groups: [sg-1, sg-2], kms_key: alias/disks}\n";
        let inventory = inventory::parse("test", text).unwrap().inventory;
        let network = Network::of(&inventory).unwrap();
        let made = Made::existing(&network, inventory.burst.existing.as_ref().unwrap());
        let template = template(&inventory, &made, "8c1f");
        assert_eq!(template.subnets["eu-central-1c"], "subnet-2");
        assert_eq!(template.security_groups, ["sg-1", "sg-2"]);
        assert_eq!(template.images[&Architecture::Arm64], "ami-12");
        assert!(template.images[&Architecture::Amd64].starts_with("resolve:ssm:/aws/service/canonical/"));
        assert_eq!((template.root_device.as_str(), template.root_gib), ("/dev/sda1", 50));
        assert_eq!((template.kms_key.as_deref(), &template.instance_profile), (Some("alias/disks"), &None));
        assert_eq!(
            (template.tags["hoist.dev/cluster"].as_str(), template.tags["owner"].as_str()),
            ("office", "ops")
        );
    }
}
