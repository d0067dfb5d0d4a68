//! Where the key comes from that the cluster's Secrets are encrypted with.

use serde::Serialize;

use super::{Observed, living};
use crate::inventory::{Inventory, Role};

/// What a control plane does to have the key. There is one key: a second one would make Secrets unreadable, so that one
/// is made only where it is certain that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// It has the key.
    Keep,
    /// It makes the key: no control plane has one, and all of them have been asked.
    Make,
    /// It takes the key from a control plane that has it, or that makes it in this run.
    Take,
    /// No control plane that answers has the key, and one that does not answer may have it.
    Unknown,
}

impl Key {
    /// For the control plane `name`, of which `begins` says whether it begins the cluster or speaks for it.
    pub fn of(inventory: &Inventory, facts: &Observed, name: &str, begins: bool) -> Key {
        // A host that is no control plane yet may have a key that is left over from another cluster.
        let has = |name: &str| facts.get(name).is_some_and(|facts| facts.kubernetes.encryption_key);
        let somebody_has = living(inventory, facts).any(has);
        let all_answer = inventory.with_role(Role::ControlPlane).all(|(name, _)| facts.contains_key(name));
        match () {
            () if has(name) && living(inventory, facts).any(|living| living == name) => Key::Keep,
            () if somebody_has => Key::Take,
            () if !all_answer => Key::Unknown,
            () if begins => Key::Make,
            () => Key::Take,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::{Facts, Kubernetes},
        inventory,
    };

    /// Three control planes by what they are: `-` nothing yet, `l` nothing but a key left over, `c` a control plane,
    /// `k` one that has a key, ` ` silent.
    fn keys(hosts: &str) -> Vec<Key> {
        let text = "cluster: {name: a, kubernetes: \"1.20.2\", endpoint: {address: 10.0.0.1}}\nhosts:\n  \
            a: {address: 10.0.0.1, roles: [control-plane]}\n  b: {address: 10.0.0.2, roles: [control-plane]}\n  \
            c: {address: 10.0.0.3, roles: [control-plane]}\n";
        let inventory = inventory::parse("t.yaml", text).unwrap().inventory;
        let state = |(name, what): (&str, char)| {
            let kubernetes = Kubernetes {
                control_plane: "ck".contains(what),
                encryption_key: "kl".contains(what),
                ..Kubernetes::default()
            };
            (what != ' ').then(|| (name.to_string(), Facts { kubernetes, ..Facts::default() }))
        };
        let facts: Observed = ["a", "b", "c"].into_iter().zip(hosts.chars()).filter_map(state).collect();
        let begins = crate::cluster::first(&inventory, &facts).unwrap_or("a");
        facts.keys().map(|name| Key::of(&inventory, &facts, name, name == begins)).collect()
    }

    #[test]
    fn there_is_one_key() {
        use Key::{Keep, Make, Take, Unknown};
        for (hosts, expected) in [
            // A new cluster, on fresh hosts and on used ones.
            ("---", [Make, Take, Take].as_slice()),
            ("l-l", &[Make, Take, Take]),
            // One that runs without a key, and then with one.
            ("ccc", &[Make, Take, Take]),
            ("kkk", &[Keep, Keep, Keep]),
            // A control plane that joins takes the key, whatever is left over there.
            ("k-l", &[Keep, Take, Take]),
            // Killed in the middle; a file that was lost.
            ("kcc", &[Keep, Take, Take]),
            ("ckk", &[Take, Keep, Keep]),
            // With one that is off there is a key as long as one that answers has it.
            ("ck ", &[Take, Keep]),
            ("cc ", &[Unknown, Unknown]),
            (" c-", &[Unknown, Unknown]),
        ] {
            assert_eq!(keys(hosts), expected, "{hosts:?}");
        }
    }
}
