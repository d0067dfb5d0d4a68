//! How a role's text becomes statements: variables, conditions, loops, files beside the role.

use hoist::{
    engine::{Error, RoleSteps, Templates, compile},
    task::{Payload, Task},
};
use serde_json::{Value, json};

use crate::bed::Bed;

/// The statements of role `one` where the inventory gives these variables.
fn compiled(bed: &Bed, vars: Value) -> Result<Vec<RoleSteps>, Error> {
    let mut target = bed.target("h1", &["one"]);
    for (key, value) in vars.as_object().unwrap() {
        let mut vars = target.context.get("vars");
        vars[key] = value.clone();
        target.context.set("vars", vars);
    }
    let library = bed.library();
    compile(&library, &Templates::new(library.clone()), &target)
}

fn names(steps: &[RoleSteps]) -> Vec<&str> {
    steps.iter().flat_map(|role| &role.steps).map(|step| step.name.as_str()).collect()
}

#[test]
fn a_variable_of_the_inventory_wins_over_the_default_and_changes_nothing_else() {
    let role = "
defaults: {a: default, b: default, deep: {x: 1, y: 1}, host: {name: nobody}, facts: none}
tasks:
  - name: '{{ vars.a }} {{ vars.b }} {{ vars.deep.x }} {{ vars.deep.y }} {{ host.name }}'
    absent: {path: /x}
";
    let bed = Bed::new(&[("one", role)], &[]);
    let own = json!({"b": "own", "deep": {"y": 2}, "cluster": "x"});
    assert_eq!(names(&compiled(&bed, own).unwrap()), ["default own 1 2 h1"]);
}

#[test]
fn a_host_s_variable_wins_over_the_inventory_s() {
    let text = include_str!("../../inventory/lab.yaml").replace(
        "w1: {address: 10.77.0.12, roles: [worker]}",
        "w1: {address: 10.77.0.12, roles: [worker], vars: {a: of the host}}",
    );
    let text = text.replace("\nvars:\n", "\nvars:\n  a: of the inventory\n  b: of the inventory\n");
    let inventory = hoist::inventory::parse("lab.yaml", &text).unwrap().inventory;
    let role = "
defaults: {a: default, b: default, c: default}
tasks: [{name: '{{ vars.a }}, {{ vars.b }}, {{ vars.c }}', absent: {path: /x}}]
";
    let bed = Bed::new(&[("one", role)], &[]);
    for (host, expected) in [
        ("w1", "of the host, of the inventory, default"),
        ("w2", "of the inventory, of the inventory, default"),
    ] {
        let vars = Value::Object(inventory.vars(&inventory.hosts[host]));
        assert_eq!(names(&compiled(&bed, vars).unwrap()), [expected], "{host}");
    }
}

#[test]
fn an_input_must_be_given() {
    let role = "inputs: [vip]\ntasks: [{name: 'at {{ vars.vip }}', absent: {path: /x}}]\n";
    let bed = Bed::new(&[("one", role)], &[]);
    assert_eq!(names(&compiled(&bed, json!({"vip": "10.0.0.1"})).unwrap()), ["at 10.0.0.1"]);
    for vars in [json!({}), json!({"vip": null})] {
        let error = compiled(&bed, vars).unwrap_err();
        assert_eq!(error.to_string(), "role \"one\" needs `vars.vip`");
    }
}

#[test]
fn a_condition_may_speak_of_the_element() {
    let role = "
tasks:
  - name: '{{ item.name }}'
    loop: \"[{'name': 'a', 'on': true}, {'name': 'b', 'on': false}, {'name': 'c', 'on': true}]\"
    when: item.on
    absent: {path: /x}
  # There is no such list, and it is not asked for.
  - name: never
    loop: vars.nothing
    when: host.name == 'other'
    absent: {path: /x}
  - name: after the loop there is no element
    when: item is undefined
    absent: {path: /x}
";
    let bed = Bed::new(&[("one", role)], &[]);
    assert_eq!(names(&compiled(&bed, json!({})).unwrap()), ["a", "c", "after the loop there is no element"]);
}

