//! Inventories of Ansible in the forms in which Kubespray's users have them: each gets its exact inventory of hoist
//! and its exact notes, and what comes out passes the check.

use std::path::Path;

use hoist::inventory::{self, Imported};

fn import(file: &str) -> Imported {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import").join(file);
    inventory::import(&path).unwrap_or_else(|error| panic!("{file}: {:?}", miette::Report::new(error)))
}

#[test]
fn inventories_of_kubespray_become_inventories_that_pass() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/import/");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("fixtures/import");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for file in [
            "office/inventory.ini",
            "legacy/inventory.cfg",
            "builder/hosts.yaml",
            "ranges/hosts",
            "alike/hosts",
            "beside/inventory.ini",
        ] {
            let imported = import(file);
            let notes: String = imported.notes.iter().map(|note| format!("note: {note}\n")).collect();
            let answer = format!("{}\n{notes}", imported.text).replace(root, "");
            insta::assert_snapshot!(file.split_once('/').unwrap().0, answer);
            if let Err(error) = inventory::parse(file, &imported.text) {
                panic!("{file}: {:?}", miette::Report::new(error));
            }
        }
    });
}

#[test]
fn no_secret_comes_along() {
    let Imported { text, notes } = import("office/inventory.ini");
    let all = text + &notes.join("\n");
    assert!(!all.contains("hunter") && !all.contains("6231"), "{all}");
    for name in
        ["ansible_become_pass", "ansible_password", "ansible_ssh_common_args", "grafana_admin_password"]
    {
        assert!(all.contains(name), "{name} is told");
    }
}
