//! One host of Ansible as a host of hoist.

use std::{collections::HashMap, net::Ipv4Addr};

use ipnet::Ipv4Net;
use serde_json::{Map, Value as Json, json};

use super::{ansible::Vars, values::Values};
use crate::{inventory::Role, yaml};

/// A host on its way into an inventory. What is not right is for the check of that inventory to say.
pub(super) struct Machine {
    pub name: String,
    /// What Ansible calls it.
    pub was: String,
    pub address: String,
    pub roles: Vec<Role>,
    pub labels: Map<String, Json>,
    pub taints: Vec<String>,
    pub pod_subnet: Option<Ipv4Net>,
    pub ssh: Map<String, Json>,
}

/// What the variables say of a host.
pub(super) fn machine(name: &str, roles: Vec<Role>, vars: &Vars, notes: &mut Vec<String>) -> Machine {
    let mut values = Values { vars, of: name, notes };
    let labels = values.map("node_labels").into_iter().map(|(key, value)| {
        // Labels are strings, whatever YAML took them for.
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (key, json!(text))
    });
    let labels = labels.collect();
    Machine {
        address: address(name, &mut values),
        roles,
        labels,
        taints: values.list("node_taints"),
        pod_subnet: None,
        ssh: ssh(&mut values),
        name: yaml::to_dns_label(name).unwrap_or_else(|| name.to_owned()),
        was: name.to_owned(),
    }
}

/// Gives every machine a name of its own, and tells of new names. Ansible has machines apart whose names differ only in
/// what a node's name cannot have, such as `Node1` and `node1`.
pub(super) fn name_apart(machines: &mut [Machine], notes: &mut Vec<String>) {
    // Names that can stay do.
    let stay = machines.iter().filter(|machine| machine.name == machine.was);
    let mut taken: HashMap<String, String> =
        stay.map(|machine| (machine.name.clone(), machine.was.clone())).collect();
    for machine in machines.iter_mut().filter(|machine| machine.name != machine.was) {
        let nearest = machine.name.clone();
        let mut number = 1;
        while taken.contains_key(&machine.name) {
            number += 1;
            machine.name = format!("{nearest}-{number}");
        }
        let mut note = format!(
            "`{}` is called `{}`: names of nodes are lower-case letters, digits and hyphens",
            machine.was, machine.name
        );
        if let Some(other) = taken.get(&nearest) {
            note +=
                &format!(", and `{nearest}` is the name of another machine, which Ansible calls `{other}`");
        }
        notes.push(note);
        taken.insert(machine.name.clone(), machine.was.clone());
    }
}

/// The address of the machine itself comes before the one at which Ansible reaches it, for nodes need the former.
fn address(name: &str, values: &mut Values) -> String {
    let reached = values.first(&["ansible_host", "ansible_ssh_host"]);
    let own = values.first(&["ip", "access_ip"]);
    if let (Some(own), Some(reached)) = (&own, &reached)
        && own != reached
    {
        values.note(format!(
            "`{name}` has the address {own} and is reached by Ansible at {reached}: hoist reaches it at {own}"
        ));
    }
    let address = own.or(reached).unwrap_or_else(|| name.to_owned());
    if address.parse::<Ipv4Addr>().is_err() {
        values.note(format!(
            "`{name}` has no IPv4 address: write the one that `getent ahostsv4 {address}` tells as its `address`, or give it \
             `ansible_host` or `ip`"
        ));
    }
    address
}

