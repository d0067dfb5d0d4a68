//! `hoist init`.

use std::{fs, path::Path, time::Duration};

use assert_cmd::Command;

use super::{ask, support};

#[test]
fn what_it_writes_passes_the_check_and_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("office.yaml");
    let file = path.to_str().unwrap();
    let (exit, text, errors) = ask(&["init", file]);
    assert_eq!((exit, text.as_str()), (0, ""));
    assert!(errors.contains(&format!("hoist check -i {file}")), "{errors}");
    let (exit, text, errors) = ask(&["check", "-i", file]);
    assert_eq!((exit, errors.as_str()), (0, ""));
    assert_eq!(text, "ok: cluster office, Kubernetes 1.20.2, 3 hosts (1 control-plane, 2 worker)\n");

    let before = fs::read_to_string(&path).unwrap();
    let (exit, _, errors) = ask(&["init", file, "--user", "admin"]);
    assert_eq!(exit, 64);
    assert!(errors.contains("is there already"), "{errors}");
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
}

#[test]
fn flags_say_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.yaml");
    let file = path.to_str().unwrap();
    let hosts = "--hosts=a=10.0.0.1,b=10.0.0.2";
    let (exit, ..) =
        ask(&["init", file, hosts, "--user", "o'neil", "--kubernetes", "1.36.2", "--name", "lab-2"]);
    assert_eq!(exit, 0);
    let (exit, text, errors) = ask(&["check", "-i", file]);
    assert_eq!(
        (exit, text.as_str()),
        (0, "ok: cluster lab-2, Kubernetes 1.36.2, 2 hosts (1 control-plane, 1 worker)\n")
    );
    assert!(errors.contains("1 note"), "{errors}");
    let (_, shown, _) = ask(&["inventory", "show", "-i", file, "--host", "b"]);
    assert!(shown.contains("o'neil"), "{shown}");
}

#[test]
fn on_a_terminal_it_asks_for_what_nobody_said() {
    if !Path::new("/usr/bin/script").exists() {
        return support::skip::skip("there is no script(1) to make a terminal with");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("office.yaml");
    let hold = |flags: &str, answers: &str| {
        let command = format!("{} init {} {flags}", env!("CARGO_BIN_EXE_hoist"), file.display());
        let mut script = Command::new("/usr/bin/script");
        script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
        let output =
            script.write_stdin(answers.to_owned()).timeout(Duration::from_secs(30)).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (exit, text) = hold("--user admin", "\n\ncp1=10.0.0.1\nw1=10.0.0.2\n\n\nworker,storage\n");
    assert_eq!(exit, Some(0), "{text}");
    assert!(text.contains("The cluster's name [office]: "), "{text}");
    assert!(!text.contains("log in as"), "what a flag says is not asked for: {text}");
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains("w1: {address: 10.0.0.2, roles: [worker, storage]}"), "{written}");
    fs::remove_file(&file).unwrap();
    let (exit, text) = hold("--yes", "");
    assert_eq!(exit, Some(0), "{text}");
    assert!(!text.contains('?') && fs::read_to_string(&file).unwrap().contains("192.168.18.212"));
}

#[test]
fn nothing_is_written_of_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.yaml");
    let file = path.to_str().unwrap();
    for (flags, exit, says) in [
        (&["--hosts", "a"][..], 64, "NAME=ADDRESS"),
        (&["--hosts", "a=10.0.0"], 64, "`10.0.0` is no IPv4 address"),
        (&["--hosts", "A_1=10.0.0.1"], 65, "`a-1` would do"),
        (&["--hosts", "a=10.0.0.1,b=10.0.0.1"], 65, "the same address"),
        (&["--hosts", "a=10.0.0.1,a=10.0.0.2"], 65, "appears twice"),
        (&["--kubernetes", "v1.20.2"], 65, "without the `v`"),
        (&["--kubernetes", "1.25.0"], 65, "is not supported"),
        (&["--user", ""], 65, "should not be empty"),
    ] {
        let (code, text, errors) = ask(&[&["init", file], flags].concat());
        assert_eq!((code, text.as_str()), (exit, ""), "{flags:?}: {errors}");
        assert!(errors.contains(says), "{flags:?}: {errors}");
        assert!(!path.exists(), "{flags:?}");
    }
    let (exit, _, errors) = ask(&["init", "/nonexistent/x.yaml"]);
    assert_eq!(exit, 71, "{errors}");
    assert!(errors.contains("No such file") && errors.contains("name a file in a folder"), "{errors}");
}
