//! Labels and taints of nodes, as the inventory says them.
//!
//! A node's own credentials may set neither reserved labels nor any taint once it has joined
//! (https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction), so an administrator's
//! do. What hoist gave is written down on the node, so that it is taken away when the inventory says it no more; what others
//! gave is left alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::kubeadm::Kubeadm;
use crate::{
    inventory::Inventory,
    kube::{Api, Error, Kind},
    task::Change,
};

const NODE: Kind = Kind::new("v1", "Node");
/// The annotation that says what hoist gave.
const GIVEN: &str = "hoist.dev/given";
/// What a plan says of a label or a taint that is not there.
const NONE: &str = "(none)";
/// So often a node is asked for that has only just joined, or that somebody else changes at the same moment; a second apart.
const LOOKS: usize = 30;

/// The keys of labels, and the taints as `key:Effect`, that hoist gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Given {
    #[serde(default)]
    labels: BTreeSet<String>,
    #[serde(default)]
    taints: BTreeSet<String>,
}

/// What would change of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    pub node: String,
    pub change: Change,
    /// What merges into the object; nothing where there is no such node yet.
    patch: Option<Value>,
}

/// What differs of these hosts, with the cluster's Node objects. A host that is no node yet has its taints from kubeadm when it
/// joins, and its labels differ.
pub fn differences<'a>(
    inventory: &Inventory,
    names: impl IntoIterator<Item = &'a str>,
    nodes: &[Value],
) -> Vec<Difference> {
    let kubeadm = Kubeadm::of(inventory);
    let differing = names.into_iter().filter_map(|name| {
        let host = inventory.hosts.get(name).filter(|host| host.is_node())?;
        let wanted = Marks {
            labels: &host.labels,
            taints: kubeadm
                .iter()
                .flat_map(|kubeadm| kubeadm.taints(host))
                .filter(|taint| !is_taken_away(taint))
                .collect(),
            control_plane: kubeadm.as_ref().map(|kubeadm| kubeadm.taint.as_str()).unwrap_or_default(),
        };
        let node = nodes.iter().find(|node| node["metadata"]["name"] == name);
        wanted.difference(name, node)
    });
    differing.collect()
}

/// The cluster's Node objects.
///
/// # Errors
/// When the API server does not answer, or refuses.
pub async fn nodes(api: &Api) -> Result<Vec<Value>, Error> {
    api.objects(NODE, None, "").await
}

/// The names of those of them that kubeadm made control planes, by its label: `master` before 1.24.
pub fn control_planes(nodes: &[Value]) -> impl Iterator<Item = &str> {
    let labels = ["control-plane", "master"].map(|role| format!("node-role.kubernetes.io/{role}"));
    let is_one = move |node: &&Value| labels.iter().any(|label| !node["metadata"]["labels"][label].is_null());
    nodes.iter().filter(is_one).filter_map(|node| node["metadata"]["name"].as_str())
}