fn ssh(values: &mut Values) -> Map<String, Json> {
    let mut ssh = Map::new();
    let user = values.first(&["ansible_user", "ansible_ssh_user"]);
    let root = user.as_deref() == Some("root");
    if user.is_none() {
        values.note("no ansible_user for some hosts: Ansible logs in as you, hoist as root unless `ssh.user` says else".into());
    }
    ssh.extend(user.map(|user| ("user".to_owned(), json!(user))));
    if let Some(port) = values.first(&["ansible_port", "ansible_ssh_port"]).filter(|port| port != "22") {
        ssh.insert("port".into(), port.parse::<u16>().map_or_else(|_| json!(port), |port| json!(port)));
    }
    let key = values.first(&["ansible_ssh_private_key_file", "ansible_private_key_file"]);
    ssh.extend(key.map(|key| ("key".to_owned(), json!(key))));
    for name in ["ansible_ssh_common_args", "ansible_ssh_extra_args"] {
        let Some(arguments) = values.text(name) else { continue };
        match proxy_jump(&arguments) {
            Some(jump) => _ = ssh.insert("jump".into(), json!(jump)),
            // Arguments are not shown: `sshpass -p` is a frequent part of a ProxyCommand.
            None => values.note(format!(
                "`{name}` is not taken over: say it in ~/.ssh/config, which hoist reads, or in `ssh`"
            )),
        }
    }
    let of = values.of.to_owned();
    if values.truth("ansible_become") == Some(false) && !root {
        values.note(format!("`{of}` has `ansible_become: false`: hoist becomes root by sudo"));
    }
    if let Some(method) = values.text("ansible_become_method").filter(|method| method != "sudo") {
        values.note(format!("`{of}` becomes root by {method}: hoist does so by sudo"));
    }
    if let Some(other) = values.text("ansible_become_user").filter(|other| other != "root") {
        values.note(format!("`{of}` becomes {other}: hoist becomes root"));
    }
    if let Some(connection) = values.text("ansible_connection").filter(|it| it != "ssh" && it != "smart") {
        values.note(format!("`{of}` is reached by `{connection}`: hoist reaches every host by SSH"));
    }
    ssh
}

/// The jump hosts in arguments of ssh, where they say nothing else.
fn proxy_jump(arguments: &str) -> Option<&str> {
    let arguments = arguments.trim();
    let said =
        ["-J ", "-J", "-o ProxyJump=", "-oProxyJump="].iter().find_map(|it| arguments.strip_prefix(it))?;
    let said = said.trim().trim_matches(['"', '\'']);
    (!said.is_empty() && !said.contains(char::is_whitespace)).then_some(said)
}

/// `[USER@]ADDRESS[:PORT]` of the host in Kubespray's group `bastion`.
pub(super) fn jump(name: &str, vars: &Vars) -> String {
    let mut values = Values { vars, of: name, notes: &mut Vec::new() };
    let address = values.first(&["ansible_host", "ansible_ssh_host"]).unwrap_or_else(|| name.to_owned());
    let user = values.first(&["ansible_user", "ansible_ssh_user"]).map(|user| format!("{user}@"));
    let port = values.first(&["ansible_port", "ansible_ssh_port"]).filter(|port| port != "22");
    let port = port.map(|port| format!(":{port}"));
    format!("{}{address}{}", user.unwrap_or_default(), port.unwrap_or_default())
}

impl Machine {
    /// What all of them have in common of how they are reached.
    pub fn common_ssh(machines: &[Machine]) -> Map<String, Json> {
        let Some((first, others)) = machines.split_first() else { return Map::new() };
        let shared =
            first.ssh.iter().filter(|(key, value)| others.iter().all(|it| it.ssh.get(*key) == Some(*value)));
        shared.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// As an inventory has it, without what is common to all.
    pub fn to_json(&self, common: &Map<String, Json>) -> Json {
        let roles: Vec<&str> = self.roles.iter().map(|role| role.name()).collect();
        let mut host =
            Map::from_iter([("address".to_owned(), json!(self.address)), ("roles".to_owned(), json!(roles))]);
        if !self.labels.is_empty() {
            host.insert("labels".into(), json!(self.labels));
        }
        if !self.taints.is_empty() {
            host.insert("taints".into(), json!(self.taints));
        }
        if let Some(subnet) = self.pod_subnet {
            host.insert("pod_subnet".into(), json!(subnet));
        }
        let own = self.ssh.iter().filter(|(key, _)| !common.contains_key(*key));
        let own: Map<String, Json> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
        if !own.is_empty() {
            host.insert("ssh".into(), Json::Object(own));
        }
        Json::Object(host)
    }
}
