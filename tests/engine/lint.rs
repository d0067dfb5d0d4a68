//! Every mistake in roles, found without a host and without an inventory.

use hoist::engine::{Error, lint};

use crate::bed::Bed;

/// `file:line: message; help` of every mistake.
fn found(bed: &Bed, roles: &[&str]) -> Vec<String> {
    let roles: Vec<String> = roles.iter().map(|role| role.to_string()).collect();
    let files = lint(&bed.library(), &roles).unwrap();
    let entries = files.iter().flat_map(|file| file.to_json().as_array().unwrap().clone());
    entries
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_string();
            format!("{}:{}: {}; {}", text("file"), entry["line"], text("message"), text("help"))
        })
        .collect()
}

#[test]
fn every_mistake_at_once() {
    let one = "needs: [two, bse]
inputs: [size]
defaults: {size: 1, user: {name: x}}
provides: {join: {run: echo}}
tasks:
  - name: '{{ item }}'
    absent: {path: '/{{ vars.user.nmae }}/{{ vars.color }}'}
  - name: no guard
    command: {run: 'echo {{ hots }}'}
  - name: no such files
    copy: {source: none.bin, path: /x}
  - name: no such template
    template: {source: greting.txt, path: /x}
  - name: broken text
    when: host.name ==
    absent: {path: '/{{ '}
  - name: a late value in a file
    template: {source: late.txt, path: /x}
  - name: of nobody
    command: {run: cat, creates: /x, stdin: {template: late.txt}}
  - name: fine
    loop: hosts
    when: item.name != host.name
    line: {path: /x, line: 'a {{ item.name }} {{ vars.size }} {{ range(3) }}', match: '{{ item.name }}.*'}
";
    let two = "needs: [one]\nprovides: {join: {run: echo}}\ntasks: []\n";
    let templates = [
        ("greeting.txt", "{% include 'inner.txt' %}{% include 'none.txt' %}\n"),
        ("inner.txt", "\n{% for x in hosts %}{{ x }}{{ loop.index }}{% endfor %}{{ clustr.name }}\n"),
        ("late.txt", "{{ late.join.token }}\n{{ late.jon.token }}\n"),
        ("broken.txt", "one\ntwo {% if %}\n"),
        ("used.txt", "{% include 'broken.txt' %}\n{% include vars.user.name %}"),
    ];
    let three = "tasks:
  - name: uses the others
    template: {source: greeting.txt, path: /x}
  - name: and this
    template: {source: used.txt, path: /y}
";
    let bed = Bed::new(&[("one", one), ("two", two), ("three", three)], &templates);
    insta::assert_snapshot!(found(&bed, &["one", "two", "three"]).join("\n"), @r##"
    roles/one/role.yaml:2: roles need each other in a circle: one -> two -> one; remove one of them from the `needs` of the other
    roles/one/role.yaml:2: there is no role `bse`; did you mean `base`?
    roles/one/role.yaml:3: `size` is an input and has a default; an input is what has none: remove one of them
    roles/one/role.yaml:5: role `control-plane` provides `join`, too; rename one of them
    roles/one/role.yaml:5: role `two` provides `join`, too; rename one of them
    roles/one/role.yaml:7: `item` exists only in a task with a `loop`; add `loop:`, or name the value itself
    roles/one/role.yaml:8: `vars.user.nmae` is not among the defaults and inputs of role `one`; did you mean `name`?
    roles/one/role.yaml:8: `vars.color` is not among the defaults and inputs of role `one`; add it to its `defaults`, or to its `inputs` if the inventory must give it
    roles/one/role.yaml:10: a command needs `creates` or `unless`, or `after` with `stamp`, or it would run every time; docs/roles.md says what each kind wants
    roles/one/role.yaml:10: `hots` is not defined; did you mean `host`?
    roles/one/role.yaml:12: there is no file "roles/one/files/none.bin"; add it, or mend the name
    roles/one/role.yaml:14: there is no template `greting.txt`; did you mean `greeting.txt`?
    roles/one/role.yaml:16: this is no expression: unexpected end of input, expected expression; docs/roles.md says how templates are written
    roles/one/role.yaml:17: this is no template: unexpected end of input, expected expression; docs/roles.md says how templates are written
    roles/two/role.yaml:2: roles need each other in a circle: two -> one -> two; remove one of them from the `needs` of the other
    roles/two/role.yaml:3: role `control-plane` provides `join`, too; rename one of them
    roles/two/role.yaml:3: role `one` provides `join`, too; rename one of them
    templates/broken.txt:2: this is no template: unexpected end of block; docs/roles.md says how templates are written
    templates/greeting.txt:1: there is no template `none.txt`; did you mean `inner.txt`?
    templates/inner.txt:2: `clustr` is not defined; did you mean `cluster`?
    templates/late.txt:1: a late value may be used only in the standard input of a command; give it to a command by `stdin`, so that nobody sees it
    templates/late.txt:2: a late value may be used only in the standard input of a command; give it to a command by `stdin`, so that nobody sees it
    templates/late.txt:2: no role provides `late.jon`; roles provide `encryption`, `etcd_ca`, `etcd_client`, `join`, `kept`, `member`, `pki`, `place`, `renewed_etcd_client` and `settings`
    templates/used.txt:2: the name of an included template is computed; write the name there: what the template needs must be known before a run
    "##);
}

/// What is wrong with one task hides nothing of the others, and nothing false follows from it.
#[test]
fn a_mistake_of_the_schema_hides_no_other() {
    let one = "inputs: [size]
tasks:
  - name: not a list
    package: {names: nginx}
  - name: no kind
  - absent: {path: /without-a-name}
  - name: a name that nobody knows
    absent: {path: '/{{ hots }}'}
  - name: a mode
    file: {path: /x, content: '{{ clustr }}', mode: u=rw}
  - name: of another tool
    notify: restart
    shell: echo
  - name: a loop
    loop: 5
    absent: {path: '/{{ item }}'}
  - name: two kinds
    absent: {path: /x}
    directory: {path: /x}
  - name: no guard
    command: {run: echo}
  - name: of another role
    command: {run: cat, creates: /x, stdin: {template: late.txt}}
";
    let two = "provides: {join: {run: echo}}\ntasks: nothing\n";
    let bed = Bed::new(&[("one", one), ("two", two)], &[("late.txt", "{{ late.join.token }}\n")]);
    let expected = [
        (5, "`tasks[0].package.names` should be a list"),
        (6, "a task states exactly one thing; add one kind"),
        (7, "`tasks[2]` lacks `name`"),
        (9, "`hots` is not defined"),
        (11, "`clustr` is not defined"),
        (11, "`tasks[4].file.mode` should be three or four octal digits such as \"0644\", not `u=rw`"),
        (13, "unknown key `notify` in `tasks[5]`; a service says itself what restarts it: `restart_after`"),
        (14, "unknown key `shell` in `tasks[5]`; write `command: {run: …}`"),
        (16, "`tasks[6].loop` should be a string"),
        (18, "a task states exactly one thing; make one task of each kind"),
        (22, ""),
    ];
    let told = found(&bed, &["one"]);
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, (line, words)) in told.iter().zip(expected) {
        assert!(told.starts_with(&format!("roles/one/role.yaml:{line}: {words}")), "{told}");
    }
    let without = Bed::new(&[], &[]);
    let path = without.root().join("../roles/bare/role.yaml");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "tasks: [{name: a, absent: {path: '/{{ hots }}'}}]\n").unwrap();
    assert_eq!(found(&without, &["bare"]).len(), 2, "a role without a description is looked through");
}

