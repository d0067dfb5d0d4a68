//! Parts of an inventory and parts of the library.

use crate::bed::{Fleet, Ran};

const NAMES: [&str; 3] = ["cp1", "w1", "w2"];

#[test]
fn a_role_of_ones_own_on_some_hosts_needs_neither_artifacts_nor_a_cluster() {
    let Some(mut fleet) = Fleet::start(&NAMES) else { return };
    fleet.role("own", "needs: [note]\ntasks:\n  - name: own\n    file: {path: '{{ vars.root }}/{{ host.name }}.own', content: ''}");
    std::fs::remove_dir_all(fleet.path("artifacts")).unwrap();
    // Hosts that are not selected are not asked either.
    fleet.stop(0);
    for (limit, changes) in [("w1", "3 changes"), ("worker", "3 changes"), ("w2,w1", "0 changes")] {
        fleet
            .hoist("apply", &["--only", "own", "--limit", limit])
            .exits(0)
            .says(changes)
            .says_nothing_of("ready");
    }
    assert_eq!(fleet.left(), ["w1.note", "w1.own", "w1.secret", "w2.note", "w2.own", "w2.secret"]);
    fleet
        .hoist("plan", &["--only", "own,note", "--limit", "worker"])
        .exits(0)
        .says("6 statements hold on 2 hosts");
    assert_eq!(fleet.records("jsonl").len(), 2, "a run without changes leaves no record");
    // Without artifacts the whole of the inventory is not to be had.
    fleet.hoist("plan", &["--limit", "worker"]).exits(71).says("there are no artifacts");
}

#[test]
fn a_word_that_means_nobody_or_no_role_is_a_mistake() {
    let Some(fleet) = Fleet::start(&["cp1", "w1"]) else { return };
    for verb in ["plan", "apply"] {
        fleet.hoist(verb, &["--limit", "w9"]).exits(64).says("`w9` is no host of the inventory");
        fleet.hoist(verb, &["--only", "notes"]).exits(65).says("there is no role \"notes\"").says("note");
    }
    assert_eq!(fleet.left(), Vec::<String>::new());
}

/// What was meant would be passed over in silence.
#[test]
fn a_folder_without_roles_is_a_mistake() {
    let Some(fleet) = Fleet::start(&["cp1"]) else { return };
    for (folder, says) in
        [("nowhere", "No such file"), ("roles/roles", "neither a folder roles nor a folder templates")]
    {
        let folder = fleet.path(folder);
        let arguments = ["plan", "--only", "note", "--roles", folder.to_str().unwrap()];
        Ran::of(fleet.command(&arguments)).exits(71).says(says).says("check the folder given with --roles");
    }
}

/// A role that names artifacts says so where there are none, and does not take them for an empty list.
#[test]
fn a_role_that_needs_artifacts_is_refused_without() {
    let Some(fleet) = Fleet::start(&["cp1"]) else { return };
    fleet.role("binaries", "tasks:\n  - name: '{{ item.name }}'\n    loop: host.binaries\n    absent: {path: '/{{ item.name }}'}");
    fleet.hoist("plan", &["--only", "binaries"]).exits(0).says("0 statements");
    std::fs::remove_dir_all(fleet.path("artifacts")).unwrap();
    fleet.hoist("plan", &["--only", "binaries"]).exits(65).says("roles/binaries/role.yaml");
}

/// Only what needs another host's value waits for it to be part of the run.
#[test]
fn only_a_role_whose_values_nobody_provides() {
    let Some(fleet) = Fleet::start(&["cp1", "w1"]) else { return };
    let ran = fleet.hoist("apply", &["--only", "worker", "--limit", "w1"]).exits(65);
    ran.says("no role of this run provides \"join\", which joined uses");
    assert_eq!(fleet.left(), Vec::<String>::new());
    for name in ["w1.joined", "w1.prepared"] {
        fleet.write(&format!("root/{name}"), "");
    }
    fleet.hoist("apply", &["--only", "worker", "--limit", "w1"]).exits(0).says("0 changes");
}
