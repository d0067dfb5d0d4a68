//! Effective values of an inventory, and where each comes from.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::{Host, Loaded, NoSuchHost, Plugin, pod_subnet};
use crate::yaml::Node;

/// A value that is in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effective {
    /// Such as `cluster.network.pods`, or `ssh.port` of a host.
    pub key: String,
    pub value: Json,
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    /// It is written in the file.
    File {
        file: String,
        line: usize,
        /// The line of the inventory's own value, where a host says something else.
        over: Option<usize>,
    },
    /// Nothing is written, and this is what is then taken.
    Default,
    /// Nothing is written, and this follows from other values.
    Derived { because: String },
}

/// Every value of the inventory that is in force, or of one of its hosts. `home` is what `~` stands for.
///
/// # Errors
/// When there is no such host.
pub fn explain(loaded: &Loaded, host: Option<&str>, home: &Path) -> Result<Vec<Effective>, NoSuchHost> {
    match host {
        Some(name) => Ok(Explainer { loaded }.host(name, loaded.inventory.host(name)?, home)),
        None => Ok(Explainer { loaded }.inventory()),
    }
}

struct Explainer<'a> {
    loaded: &'a Loaded,
}

impl Explainer<'_> {
    /// Everything but what is said host by host.
    fn inventory(&self) -> Vec<Effective> {
        let inventory = &self.loaded.inventory;
        let mut values = Vec::new();
        let mut json = json!(inventory);
        // Each host has an explanation of its own.
        if let Some(map) = json.as_object_mut() {
            map.shift_remove("hosts");
        }
        self.leaves(&mut Vec::new(), &json, &mut values);
        if let (None, Some((address, _))) = (inventory.shared_address(), inventory.endpoint()) {
            let because = match inventory.cluster.endpoint.local {
                true => "every node has a load balancer of its own",
                false => "the address of the first control plane",
            };
            let origin = Origin::Derived { because: because.into() };
            let value = Effective { key: "cluster.endpoint.address".into(), value: json!(address), origin };
            let place =
                values.iter().position(|it| it.key == "cluster.endpoint.port").unwrap_or(values.len());
            values.insert(place, value);
        }
        values
    }

    fn host(&self, name: &str, host: &Host, home: &Path) -> Vec<Effective> {
        let inventory = &self.loaded.inventory;
        let mut values = Vec::new();
        let mut add = |key: &str, value: Json, origin: Origin| {
            values.push(Effective { key: key.to_owned(), value, origin });
        };
        for (key, value) in [
            ("address", json!(host.address)),
            ("roles", json!(host.roles)),
            ("site", json!(host.site)),
            ("labels", json!(host.labels)),
            ("taints", json!(host.taints)),
            ("disks", json!(host.disks)),
        ] {
            let path = own(name, &[key]);
            if !value.is_null() {
                add(key, value, self.origin(&[&path]));
            }
        }
        let subnet = match (host.pod_subnet, pod_subnet(inventory, host)) {
            (Some(_), subnet) => (subnet, self.origin(&[&own(name, &["pod_subnet"])])),
            (None, subnet) => (subnet, Origin::Derived { because: "the last digits of the address".into() }),
        };
        if inventory.cluster.network.plugin == Plugin::Bridge && host.is_node() {
            add("pod_subnet", json!(subnet.0), subnet.1);
        }
        let login = inventory.login(host, home);
        // What is said of how the host is reached: what is not, is for OpenSSH's configuration to say.
        for (key, value) in [
            ("user", json!(login.user)),
            ("port", json!(login.port)),
            ("key", json!(login.key)),
            ("become", json!(login.becoming)),
            ("jump", json!(login.jump)),
            ("known_hosts", json!(login.known_hosts)),
            ("config", json!(login.config)),
            ("connect_timeout", json!(login.connect_timeout.map(|time| time.as_secs()))),
            ("keepalive", json!(login.keepalive.map(|time| time.as_secs()))),
            ("network_namespace", json!(login.network_namespace)),
        ] {
            if !value.is_null() {
                add(&format!("ssh.{key}"), value, self.origin(&[&own(name, &["ssh", key]), &["ssh", key]]));
            }
        }
        for (key, value) in inventory.vars(host) {
            let origin = self.origin(&[&own(name, &["vars", &key]), &["vars", &key]]);
            add(&format!("vars.{key}"), value, origin);
        }
        values
    }

    /// The values below a path that have no others below them.
    fn leaves(&self, path: &mut Vec<String>, value: &Json, values: &mut Vec<Effective>) {
        if let Json::Object(entries) = value
            && !entries.is_empty()
        {
            for (key, value) in entries {
                path.push(key.clone());
                self.leaves(path, value, values);
                path.pop();
            }
            return;
        }
        let steps: Vec<&str> = path.iter().map(String::as_str).collect();
        let origin = self.origin(&[&steps]);
        values.push(Effective { key: path.join("."), value: value.clone(), origin });
    }

    /// The first of the paths that is written decides; the next one that is written is what it goes over.
    fn origin(&self, paths: &[&[&str]]) -> Origin {
        let Loaded { source, tree, .. } = self.loaded;
        let said = |path: &&&[&str]| tree.get(path).is_some_and(Node::is_said);
        let mut places = paths.iter().filter(said).map(|path| tree.at(path));
        match places.next() {
            Some(place) => {
                let file = source.file(place).to_owned();
                // A line tells nothing without its file.
                let over = places.next().filter(|other| source.file(*other) == file);
                Origin::File { file, line: source.line(place), over: over.map(|other| source.line(other)) }
            }
            None => Origin::Default,
        }
    }
}

/// The path of what a host says itself.
fn own<'a>(name: &'a str, path: &[&'a str]) -> Vec<&'a str> {
    [&["hosts", name], path].concat()
}
