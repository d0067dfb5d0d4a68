//! Variables of Ansible as values, and which of them are never taken over.

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use super::ansible::{Ansible, Vars};

/// Variables that are understood.
const KNOWN: &[&str] = &[
    "access_ip",
    "ansible_become",
    "ansible_become_method",
    "ansible_become_user",
    "ansible_connection",
    "ansible_host",
    "ansible_port",
    "ansible_private_key_file",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
    "ansible_ssh_host",
    "ansible_ssh_port",
    "ansible_ssh_private_key_file",
    "ansible_ssh_user",
    "ansible_user",
    "apiserver_loadbalancer_domain_name",
    "ip",
    "kube_apiserver_port",
    "kube_network_plugin",
    "kube_pods_subnet",
    "kube_service_addresses",
    "kube_version",
    "kube_vip_address",
    "kube_vip_enabled",
    "loadbalancer_apiserver",
    "node_labels",
    "node_taints",
];

/// Variables for which there is nothing to do: members of etcd are named by their hosts, and hosts need no Python.
const NEEDLESS: &[&str] = &["ansible_python_interpreter", "etcd_member_name"];

/// What the names of secrets end with.
const SECRET_ENDINGS: &[&str] =
    &["_pass", "_key", "passphrase", "passwd", "password", "secret", "token", "credentials"];

/// Where a secret goes instead; `None` for what is no secret.
pub(super) fn secret(name: &str) -> Option<&'static str> {
    match name {
        "ansible_become_pass" | "ansible_become_password" | "ansible_sudo_pass" => {
            Some("give a password for sudo in HOIST_SUDO_PASSWORD when hoist runs")
        }
        "ansible_password" | "ansible_ssh_pass" | "ansible_ssh_password" => Some(
            "give a password to log in with in HOIST_SSH_PASSWORD when hoist runs, or lay out a key with `ssh-copy-id`",
        ),
        "ansible_ssh_passphrase" | "ansible_ssh_private_key_passphrase" => {
            Some("give the passphrase of a key in HOIST_KEY_PASSPHRASE when hoist runs, or use ssh-agent")
        }
        _ if SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending)) => Some("keep it out of inventories"),
        _ => None,
    }
}

/// Variables of a host, and the notes about those that cannot be used.
pub(super) struct Values<'a> {
    pub vars: &'a Vars,
    /// Whose they are, for notes.
    pub of: &'a str,
    pub notes: &'a mut Vec<String>,
}

impl Values<'_> {
    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// The first of these variables that is said and is no template.
    pub fn first(&mut self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.text(name))
    }

    /// A variable as a string; an empty one counts as not said.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let text = match self.said(name)? {
            Json::String(text) => text,
            value @ (Json::Number(_) | Json::Bool(_)) => value.to_string(),
            _ => return self.unusable(name, "is not a single value"),
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// A variable as yes or no, as Ansible understands them.
    pub fn truth(&mut self, name: &str) -> Option<bool> {
        let text = self.text(name)?.to_ascii_lowercase();
        Some(matches!(text.as_str(), "true" | "yes" | "on" | "1" | "y" | "t"))
    }

    /// A variable as strings by name; empty when it is not said.
    pub fn map(&mut self, name: &str) -> Map<String, Json> {
        match self.said(name) {
            Some(Json::Object(map)) => map,
            Some(_) => self.unusable(name, "is not a map").unwrap_or_default(),
            None => Map::new(),
        }
    }

    /// A variable as strings; empty when it is not said.
    pub fn list(&mut self, name: &str) -> Vec<String> {
        let items = match self.said(name) {
            Some(Json::Array(items)) => items,
            Some(_) => return self.unusable(name, "is not a list").unwrap_or_default(),
            None => return Vec::new(),
        };
        items.into_iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
    }

    /// The value, unless it is nothing or has a template somewhere, which only Ansible can evaluate.
    fn said(&mut self, name: &str) -> Option<Json> {
        let value = self.vars.get(name).map(|var| var.value.clone()).filter(|value| !value.is_null())?;
        if has_template(&value) {
            self.unusable(name, "has a template, which only Ansible can evaluate")
        } else {
            Some(value)
        }
    }

    fn unusable<T>(&mut self, name: &str, why: &str) -> Option<T> {
        if let Some(var) = self.vars.get(name) {
            self.notes
                .push(format!("{}:{}: `{name}` {why}: not taken over for {}", var.file, var.line, self.of));
        }
        None
    }
}

fn has_template(value: &Json) -> bool {
    match value {
        Json::String(text) => text.contains("{{") || text.contains("{%"),
        Json::Array(items) => items.iter().any(has_template),
        Json::Object(entries) => entries.values().any(has_template),
        _ => false,
    }
}

/// Notes every variable that was not looked at: secrets one by one, the others by file. Values are never shown.
pub(super) fn note_others(ansible: &Ansible, notes: &mut Vec<String>) {
    let mut others: IndexMap<&str, Vec<&str>> = IndexMap::new();
    for (name, var) in ansible.every_var() {
        if let Some(advice) = secret(name) {
            notes.push(format!(
                "{}:{}: `{name}` is a secret and not taken over: {advice}",
                var.file, var.line
            ));
        } else if !KNOWN.contains(&name.as_str()) && !NEEDLESS.contains(&name.as_str()) {
            let names = others.entry(&var.file).or_default();
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    for (file, names) in others {
        notes.push(format!("{file}: not taken over: {}", names.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in [
            "ansible_become_pass",
            "ansible_password",
            "grafana_admin_password",
            "kubeadm_token",
            "aws_secret_key",
        ] {
            assert!(secret(name).is_some(), "{name}");
        }
        for name in KNOWN {
            assert_eq!(secret(name), None, "{name}");
        }
    }

    #[test]
    fn templates_are_found_wherever_they_are() {
        for (value, has) in [
            (serde_json::json!("a"), false),
            (serde_json::json!("{{ a }}"), true),
            (serde_json::json!({"a": ["b", "{% if c %}"]}), true),
            (serde_json::json!({"a": [1, null]}), false),
        ] {
            assert_eq!(has_template(&value), has, "{value}");
        }
    }
}
