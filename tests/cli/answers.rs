//! What is printed for machines: JSON, schema, completions, manual.

use serde_json::Value;

use super::{ask, assert_plain, hoist, inventory, unread};

const TYPO: &str = "cluster:\n  name: one\n  kubernetez: \"1.20.2\"\nhosts:\n  a: {address: 10.0.0.1, roles: [control-plane]}\n";

#[test]
fn check_answers_for_people_and_for_programs() {
    let (exit, text, errors) = ask(&["check", "-i", "inventory/lab.yaml"]);
    assert_eq!((exit, errors.as_str()), (0, ""));
    assert_eq!(text, "ok: cluster lab, Kubernetes 1.20.2, 3 hosts (1 control-plane, 2 worker)\n");
    let (exit, text, _) = ask(&["check", "-i", "inventory/lab.yaml", "--output", "json"]);
    assert_eq!((exit, text.as_str()), (0, "[]\n"));
}

#[test]
fn mistakes_as_json_name_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = inventory(folder.path(), TYPO);
    let (exit, text, errors) = ask(&["check", "-i", &file, "--output", "json"]);
    assert_eq!((exit, errors.as_str()), (65, ""), "only the list, on standard output");
    let mistakes: Value = serde_json::from_str(&text).unwrap();
    let first = &mistakes[0];
    assert_eq!(first["file"], file);
    assert_eq!((&first["line"], &first["column"]), (&3.into(), &3.into()), "{text}");
    assert!(first["help"].as_str().unwrap().contains("kubernetes"), "{text}");
}

#[test]
fn the_schema_is_json_and_names_what_an_inventory_has() {
    let (exit, text, _) = ask(&["schema"]);
    assert_eq!(exit, 0);
    let schema: Value = serde_json::from_str(&text).unwrap();
    for key in ["cluster", "ssh", "hosts", "artifacts"] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
    let (exit, text, _) = ask(&["schema", "--markdown"]);
    assert_eq!(exit, 0);
    assert!(text.starts_with("# ") && text.contains("kubernetes"), "{text}");
}

#[test]
fn every_shell_gets_completions_for_every_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (exit, script, errors) = ask(&["completions", shell]);
        assert_eq!((exit, errors.as_str()), (0, ""), "{shell}");
        for verb in ["apply", "kubeconfig", "lab"] {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
    }
}

#[test]
fn bash_completes_verbs() {
    let (_, script, _) = ask(&["completions", "bash"]);
    // From a file, as shells read it: it is longer than an argument may be.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hoist");
    std::fs::write(&file, script).unwrap();
    let test =
        ". \"$0\"; COMP_WORDS=(hoist kube); COMP_CWORD=1; _hoist hoist kube hoist; echo \"${COMPREPLY[*]}\"";
    let output = std::process::Command::new("bash").args(["-c", test]).arg(&file).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "kubeconfig", "{output:?}");
}

#[test]
fn the_manual_has_a_page_a_verb() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("man1");
    let (exit, text, _) = ask(&["man", "--dir", dir.to_str().unwrap()]);
    assert_eq!((exit, text.as_str()), (0, ""));
    for page in ["hoist.1", "hoist-apply.1", "hoist-lab-up.1"] {
        assert!(std::fs::read_to_string(dir.join(page)).unwrap().contains(".TH"), "{page}");
    }
    let (exit, text, _) = ask(&["man"]);
    assert_eq!(exit, 0);
    assert!(text.contains(".TH hoist 1"), "{text}");
    // What is hidden from the help is hidden from the manual.
    assert!(!dir.join("hoist-lab-supervise.1").exists());
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    for verb in ["schema", "man", "completions bash"] {
        let program = env!("CARGO_BIN_EXE_hoist");
        let script = format!("set -o pipefail; {program} {verb} | head -c 1 >/dev/null");
        let status = std::process::Command::new("bash").args(["-c", &script]).status().unwrap();
        assert_eq!(status.code(), Some(0), "{verb}");
    }
    // Nor is one that went away before the first word, of answers and of errors.
    let folder = tempfile::tempdir().unwrap();
    let wrong = inventory(folder.path(), TYPO);
    let new = folder.path().join("new.yaml");
    for (arguments, exit) in [
        (&["schema"][..], 0),
        (&["check", "-i", "inventory/lab.yaml"], 0),
        (&["check", "-i", &wrong], 65),
        (&["check", "-i", &wrong, "--output", "json"], 65),
        (&["plan", "-i", "no/such.yaml"], 71),
        (&["init", new.to_str().unwrap()], 0),
        (&["inventory", "import", "tests/fixtures/import/office/inventory.ini"], 0),
        (&["nonsense"], 64),
    ] {
        assert_eq!(unread(arguments), Some(exit), "{arguments:?}");
    }
}

#[test]
fn no_escape_codes_without_a_terminal_nor_with_no_color() {
    let folder = tempfile::tempdir().unwrap();
    let file = inventory(folder.path(), TYPO);
    for arguments in [&["check", "-i", &file][..], &["plan", "-i", &file], &["--help"], &["nonsense"]] {
        let plain = super::answer(&mut hoist(arguments));
        assert_plain(&(plain.1 + &plain.2));
        let asked = super::answer(hoist(arguments).env("NO_COLOR", "1"));
        assert_plain(&(asked.1 + &asked.2));
    }
}

#[test]
fn no_color_is_honoured_on_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let file = inventory(folder.path(), TYPO);
    // script(1) gives its command a terminal.
    let on_terminal = |colour: Option<&str>| {
        let command = format!("{} check -i {file}", env!("CARGO_BIN_EXE_hoist"));
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).env("TERM", "xterm-256color").env_remove("NO_COLOR");
        if let Some(value) = colour {
            script.env("NO_COLOR", value);
        }
        String::from_utf8_lossy(&script.output().unwrap().stdout).into_owned()
    };
    assert!(on_terminal(None).contains('\u{1b}'), "there is colour to be turned off");
    assert!(!on_terminal(Some("1")).contains('\u{1b}'));
}
