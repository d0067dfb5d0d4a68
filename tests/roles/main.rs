//! Every embedded role, compiled for the sample inventories: golden files of all that would be put on a host.

mod balancers;
mod bed;
mod containerd;
mod control_plane;
mod encryption;
mod etcd;
mod families;
mod grown;
mod haproxy;
mod hold;
mod kubeadm;
mod name_anew;
#[path = "../support/namespace.rs"]
mod namespace;
mod once;
mod place;
mod read_anew;
mod renewal;
mod restart;
mod restore;
mod samples;
#[path = "../support/skip.rs"]
mod skip;
mod snapshot;
mod tunnel;
mod volumes;

use std::path::Path;

use hoist::engine::{Library, lint, role_reference};

#[test]
fn the_roles_and_templates_have_no_mistake() {
    let found = lint(&Library::default(), &[]).unwrap();
    assert!(found.is_empty(), "{:?}", found.iter().map(|file| file.to_json()).collect::<Vec<_>>());
}

#[test]
fn the_reference_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/roles.md");
    let reference = role_reference();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &reference).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == reference,
        "docs/roles.md is out of date: run `UPDATE=1 cargo test --test roles`"
    );
}