/// Line and column of the file, also in a block and in what is folded.
#[test]
fn a_mistake_in_a_long_string_has_the_line_that_it_is_in() {
    let role = "tasks:
  - name: a block
    command:
      unless: 'true'
      run: |
        one {{ host.name }}

        # 'two'
          three {{ hots }} {{ host.name | uper }}
        {% include 'none.sh' %}
  - name: folded
    require:
      what: >-
        one
        two {{ clustr }}
      check: \"a \\\"b\\\" {{ fact }}\"
      fix: a plain one
        that goes on {{ hst }}
  - name: broken
    command: {run: x, unless: y}
    when: >
      host.name
      is is
  - name: broken block
    absent:
      path: |
        /x
        {% if %}
";
    let bed = Bed::new(&[("one", role)], &[]);
    let files = lint(&bed.library(), &["one".to_owned()]).unwrap();
    let found: Vec<String> = files
        .iter()
        .flat_map(|file| file.to_json().as_array().unwrap().clone())
        .map(|entry| {
            let message = entry["message"].as_str().unwrap();
            format!("{}:{}: {message}", entry["line"], entry["column"])
        })
        .collect();
    insta::assert_snapshot!(found.join("\n"), @r"
    10:20: `hots` is not defined
    10:43: there is no filter `uper`
    11:20: there is no template `none.sh`
    16:16: `clustr` is not defined
    17:26: `fact` is not defined
    19:25: `hst` is not defined
    24:10: there is no test `is`
    29:15: this is no template: unexpected end of block
    ");
}

#[test]
fn filters_tests_and_functions_that_nobody_has() {
    let role = "tasks:
  - name: '{{ host.name | uper }}'
    when: facts.swap is emptyy
    template: {source: mine.txt, path: /x}
  - name: fine
    loop: hosts | selectattr('name') | list
    line: {path: /x, line: '{{ item.name | upper | default(1) }}', match: '{{ rnge(3) }}'}
";
    let template =
        "{{ cluster.name | tojson }}\n{% filter to_yml %}{{ host.name is defined }}{% endfilter %}\n";
    let bed = Bed::new(&[("one", role)], &[("mine.txt", template)]);
    insta::assert_snapshot!(found(&bed, &["one"]).join("\n"), @r##"
    roles/one/role.yaml:3: there is no filter `uper`; https://docs.rs/minijinja/latest/minijinja/filters lists those that there are
    roles/one/role.yaml:4: there is no test `emptyy`; https://docs.rs/minijinja/latest/minijinja/tests lists those that there are
    roles/one/role.yaml:8: `rnge` is not defined; templates see `cluster`, `facts`, `host`, `hosts` and `vars`; a value of the inventory is `vars.rnge`
    templates/mine.txt:2: there is no filter `to_yml`; did you mean `to_yaml`?
    "##);
}

#[test]
fn a_file_that_cannot_be_read_as_a_role_has_its_own_answer() {
    let text =
        "tasks:\n  - name: a\n    absnt: {path: /x}\n  - name: b\n    absent: {path: /x}\n    swap_off: {}\n";
    let bed = Bed::new(&[("one", text)], &[]);
    insta::assert_snapshot!(found(&bed, &["one"]).join("\n"), @r##"
    roles/one/role.yaml:4: unknown key `absnt` in `tasks[0]`; did you mean `absent`?
    roles/one/role.yaml:5: a task states exactly one thing; make one task of each kind
    "##);
    assert!(matches!(lint(&bed.library(), &["none".to_string()]), Err(Error::NoRole { .. })));
}

#[test]
fn a_template_of_nobody_is_a_mistake_only_when_all_roles_are_asked_for() {
    let role = "tasks: [{name: x, template: {source: mine.txt, path: /x}}]\n";
    let bed = Bed::new(&[("one", role)], &[("mine.txt", "x"), ("of/nobody.txt", "x")]);
    assert_eq!(found(&bed, &["one"]), [] as [&str; 0]);
    assert_eq!(found(&bed, &[]), ["templates/of/nobody.txt:1: no role uses this template; remove it"]);
}

#[test]
fn the_program_answers_people_and_programs() {
    let good = "tasks: [{name: x, absent: {path: /x}}]\n";
    let bad = "tasks: [{name: x, absent: {path: '{{ hots }}'}}]\n";
    let bed = Bed::new(&[("good", good), ("bad", bad)], &[]);
    let lint = |arguments: &[&str]| {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_hoist"));
        let output =
            command.args(["role", "lint", "--roles"]).arg(bed.state()).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(lint(&["good"]), (0, "ok: good\n".into(), String::new()));
    assert_eq!(lint(&["good", "--output", "json"]), (0, "[]\n".into(), String::new()));
    let (exit, out, err) = lint(&["bad", "good"]);
    assert_eq!((exit, out.as_str()), (65, ""));
    assert!(err.contains("roles/bad/role.yaml:2:") && err.contains("did you mean `host`?"), "{err}");
    let (exit, out, err) = lint(&["--output", "json"]);
    assert_eq!((exit, err.as_str()), (65, ""));
    let all: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&all[0]["line"], &all[0]["file"]), (&2.into(), &"roles/bad/role.yaml".into()));
    assert_eq!(all.as_array().unwrap().len(), 1);
    let (exit, _, err) = lint(&["none"]);
    assert_eq!(exit, 65);
    assert!(err.contains("there is no role \"none\""), "{err}");
    // The built-in roles alone would be found right, whatever was meant.
    let mut wrong = assert_cmd::Command::new(env!("CARGO_BIN_EXE_hoist"));
    let assert = wrong.args(["role", "lint", "--roles", "no/such"]).assert().code(71).stdout("");
    let err = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(err.contains("no/such") && err.contains("check the folder given with --roles"), "{err}");
}

/// The inventory is judged by what the built-in roles take, also where one of a folder has their name.
#[test]
fn what_a_role_adds_to_a_built_in_one_has_a_name_of_its_own() {
    let base = "defaults: {base: {time: false, tiem: true, ntp: 10.0.0.1}, containerd: true, own: {ntp: 1}}\ntasks: []\n";
    let bed = Bed::new(&[("base", base)], &[]);
    let title = |key: &str| {
        format!(
            "roles/base/role.yaml:2: no inventory can say `vars.base.{key}`: the built-in role `base` has no such key"
        )
    };
    assert_eq!(
        found(&bed, &["base"]),
        [
            format!("{}; did you mean `time`?", title("tiem")),
            format!("{}; put it under a name of your own, such as `own.ntp`", title("ntp")),
            "roles/base/role.yaml:2: `vars.containerd` is a map in every inventory: the built-in role `containerd` has it; \
             rename it"
                .to_string(),
        ]
    );
}