#[test]
fn what_is_beside_the_role_is_copied_as_it_is() {
    let role = "
tasks:
  - name: text
    copy: {source: sub/text, path: /x, mode: '0600', owner: daemon}
  - name: binary
    copy: {source: '{{ host.name }}.bin', path: /y}
";
    let bed = Bed::new(&[("one", role)], &[]);
    let files = bed.state().join("roles/one/files");
    std::fs::create_dir_all(files.join("sub")).unwrap();
    std::fs::write(files.join("sub/text"), "{{ not rendered }}").unwrap();
    std::fs::write(files.join("h1.bin"), [0, 255]).unwrap();
    let steps = compiled(&bed, json!({})).unwrap().remove(0).steps;
    let [Task::Copy(text), Task::Copy(binary)] = [&steps[0].task, &steps[1].task] else {
        panic!("{steps:?}")
    };
    assert_eq!(text.payload, Payload::Bytes(b"{{ not rendered }}".to_vec()));
    assert_eq!(
        (text.mode.to_string().as_str(), text.owner.as_str(), text.group.as_str()),
        ("0600", "daemon", "root")
    );
    assert_eq!((binary.payload.clone(), binary.path.as_str()), (Payload::Bytes(vec![0, 255]), "/y"));
}

#[test]
fn a_copy_stays_beside_its_role() {
    for source in ["none", "../role.yaml", "/etc/passwd", "sub/../../role.yaml", ""] {
        let role = format!("tasks: [{{name: copies, copy: {{source: '{source}', path: /x}}}}]\n");
        let error = compiled(&Bed::new(&[("one", &role)], &[]), json!({})).unwrap_err();
        assert!(matches!(&error, Error::NoFile { path } if path.ends_with(source)), "{error}");
    }
}

/// What people read of an error: the snippet with its marks, without colours.
fn shown(error: &Error) -> String {
    let mut text = String::new();
    let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::none()).with_width(200);
    handler.render_report(&mut text, error).unwrap();
    text
}

#[test]
fn a_statement_that_makes_no_sense_has_its_place() {
    let role = "tasks: [{name: edits, line: {path: /x, line: a, match: '{{ vars.pattern }}'}}]\n";
    let bed = Bed::new(&[("one", role)], &[]);
    assert!(compiled(&bed, json!({"pattern": "a*"})).is_ok());
    let error = compiled(&bed, json!({"pattern": "("})).unwrap_err();
    assert!(error.to_string().contains("task \"edits\" of the role \"one\""), "{error}");
    assert!(shown(&error).contains("roles/one/role.yaml:2:"), "{}", shown(&error));
    assert!(shown(&error).contains("no regular expression"), "{}", shown(&error));
}

#[test]
fn a_string_that_does_not_render_is_shown_where_it_stands() {
    let role = "
defaults: {size: 1, text: a}
tasks:
  - name: fine
    absent: {path: /x}
  - name: 'says {{ host.name }}'
    loop: '[host]'
    when: item.name == host.name
    command:
      unless: 'true'
      # Lines of a block are lines of the file.
      run: |
        first
        {% if vars.size == 1 %}
          second {{ vars.text }}
            'third' {{ vars.missing.name }}
        {% endif %}
";
    // The text, and what is to be shown in its place: line, column, and a part of the message.
    for (wrong, mended, place, says) in [
        ("", "", "17:28", "undefined value"),
        ("{{ vars.missing.name }}", "{{ vars.text | nobody }}", "17:36", "unknown filter"),
        ("{{ vars.missing.name }}", "{{ vars.text", "18:9", "unexpected `{`"),
        ("{{ vars.missing.name }}", "{% include 'broken.txt' %}", "", "templates/broken.txt:2:8"),
        ("when: item.name == host.name", "when: item.nobody == host.name", "9:11", "undefined value"),
        ("when: item.name == host.name", "when: item.name ==", "9:", "unexpected end"),
        ("when: item.name == host.name", "when: host.name", "9:11", "neither true nor false"),
        ("loop: '[host]'", "loop: vars.text", "8:11", "`vars.text` is no list"),
        ("'says {{ host.name }}'", "says '{{ host.nobody }}'", "", "undefined value"),
    ] {
        let own = if wrong.is_empty() { role.to_owned() } else { role.replace(wrong, mended) };
        assert!(wrong.is_empty() || own != role, "{wrong}");
        let bed = Bed::new(&[("one", &own)], &[("broken.txt", "fine\n{{ vars.nothing.there }}\n")]);
        let text = shown(&compiled(&bed, json!({})).unwrap_err());
        assert!(text.contains(says), "{mended}: {text}");
        assert!(
            place.is_empty() || text.contains(&format!("roles/one/role.yaml:{place}")),
            "{mended}: {text}"
        );
    }
    let bed = Bed::new(&[("one", role)], &[]);
    let expected = r#"  x the task "says {{ host.name }}" of the role "one" has a mistake

Error: 
  x undefined value: `vars.missing` is undefined
    ,-[roles/one/role.yaml:17:28]
 16 |           second {{ vars.text }}
 17 |             'third' {{ vars.missing.name }}
    :                            ^^^^^^|^^^^^^
    :                                  `-- here
 18 |         {% endif %}
    `----
  help: a name in it is not defined: check its spelling, or give it a value under `vars`
"#;
    assert_eq!(shown(&compiled(&bed, json!({})).unwrap_err()), expected);
}

