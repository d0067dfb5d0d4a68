//! An inventory to start from.

use std::net::Ipv4Addr;

use serde_json::{Value as Json, json};

use super::{Error, Role, parse};
use crate::yaml;

/// The version that is written unless another is asked for: the one that hoist is tested with.
pub const KUBERNETES: &str = "1.20.2";

/// Networks for pods and for services: the first pair that fits is taken. The defaults, then some that are rarely
/// used in offices; the larger one has room for hosts of several networks with the same last digits.
const PODS: [&str; 3] = ["10.244.0.0/16", "100.64.0.0/10", "172.24.0.0/14"];
const SERVICES: [&str; 3] = ["10.96.0.0/12", "172.31.0.0/16", "198.18.0.0/16"];

/// What is known at the start.
#[derive(Debug)]
pub struct Start {
    pub name: String,
    pub kubernetes: String,
    pub user: String,
    pub hosts: Vec<NewHost>,
}

/// A host as far as it is known at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHost {
    pub name: String,
    pub address: Ipv4Addr,
    pub roles: Vec<Role>,
}

/// The roles of host number `index` of `count`, unless somebody says otherwise: the first is the control plane; when it
/// is the only one it is the worker, too.
pub fn usual_roles(index: usize, count: usize) -> Vec<Role> {
    match (index, count) {
        (0, 1) => vec![Role::ControlPlane, Role::Worker],
        (0, _) => vec![Role::ControlPlane],
        _ => vec![Role::Worker],
    }
}

/// The text of an inventory, with networks that none of the hosts is in.
///
/// # Errors
/// The mistakes in it when no networks make it right, such as two hosts with the same address.
pub fn start(start: &Start) -> Result<String, Error> {
    let mut texts = PODS.iter().flat_map(|pods| SERVICES.iter().map(|services| text(start, pods, services)));
    match texts.find(|text| parse("the new inventory", text).is_ok()) {
        Some(text) => Ok(text),
        None => {
            let text = text(start, PODS[0], SERVICES[0]);
            parse("the new inventory", &text).map(|_| text)
        }
    }
}

fn text(start: &Start, pods: &str, services: &str) -> String {
    let become_root = if start.user == "root" { "" } else { " # becomes root by sudo" };
    let host = |NewHost { name, address, roles }: &NewHost| {
        let roles: Vec<&str> = roles.iter().map(|role| role.name()).collect();
        (name.clone(), json!({"address": address, "roles": roles}))
    };
    let hosts: Vec<(String, Json)> = start.hosts.iter().map(host).collect();
    let hosts = yaml::section("hosts", hosts.iter().map(|(name, host)| (name, host)));
    let external = start.hosts.iter().any(|host| host.roles.contains(&Role::Etcd));
    let etcd = if external { "  etcd: external\n" } else { "" };
    let Start { name, kubernetes, user, .. } = start;
    let [name, kubernetes, user] = [name, kubernetes, user].map(|text| yaml::quoted(text));
    format!(
        "\
# All about the cluster {name}. `hoist check` verifies this file, `hoist schema --markdown` explains every key.
cluster:
  name: {name}
  kubernetes: {kubernetes}
{etcd}  network:
    # Neither of them may overlap the network of the machines, or each other.
    pods: {pods}
    services: {services}

ssh:
  user: {user}{become_root}
  key: ~/.ssh/id_ed25519

# By the names that they will have as nodes. A host can also say `labels`, `taints`, and `ssh` where it differs.
{hosts}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(hosts: &[(&str, &str)]) -> Result<String, Error> {
        start(&Start {
            name: "office".into(),
            kubernetes: KUBERNETES.into(),
            user: "admin".into(),
            hosts: hosts
                .iter()
                .enumerate()
                .map(|(index, (name, address))| NewHost {
                    name: name.to_string(),
                    address: address.parse().unwrap(),
                    roles: usual_roles(index, hosts.len()),
                })
                .collect(),
        })
    }

    #[test]
    fn the_first_host_is_the_control_plane() {
        insta::assert_snapshot!(begun(&[("cp1", "192.168.18.201"), ("w1", "192.168.18.211")]).unwrap(), @r#"
        # All about the cluster office. `hoist check` verifies this file, `hoist schema --markdown` explains every key.
        cluster:
          name: office
          kubernetes: "1.20.2"
          network:
            # Neither of them may overlap the network of the machines, or each other.
            pods: 10.244.0.0/16
            services: 10.96.0.0/12

        ssh:
          user: admin # becomes root by sudo
          key: ~/.ssh/id_ed25519

        # By the names that they will have as nodes. A host can also say `labels`, `taints`, and `ssh` where it differs.
        hosts:
          cp1: {address: 192.168.18.201, roles: [control-plane]}
          w1: {address: 192.168.18.211, roles: [worker]}
        "#);
        let alone = begun(&[("node1", "192.168.18.201")]).unwrap();
        assert!(alone.contains("roles: [control-plane, worker]"), "{alone}");
    }

    #[test]
    fn members_of_etcd_on_hosts_of_their_own() {
        let host = |name: &str, last: u8, roles: &[Role]| NewHost {
            name: name.into(),
            address: [192, 168, 18, last].into(),
            roles: roles.into(),
        };
        let hosts = vec![host("cp1", 1, &[Role::ControlPlane]), host("e1", 2, &[Role::Etcd])];
        let text =
            start(&Start { name: "a".into(), kubernetes: KUBERNETES.into(), user: "root".into(), hosts });
        assert!(text.unwrap().contains("\n  etcd: external\n"));
    }

    #[test]
    fn the_networks_are_some_that_no_host_is_in() {
        for (hosts, pods, services) in [
            (&[("a", "192.168.18.1"), ("b", "192.168.18.2")], "10.244.0.0/16", "10.96.0.0/12"),
            (&[("a", "10.244.0.1"), ("b", "10.244.0.2")], "100.64.0.0/10", "10.96.0.0/12"),
            (&[("a", "10.100.0.1"), ("b", "10.100.0.2")], "10.244.0.0/16", "172.31.0.0/16"),
            // The same last digits, so that a /16 would give both the same part.
            (&[("a", "192.168.18.1"), ("b", "192.168.19.1")], "100.64.0.0/10", "10.96.0.0/12"),
        ] {
            let text = begun(hosts).unwrap();
            assert!(text.contains(pods) && text.contains(services), "{text}");
        }
    }

    #[test]
    fn what_no_network_makes_right_is_told() {
        let error = begun(&[("a", "192.168.18.1"), ("b", "192.168.18.1")]).unwrap_err();
        let Error::Mistakes(problems) = error else { panic!("{error}") };
        assert_eq!(problems.list()[0].title, "`a` and `b` have the same address");
        assert!(
            begun(&[("a", "192.168.18.1"), ("a", "192.168.18.2")]).is_err(),
            "nothing is dropped quietly"
        );
    }
}
