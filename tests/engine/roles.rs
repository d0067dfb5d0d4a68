//! What is said of roles that cannot be used.

use hoist::engine::{Error, Templates, compile};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

use crate::bed::Bed;

/// What a terminal without colour and Unicode shows, in one line.
fn shown(error: &dyn Diagnostic) -> String {
    let mut out = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::none()).with_width(400);
    handler.render_report(&mut out, error).unwrap();
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn refused(roles: &[(&str, &str)], templates: &[(&str, &str)]) -> (Error, String) {
    let error = Bed::new(roles, templates).compile(&["one"]).unwrap_err();
    let shown = shown(&error);
    (error, shown)
}

#[test]
fn an_unknown_role_lists_the_known_ones() {
    let (error, shown) = refused(&[("won", "tasks: []")], &[]);
    assert!(matches!(&error, Error::NoRole { name, .. } if name == "one"), "{shown}");
    for known in ["won", "base", "control-plane", "worker"] {
        assert!(shown.contains(known), "{shown}");
    }
}

#[test]
fn a_circle_is_shown() {
    let (error, _) = refused(
        &[
            ("one", "needs: [two]\ntasks: []"),
            ("two", "needs: [three]\ntasks: []"),
            ("three", "needs: [one]\ntasks: []"),
        ],
        &[],
    );
    assert_eq!(error.to_string(), "roles need each other in a circle: one -> two -> three -> one");
}

#[test]
fn what_a_role_needs_comes_first_and_once() {
    let roles = [
        ("one", "needs: [two, three]\ntasks: []"),
        ("two", "needs: [three]\ntasks: []"),
        ("three", "tasks: []"),
    ];
    let bed = Bed::new(&roles, &[]);
    let compiled = bed.compile(&["one", "two"]).unwrap();
    let names: Vec<&str> = compiled.iter().map(|role| role.role.as_str()).collect();
    assert_eq!(names, ["three", "two", "one"]);
}

#[test]
fn a_task_states_exactly_one_thing() {
    for (kinds, label) in [
        ("    absent: {path: /x}\n    swap_off: {}", "kinds: absent, swap_off"),
        ("    when: 'true'", "no kind"),
    ] {
        let text = format!("tasks:\n  - name: fine\n    absent: {{path: /x}}\n  - name: odd\n{kinds}\n");
        let (error, shown) = refused(&[("one", &text)], &[]);
        assert!(matches!(error, Error::Role(_)), "{shown}");
        assert!(shown.contains("a task states exactly one thing") && shown.contains(label), "{shown}");
        assert!(shown.contains("roles/one/role.yaml:5:"), "{shown}");
    }
}

#[test]
fn an_undefined_variable_has_its_place() {
    let file = "tasks:\n  - name: greets\n    template: {source: greeting.txt, path: /x}\n";
    let (_, shown) = refused(&[("one", file)], &[("greeting.txt", "hello\n\n{{ vars.nmae }}\n")]);
    assert!(shown.contains("templates/greeting.txt:3:4") && shown.contains("not defined"), "{shown}");

    let included = ("greeting.txt", "{% include \"deep.txt\" %}\n");
    let (_, shown) = refused(&[("one", file)], &[included, ("deep.txt", "hello\n{{ vars.nmae }}\n")]);
    assert!(shown.contains("templates/deep.txt:2:4"), "{shown}");

    let inline = "tasks:\n  - name: cleans\n    absent: {path: '/{{ vars.nmae }}'}\n";
    let (_, shown) = refused(&[("one", inline)], &[]);
    assert!(shown.contains("task \"cleans\"") && shown.contains("roles/one/role.yaml:4:25"), "{shown}");

    let when = "tasks:\n  - name: cleans\n    when: vars.nmae\n    absent: {path: /x}\n";
    let (_, shown) = refused(&[("one", when)], &[]);
    assert!(shown.contains("task \"cleans\"") && shown.contains("roles/one/role.yaml:4:11"), "{shown}");
}

#[test]
fn conditions_and_lists_must_be_such() {
    for (line, says) in [
        ("when: \"'yes'\"", "neither true nor false"),
        ("loop: host.name", "is no list"),
        ("command: {run: date}", "a command needs `creates` or `unless`"),
    ] {
        let kind = if line.starts_with("command") { "" } else { "\n    absent: {path: /x}" };
        let (_, shown) = refused(&[("one", &format!("tasks:\n  - name: odd\n    {line}{kind}\n"))], &[]);
        assert!(shown.contains(says) && shown.contains("task \"odd\""), "{shown}");
    }
}

#[test]
fn the_inventory_overrides_defaults_key_by_key() {
    let role = "
defaults: {user: default, list: [a, b], deep: {x: 2}}
tasks:
  - name: '{{ item }} {{ vars.deep.x }} {{ vars.user }}'
    loop: vars.list
    absent: {path: '/{{ item }}'}
";
    let bed = Bed::new(&[("one", role)], &[]);
    let mut target = bed.target("one", &["one"]);
    let mut vars = target.context.get("vars");
    vars["user"] = "own".into();
    target.context.set("vars", vars);
    let library = bed.library();
    let compiled = compile(&library, &Templates::new(library.clone()), &target).unwrap();
    let names: Vec<&str> = compiled[0].steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["a 2 own", "b 2 own"]);
}

#[test]
fn a_missing_template_is_named() {
    let role = "tasks:\n  - name: greets\n    template: {source: none.txt, path: /x}\n";
    let (error, _) = refused(&[("one", role)], &[]);
    assert!(matches!(error, Error::NoTemplate { path } if path == "none.txt"));
}