/// Whatever is wrong in a template, and however deep: its file, line and column, and for whom it was rendered.
#[test]
fn a_template_that_does_not_render_is_shown_where_it_is_wrong() {
    for (wrong, place, says) in [
        ("{{ vars.nobody }}", "2:10", "undefined value: `vars.nobody` is undefined"),
        ("{{ vars.nobody.name }}", "2:14", "undefined value: `vars.nobody` is undefined"),
        ("{{ host.name | nobody }}", "2:22", "unknown filter: filter nobody is unknown"),
        ("{% if host.name is nobody %}{% endif %}", "2:26", "unknown test: test nobody is unknown"),
        ("{{ nobody(1) }}", "2:", "nobody is unknown"),
        ("{{ host.name", "3:1", "syntax error: unexpected identifier"),
        ("{% for x in %}", "2:", "syntax error"),
        ("{{ 1 / 0 }}", "2:", "invalid operation"),
        ("{{ host.name | join(1, 2, 3) }}", "2:22", "value is not a string"),
        ("{% include 'nothing.txt' %}", "2:", "nothing.txt"),
        ("{% if true %}", "", "unexpected end of input"),
    ] {
        let text = format!("first\n    \u{e9} {wrong}\nlast\n");
        let role = "tasks: [{name: greets, template: {source: a.txt, path: /x}}]\n";
        // Itself, in what it includes, and in what a string of the role includes.
        let including = "one\ntwo\n{% include 'deep/b.txt' %}\n";
        let string = "tasks: [{name: greets, file: {path: /x, content: \"{% include 'deep/b.txt' %}\"}}]\n";
        for (role, templates, file) in [
            (role, [("a.txt", text.as_str()), ("unused", "")], "a.txt"),
            (role, [("a.txt", including), ("deep/b.txt", &text)], "deep/b.txt"),
            (string, [("a.txt", ""), ("deep/b.txt", &text)], "deep/b.txt"),
        ] {
            let bed = Bed::new(&[("one", role)], &templates);
            let error = compiled(&bed, json!({})).unwrap_err();
            let (line, text) = (error.to_string(), shown(&error));
            let at = format!("templates/{file}:{place}");
            assert!(line.starts_with(&format!("failed to render {at}")), "{wrong}: {text}");
            assert!(line.contains("(for roles/one/role.yaml, task \"greets\")"), "{wrong}: {line}");
            assert!(line.contains(says), "{wrong}: {line}");
            assert!(text.contains(&format!("[{at}")) && text.contains(wrong), "{wrong}: {text}");
            assert!(text.contains("here"), "{wrong}: {text}");
        }
    }
    let bed = Bed::new(
        &[("one", "tasks: [{name: greets, template: {source: a.txt, path: /x}}]\n")],
        &[("a.txt", "hello\n  {{ vars.nobody }}, hello\n")],
    );
    let expected = r#"  x failed to render templates/a.txt:2:6 (for roles/one/role.yaml, task "greets"): undefined value: `vars.nobody` is undefined
   ,-[templates/a.txt:2:6]
 1 | hello
 2 |   {{ vars.nobody }}, hello
   :      ^^^^^|^^^^^
   :           `-- here
   `----
  help: a name in it is not defined: check its spelling, or give it a value under `vars`
"#;
    assert_eq!(shown(&compiled(&bed, json!({})).unwrap_err()), expected);
}

/// What a run could not know before it begins is a mistake before it.
#[test]
fn a_template_of_late_values_that_cannot_be_looked_through_has_its_place() {
    let role = "tasks: [{name: joins, command: {run: cat, creates: /x, stdin: {template: a.txt}}}]\n";
    for (text, place, says) in [
        ("x\n{{ late }}\n", "2:4", "it does not say which late value it uses"),
        ("x\n\n{% include vars.name %}\n", "3:12", "whose name is computed"),
        ("x\n{{ late.join.token\n", "2:14", "unexpected end of input"),
    ] {
        let bed = Bed::new(&[("one", role)], &[("a.txt", text)]);
        let error = compiled(&bed, json!({"name": "b.txt"})).unwrap_err();
        let line = error.to_string();
        assert!(line.starts_with(&format!("failed to render templates/a.txt:{place} (for ")), "{line}");
        assert!(line.contains(says), "{line}");
        assert!(shown(&error).contains(&format!("[templates/a.txt:{place}")), "{}", shown(&error));
    }
}