/// Gives these nodes what differs, and says each one that was given something. A node that has only just joined is waited for.
///
/// # Errors
/// When the API server does not answer, or refuses, and when somebody else changes the node all the time.
pub async fn give(
    api: &Api,
    inventory: &Inventory,
    names: &[&str],
    done: &mut (dyn FnMut(&Difference) + Send),
) -> Result<(), Error> {
    let mut looks = 0;
    loop {
        looks += 1;
        let mut left = 0;
        for difference in differences(inventory, names.iter().copied(), &nodes(api).await?) {
            left += 1;
            let Some(patch) = &difference.patch else { continue };
            match api.merge(NODE, None, &difference.node, patch).await {
                Ok(_) => {
                    left -= 1;
                    done(&difference);
                }
                // It changed, or went, since it was read.
                Err(Error::Refused { status: 404 | 409, .. }) if looks < LOOKS => {}
                Err(error) => return Err(error),
            }
        }
        // That a host is no node at all is told by who waits for nodes.
        if left == 0 || looks == LOOKS {
            return Ok(());
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// What a node shall have.
struct Marks<'a> {
    labels: &'a IndexMap<String, String>,
    taints: Vec<Value>,
    /// The key of the taint that keeps workloads from control planes. kubeadm gives it, so nobody else does.
    control_plane: &'a str,
}

impl Marks<'_> {
    fn difference(&self, name: &str, node: Option<&Value>) -> Option<Difference> {
        let nothing = json!({"metadata": {}, "spec": {"taints": self.taints}});
        let live = node.unwrap_or(&nothing);
        let given: Given = live["metadata"]["annotations"][GIVEN]
            .as_str()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let shall = Given {
            labels: self.labels.keys().cloned().collect(),
            taints: self.taints.iter().filter(|taint| !self.is_kubeadms(taint)).map(short).collect(),
        };
        let mut change = Change::new("set the labels and taints of the node");
        let mut patch = json!({"metadata": {}});
        let labels = self.labels(&live["metadata"]["labels"], &given);
        if !labels.is_empty() {
            for (key, (from, to)) in &labels {
                let word = |value: &Option<String>| value.clone().unwrap_or_else(|| NONE.to_owned());
                change = change.attribute(&format!("label {key}"), word(from), word(to));
            }
            let labels: Map<String, Value> =
                labels.into_iter().map(|(key, (_, to))| (key, to.map_or(Value::Null, Value::from))).collect();
            patch["metadata"]["labels"] = Value::Object(labels);
        }
        let (taints, changed) = self.taints(&live["spec"]["taints"], &given);
        if !changed.is_empty() {
            let changed_to_evict =
                changed.iter().any(|(taint, _, to)| taint.ends_with(":NoExecute") && to != NONE);
            for (taint, from, to) in changed {
                change = change.attribute(&format!("taint {taint}"), from, to);
            }
            if changed_to_evict {
                change.disrupts = Some(String::from("pods that do not tolerate the taint: they are evicted"));
            }
            patch["spec"] = json!({"taints": taints});
            // The list is replaced as a whole: only the one that was read.
            patch["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        }
        if shall != given {
            let text = (shall != Given::default()).then(|| serde_json::to_string(&shall).ok()).flatten();
            if change.details.is_empty() {
                change = change.attribute("what of them is hoist's", "not written down", "written down");
            }
            patch["metadata"]["annotations"] = json!({GIVEN: text});
        }
        let patch = node.map(|_| patch);
        (!change.details.is_empty()).then(|| Difference { node: name.to_owned(), change, patch })
    }

    /// Whether it is the one that keeps workloads from control planes.
    fn is_kubeadms(&self, taint: &Value) -> bool {
        taint["key"] == self.control_plane && taint["effect"] == "NoSchedule"
    }

    /// By key what a label is, and what it shall be.
    fn labels(&self, live: &Value, given: &Given) -> BTreeMap<String, (Option<String>, Option<String>)> {
        let wanted = self.labels.iter().map(|(key, value)| (key, Some(value)));
        let gone = given.labels.iter().filter(|key| !self.labels.contains_key(*key)).map(|key| (key, None));
        let both = wanted.chain(gone).map(|(key, to)| {
            let from = live[key.as_str()].as_str().map(String::from);
            (key.clone(), (from, to.cloned()))
        });
        both.filter(|(_, (from, to))| from != to).collect()
    }

    /// All taints that the node shall have, and what changes: the taint, what it is, and what it shall be.
    fn taints(&self, live: &Value, given: &Given) -> (Vec<Value>, Vec<(String, String, String)>) {
        let live = live.as_array().map(Vec::as_slice).unwrap_or_default();
        let find = |taints: &[Value], taint: &Value| {
            taints.iter().find(|other| short(other) == short(taint)).cloned()
        };
        let (mut taints, mut changed) = (Vec::new(), Vec::new());
        for taint in live {
            match find(&self.taints, taint) {
                Some(wanted) if value(&wanted) == value(taint) => taints.push(taint.clone()),
                Some(wanted) => {
                    changed.push((short(taint), value(taint).to_owned(), value(&wanted).to_owned()));
                    taints.push(wanted);
                }
                None if given.taints.contains(&short(taint)) || self.is_kubeadms(taint) => {
                    changed.push((short(taint), shown(taint), NONE.to_owned()));
                }
                None => taints.push(taint.clone()),
            }
        }
        for wanted in self.taints.iter().filter(|wanted| find(live, wanted).is_none()) {
            changed.push((short(wanted), NONE.to_owned(), shown(wanted)));
            taints.push(wanted.clone());
        }
        (taints, changed)
    }
}

/// Whether somebody else takes such a taint away when a node is ready for its pods, such as Cilium its
/// `node.cilium.io/agent-not-ready`. A node joins with it, and gets it never again.
fn is_taken_away(taint: &Value) -> bool {
    let key = taint["key"].as_str().unwrap_or_default();
    key.ends_with("agent-not-ready")
        || key.ends_with("uninitialized")
        || key.starts_with("node.kubernetes.io/")
}

/// By which taints are told apart: `key:Effect`.
fn short(taint: &Value) -> String {
    let word = |what: &str| taint[what].as_str().unwrap_or_default();
    format!("{}:{}", word("key"), word("effect"))
}

fn value(taint: &Value) -> &str {
    taint["value"].as_str().unwrap_or_default()
}

/// What a taint says beside its key and its effect.
fn shown(taint: &Value) -> String {
    match value(taint) {
        "" => "set".to_owned(),
        value => value.to_owned(),
    }
}

#[cfg(test)]
#[path = "marks_tests.rs"]
mod tests;
