//! Plans in files.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::bed::{Fleet, Ran};

/// The variables of the inventory: a password that is in a secret file.
const SECRET: &str = ", password: hunter2hunter2";

struct Saved {
    fleet: Fleet,
    plan: String,
}

/// Two hosts, and a plan of the role `note` for them in a file.
fn saved(options: &[&str]) -> Option<Saved> {
    let fleet = Fleet::start(&["cp1", "w1"])?;
    fleet.inventory(&["cp1", "w1"], SECRET);
    let plan = fleet.path("x.plan").to_str().unwrap().to_owned();
    fleet.hoist("plan", &[&["--only", "note", "--out", &plan], options].concat()).exits(2);
    Some(Saved { fleet, plan })
}

impl Saved {
    fn apply(&self) -> Ran {
        Ran::of(self.fleet.command(&["apply", &self.plan]))
    }

    #[track_caller]
    fn is_refused(&self, says: &str) {
        self.apply().exits(3).says("the plan does not fit any more").says(says).says("nothing was changed");
    }
}

#[test]
fn what_was_looked_at_is_done_and_only_once() {
    for options in [&["--limit", "w1"][..], &["--limit", "w1", "--diff"]] {
        let Some(saved) = saved(options) else { return };
        let text = fs::read_to_string(&saved.plan).unwrap();
        assert_eq!(fs::metadata(&saved.plan).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!text.contains("hunter2") && text.contains("w1.secret"), "{text}");
        // It knows its inventory, its roles and its hosts, wherever it is applied.
        let mut command = saved.fleet.command(&["apply", &saved.plan]);
        command.env_remove("HOIST_INVENTORY").current_dir("/");
        Ran::of(command).exits(0).says("2 changes");
        assert_eq!(saved.fleet.left(), ["w1.note", "w1.secret"]);
        saved.is_refused("w1: note: a note: holds by now");
    }
}

/// Statements of a loop, whose names may all be the same.
#[test]
fn each_statement_is_known_from_others_of_its_name() {
    let Some(fleet) = Fleet::start(&["cp1"]) else { return };
    fleet.role(
        "notes",
        "tasks:
  - name: a note
    loop: '[1, 2, 3]'
    file: {path: '{{ vars.root }}/{{ item }}.note', content: \"{{ item }}\\n\"}",
    );
    fleet.write("root/2.note", "2\n");
    fs::set_permissions(fleet.root().join("2.note"), fs::Permissions::from_mode(0o644)).unwrap();
    let plan = fleet.path("x.plan").to_str().unwrap().to_owned();
    let json = ["--only", "notes", "--out", &plan, "--output", "json"];
    fleet.hoist("plan", &json).exits(2).says("\"a note\"").says("a note #3").says_nothing_of("a note #2");
    Ran::of(fleet.command(&["apply", &plan])).exits(0).says("2 changes");
    fs::remove_file(fleet.root().join("3.note")).unwrap();
    fleet.hoist("plan", &["--only", "notes", "--out", &plan]).exits(2);
    fs::remove_file(fleet.root().join("1.note")).unwrap();
    let ran = Ran::of(fleet.command(&["apply", &plan])).exits(3);
    ran.says("cp1: notes: a note: does not hold any more").says_nothing_of("a note #3");
    assert_eq!(fleet.left(), ["2.note"]);
}

#[test]
fn whatever_changes_meanwhile_stops_it() {
    let Some(mut saved) = saved(&[]) else { return };
    let inventory = fs::read_to_string(saved.fleet.path("inventory.yaml")).unwrap();
    saved.fleet.write("inventory.yaml", &format!("{inventory}# a word\n"));
    saved.is_refused("inventory.yaml has changed");
    saved.fleet.write("inventory.yaml", &inventory);

    let role = fs::read_to_string(saved.fleet.path("roles/roles/note/role.yaml")).unwrap();
    saved.fleet.write("roles/roles/note/role.yaml", &role.replace("0600", "0640"));
    saved.is_refused("the roles or templates have changed");
    saved.fleet.write("roles/roles/note/role.yaml", &role);

    saved.fleet.write("root/w1.note", "by hand\n");
    saved.is_refused("w1: note: a note: differs otherwise");
    fs::remove_file(saved.fleet.root().join("w1.note")).unwrap();

    assert_eq!(saved.fleet.left(), Vec::<String>::new());
    saved.fleet.stop(1);
    saved.is_refused("w1: cannot be read any more");
    assert_eq!(saved.fleet.left(), Vec::<String>::new());
}

#[test]
fn a_plan_goes_with_nothing_that_it_knows_itself() {
    let Some(saved) = saved(&[]) else { return };
    let apply =
        |arguments: &[&str]| Ran::of(saved.fleet.command(&[&["apply", &saved.plan], arguments].concat()));
    for option in [["--limit", "w1"], ["--only", "note"], ["--roles", "x"]] {
        apply(&option).exits(64).says("cannot be used with");
    }
    let other = saved.fleet.path("other.yaml");
    fs::copy(saved.fleet.path("inventory.yaml"), &other).unwrap();
    apply(&["-i", other.to_str().unwrap()]).exits(64).says("leave -i out");
    let mut command = saved.fleet.command(&["apply", &saved.plan]);
    command.env("HOIST_INVENTORY", &other);
    Ran::of(command).exits(0).says("4 changes");
    let mut command = saved.fleet.command(&["apply"]);
    command.env_remove("HOIST_INVENTORY");
    Ran::of(command).exits(64).says("--inventory");
    let nothing = saved.fleet.path("nothing").to_str().unwrap().to_owned();
    Ran::of(saved.fleet.command(&["apply", &nothing])).exits(71).says("failed to read the plan");
    saved.fleet.write("nothing", "{}");
    Ran::of(saved.fleet.command(&["apply", &nothing])).exits(65).says("is no plan");
}

#[test]
fn a_plan_that_cannot_be_written_is_an_error() {
    let Some(fleet) = Fleet::start(&["cp1"]) else { return };
    fleet
        .hoist("plan", &["--only", "note", "--out", "/nonexistent/x.plan"])
        .exits(71)
        .says("failed to write the plan");
}

/// What is wrong in a file of the library is shown there, and nothing is begun.
#[test]
fn a_mistake_in_a_template_is_shown_where_it_stands() {
    let Some(fleet) = Fleet::start(&["cp1"]) else { return };
    fleet.role(
        "greets",
        "tasks:
  - name: first
    file: {path: '{{ vars.root }}/first', content: x}
  - name: greets
    template: {source: greeting.txt, path: '{{ vars.root }}/greeting'}",
    );
    fleet.write("roles/templates/greeting.txt", "hello\n{% include 'deep.txt' %}\n");
    for (wrong, column, says) in [
        ("{{ vars.nobody }}", 8, "undefined value: `vars.nobody` is undefined"),
        ("{{ host.name | nobody }}", 20, "unknown filter: filter nobody is unknown"),
        ("{% for %}", 12, "syntax error"),
    ] {
        fleet.write("roles/templates/deep.txt", &format!("one\nand {wrong}\n"));
        for verb in ["plan", "apply"] {
            let ran = fleet.hoist(verb, &["--only", "greets"]).exits(65).says(wrong).says(says);
            let ran = ran.says("(for roles/greets/role.yaml, task \"greets\")");
            ran.says(&format!("[templates/deep.txt:2:{column}]"));
        }
    }
    assert_eq!(fleet.left(), Vec::<String>::new());
}
