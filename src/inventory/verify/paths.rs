//! Paths on the administrator's machine: only what can be said without looking at it.

use std::path::Path;

use crate::{
    inventory::{Inventory, Ssh},
    yaml::{Document, Problem},
};

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let inventory = &document.value;
    let mut check = |path: &[&str], value: Option<&Path>| {
        if let Some(problem) = value.and_then(|value| unusable(document, path, value)) {
            problems.push(problem);
        }
    };
    check(&["artifacts", "folder"], Some(&inventory.artifacts.folder));
    check(&["artifacts", "bundle"], inventory.artifacts.bundle.as_deref());
    let policies = inventory.addons.cilium.as_ref().and_then(|cilium| cilium.policies.as_deref());
    check(&["addons", "cilium", "policies"], policies);
    for (field, value) in files(&inventory.ssh) {
        check(&["ssh", field], value);
    }
    for (name, host) in &inventory.hosts {
        for (field, value) in files(&host.ssh) {
            check(&["hosts", name, "ssh", field], value);
        }
    }
}

fn files(ssh: &Ssh) -> [(&'static str, Option<&Path>); 3] {
    [
        ("key", ssh.key.as_deref()),
        ("known_hosts", ssh.known_hosts.as_deref()),
        ("config", ssh.config.as_deref()),
    ]
}

fn unusable(document: &Document<Inventory>, path: &[&str], value: &Path) -> Option<Problem> {
    let text = value.to_string_lossy();
    let problem = Problem::new(document.tree.at(path), format!("`{text}` is not a path that can be used"));
    match text.strip_prefix('~') {
        _ if text.is_empty() => Some(problem.label("empty").help("write a path, or leave the key out")),
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Some(
            problem.label("the home of another user").help("`~` is your own home only: write the whole path"),
        ),
        _ => None,
    }
}
