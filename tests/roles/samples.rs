//! What hosts of the samples get.

use std::collections::{BTreeMap, BTreeSet};

use hoist::{
    cluster::{Rented, rented},
    engine::{Library, RoleSteps, Templates, compile},
    facts::Facts,
    inventory,
    task::Task,
};

use super::{
    bed::{METAL, compiled, index, written},
    families::{DEBIAN_13, of_family},
};

#[test]
fn what_each_host_of_the_samples_gets() {
    for name in ["lab.yaml", "single.yaml", "three.yaml", "etcd.yaml"] {
        for (host, roles) in compiled(name) {
            let text = written(&roles);
            assert!(
                !text.contains("{{") && !text.contains("{%"),
                "{name} {host}: a template is left over:\n{text}"
            );
            insta::assert_snapshot!(format!("{}-{host}", name.trim_end_matches(".yaml")), text);
        }
    }
}

#[test]
fn what_cilium_needs_of_hosts() {
    let hosts = compiled("cilium.yaml");
    let (_, roles) = &hosts[0];
    let all = written(roles);
    assert!(all.contains("--skip-phases=addon/kube-proxy"), "{all}");
    assert!(all.contains("bin_dir = \"/opt/cni/bin\""), "{all}");
    assert!(!all.contains("cni0"), "no bridge: {all}");
    let of_cilium = |roles: &[RoleSteps]| -> Vec<RoleSteps> {
        roles.iter().filter(|role| role.role == "cilium").cloned().collect()
    };
    insta::assert_snapshot!("cilium", written(&of_cilium(roles)));
}

/// What a node is that the inventory does not have.
fn rented_node() -> Vec<RoleSteps> {
    let inventory =
        inventory::parse("burst.yaml", include_str!("../../inventory/burst.yaml")).unwrap().inventory;
    let node = Rented {
        name: "burst-1",
        address: "172.16.0.9",
        provider_id: "aws:///eu-central-1a/i-1",
        capacity: "spot",
        labels: &BTreeMap::new(),
        taints: &[],
    };
    let target = rented(&inventory, Some(&index()), &Facts::parse(METAL), &node);
    let library = Library::default();
    compile(&library, &Templates::new(library.clone()), &target).unwrap()
}

#[test]
fn the_samples_between_them_use_every_role() {
    let mut roles = BTreeSet::new();
    for name in [
        "lab.yaml",
        "single.yaml",
        "three.yaml",
        "etcd.yaml",
        "balancers.yaml",
        "volumes.yaml",
        "nfs.yaml",
        "cilium.yaml",
        "burst.yaml",
    ] {
        roles.extend(compiled(name).into_iter().flat_map(|(_, roles)| roles).map(|role| role.role));
    }
    roles.extend(of_family(DEBIAN_13, &index()).into_iter().map(|role| role.role));
    roles.extend(rented_node().into_iter().map(|role| role.role));
    // A verb of its own applies this one: `hoist certificates renew`.
    roles.insert("renewal".to_string());
    assert_eq!(roles.into_iter().collect::<Vec<_>>(), Library::default().roles());
}

#[test]
fn what_programs_read_is_what_they_can_read() {
    for (host, roles) in compiled("lab.yaml") {
        let steps = || roles.iter().flat_map(|role| &role.steps);
        let content = |wanted: &str| {
            steps().find_map(|step| match &step.task {
                Task::File(file) if file.path == wanted => Some(file.content.clone()),
                _ => None,
            })
        };
        let network: serde_json::Value =
            serde_json::from_str(&content("/etc/cni/net.d/10-bridge.conflist").unwrap()).unwrap();
        let subnet = network["plugins"][0]["ipam"]["ranges"][0][0]["subnet"].as_str().unwrap();
        assert!(subnet.starts_with("10.244.1") && subnet.ends_with(".0/24"), "{host}: {subnet}");
        // No host has a route to its own pods, which are on its bridge.
        let routes = content("/etc/systemd/system/pod-routes.service").unwrap();
        assert!(
            !routes.contains(&format!("route replace {subnet} "))
                && routes.matches("route replace").count() == 2
        );
    }
}
