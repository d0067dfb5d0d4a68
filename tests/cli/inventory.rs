//! `hoist inventory import` and `hoist inventory show`.

use std::fs;

use serde_json::Value;

use super::{ask, inventory};

#[test]
fn an_inventory_of_ansible_goes_to_stdout_and_notes_to_stderr() {
    let (exit, text, errors) = ask(&["inventory", "import", "tests/fixtures/import/builder/hosts.yaml"]);
    assert_eq!(exit, 0, "{errors}");
    assert!(text.contains("name: builder"), "{text}");
    assert!(errors.lines().all(|line| line.starts_with("note: ")), "{errors}");
    let folder = tempfile::tempdir().unwrap();
    let file = inventory(folder.path(), &text);
    let (exit, text, _) = ask(&["check", "-i", &file]);
    assert_eq!((exit, &text[..3]), (0, "ok:"));
}

#[test]
fn what_does_not_pass_is_printed_all_the_same_with_its_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hosts.ini");
    fs::write(&file, "[kube_control_plane]\nnode1 ansible_host=node1.example.lan\n").unwrap();
    let (exit, text, errors) = ask(&["inventory", "import", file.to_str().unwrap()]);
    assert_eq!(exit, 65);
    assert!(text.contains("address: node1.example.lan"), "{text}");
    assert!(errors.contains("should be an IPv4 address"), "{errors}");
}

#[test]
fn what_is_no_inventory_of_ansible_is_answered_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (name, text, says) in [
        ("a.ini", "[all]\nnode[1:x]\n", "(line 2, column 1)"),
        ("b.yaml", "all: {hosts: [a]}\n", "(line 1, column 14)"),
        ("c.yaml", "- a\n", "is a map of groups"),
        ("d.yaml", "all:\n\thosts:\n", "a tab"),
        ("e.yaml", "", "the file is empty"),
    ] {
        fs::write(path(name), text).unwrap();
        let (exit, output, errors) = ask(&["inventory", "import", &path(name)]);
        assert_eq!((exit, output.as_str()), (65, ""), "{name}: {errors}");
        assert!(errors.contains(says), "{name}: {errors}");
    }
    let (exit, _, errors) = ask(&["inventory", "import", &path("none")]);
    assert_eq!(exit, 71);
    assert!(errors.contains("check the path"), "{errors}");
    let (exit, _, errors) = ask(&["inventory", "import", folder.path().to_str().unwrap()]);
    assert_eq!(exit, 71);
    assert!(errors.contains("name the file in that folder"), "{errors}");
}

#[test]
fn no_line_with_a_password_is_shown_with_a_mistake() {
    for (name, text) in [
        ("a.ini", "[all]\nh ansible_password=hunter zwölf\nh2 ansible_password=\"hunter\n"),
        ("b.ini", "[all]\nh\n[all:vars]\nansible_password hunter\n"),
        ("c.yaml", "all: {hosts: [hunter]}\n"),
        ("d.yaml", "all:\n  vars: {ansible_password: hunter\n"),
        ("e.yaml", "all:\n  vars: {ansible_password: hunter, node_labels: 0123}\n"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        let (_, output, errors) = ask(&["inventory", "import", file.to_str().unwrap()]);
        let all = output + &errors;
        assert!(!all.contains("hunter") && !all.contains("zwölf") && !all.contains("0123"), "{name}: {all}");
        assert!(all.contains(name), "{all}");
    }
}

const OFFICE: &str = "\
cluster:
  name: office
  kubernetes: \"1.20.2\"
ssh:
  user: admin
  port: 2222
  config: none
sites: [dc1]
hosts:
  cp1: {address: 192.168.18.201, roles: [control-plane], site: dc1}
  w1:
    address: 192.168.18.211
    roles: [worker]
    site: dc1
    labels: {disk: ssd}
    ssh: {port: 22, key:}
    vars: {a: 2}
vars: {a: 1, b: {c: 3}}
";

fn shown(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = inventory(folder.path(), OFFICE);
    let (exit, text, errors) = ask(&[&["inventory", "show", "-i", &file], arguments].concat());
    assert_eq!((exit, errors.as_str()), (0, ""));
    text.replace(folder.path().to_str().unwrap(), "DIR")
}

#[test]
fn values_of_the_inventory_and_where_they_come_from() {
    insta::assert_snapshot!("show", shown(&[]));
}

#[test]
fn values_of_a_host_go_over_those_of_the_inventory() {
    insta::assert_snapshot!("show-host", shown(&["--host", "w1"]));
}

#[test]
fn programs_get_the_same() {
    let list: Vec<Value> = serde_json::from_str(&shown(&["--host", "w1", "--output", "json"])).unwrap();
    let of = |key: &str| list.iter().find(|it| it["key"] == key).unwrap();
    assert_eq!(
        *of("ssh.port"),
        serde_json::json!({
            "key": "ssh.port", "value": 22,
            "origin": {"from": "file", "file": "DIR/inventory.yaml", "line": 16, "over": 6},
        })
    );
    assert_eq!(of("taints")["origin"], serde_json::json!({"from": "default"}));
}

#[test]
fn what_openssh_is_configured_to_do_counts_where_nothing_else_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    fs::write(&config, "Host 192.168.18.*\n  Port 2200\n  User ada\n  ProxyJump bastion,second:23\n")
        .unwrap();
    let office = OFFICE.replace("  user: admin\n", "").replace("none", config.to_str().unwrap());
    let file = inventory(folder.path(), &office);
    let (exit, text, errors) = ask(&["inventory", "show", "-i", &file, "--host", "w1"]);
    assert_eq!((exit, errors.as_str()), (0, ""));
    for (key, value, from) in [
        ("ssh.user", "ada", "OpenSSH's configuration"),
        ("ssh.port", "22", "inventory.yaml"),
        ("ssh.jump", r#"["bastion","second:23"]"#, "OpenSSH's configuration"),
        ("ssh.keepalive", "15", "default"),
    ] {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key}: {text}"));
        assert!(line.contains(value) && line.contains(from), "{line}");
    }
}

#[test]
fn a_host_that_is_not_there() {
    let (exit, text, errors) = ask(&["inventory", "show", "-i", "inventory/three.yaml", "--host", "w3"]);
    assert_eq!((exit, text.as_str()), (64, ""));
    assert!(
        errors.contains("`w3` is no host of the inventory") && errors.contains("did you mean `w1`?"),
        "{errors}"
    );
}
