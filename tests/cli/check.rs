//! `hoist check`: who gets what on which stream, and files that are no inventories.

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::{Value, json};

use super::{answer, ask, hoist, inventory};

const FIXTURES: &str = "tests/fixtures/inventory";

#[test]
fn mistakes_go_to_stderr_and_exit_with_65() {
    let (exit, text, errors) = ask(&["check", "-i", &format!("{FIXTURES}/invalid/unknown_key.yaml")]);
    assert_eq!((exit, text.as_str()), (65, ""));
    assert!(errors.contains("tests/fixtures/inventory/invalid/unknown_key.yaml:7:9"), "{errors}");
    assert!(errors.contains("did you mean `address`?"), "{errors}");
}

#[test]
fn mistakes_as_json_are_whole() {
    let file = format!("{FIXTURES}/invalid/unknown_key.yaml");
    let (exit, text, errors) = ask(&["check", "-i", &file, "--output", "json"]);
    assert_eq!((exit, errors.as_str()), (65, ""));
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!([{
            "severity": "error", "file": file, "line": 7, "column": 9,
            "message": "unknown key `adress` in `hosts.cp1`",
            "help": "did you mean `address`?",
        }])
    );
}

#[test]
fn warnings_and_notes_are_told_and_are_no_failure() {
    let file = format!("{FIXTURES}/remarks/two_sites.yaml");
    let (exit, text, errors) = ask(&["check", "-i", &file]);
    assert_eq!(
        (exit, text.as_str()),
        (0, "ok: cluster a, Kubernetes 1.20.2, 3 hosts (3 control-plane, 0 worker)\n")
    );
    assert!(errors.contains("1 warning") && errors.contains("a witness"), "{errors}");
    let (exit, text, errors) = ask(&["check", "-i", &file, "--output", "json"]);
    assert_eq!((exit, errors.as_str()), (0, ""));
    let list: Vec<Value> = serde_json::from_str(&text).unwrap();
    let severities: Vec<&str> = list.iter().map(|it| it["severity"].as_str().unwrap()).collect();
    assert_eq!(severities, ["warning"]);
}

#[test]
fn a_release_that_was_never_installed_is_told_of_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    for (release, told) in [("1.33.1", true), ("1.20.2", false)] {
        // Without artifacts nobody is contacted.
        let text = format!(
            "cluster: {{name: a, kubernetes: \"{release}\", network: {{plugin: bridge}}}}\n\
             artifacts: {{folder: none}}\nhosts:\n  a: {{address: 192.0.2.1, roles: [control-plane]}}\n"
        );
        let file = inventory(folder.path(), &text);
        for verb in ["plan", "apply"] {
            let (_, _, errors) = ask(&[verb, "-i", &file]);
            let note = errors.contains("has not been installed by those who built this version");
            assert_eq!(note, told, "{verb} {release}: {errors}");
            assert!(errors.contains(&format!("there are no artifacts for Kubernetes {release}")), "{errors}");
        }
    }
}

/// Perhaps years after the bundle was last there.
#[test]
fn who_renews_certificates_needs_no_artifacts() {
    let folder = tempfile::tempdir().unwrap();
    for (artifacts, missing) in
        [("bundle: gone.bundle", "gone.bundle"), ("packages: pinned, folder: none", "there are no artifacts")]
    {
        let text = format!(
            "cluster: {{name: a, kubernetes: \"1.20.2\", network: {{plugin: bridge}}}}\n\
             ssh: {{network_namespace: no-such-network}}\nartifacts: {{{artifacts}}}\n\
             hosts:\n  a: {{address: 192.0.2.1, roles: [control-plane]}}\n"
        );
        let file = inventory(folder.path(), &text);
        for (roles, says, not) in
            [("renewal", "no-such-network", missing), ("renewal,kubernetes", missing, "no-such-network")]
        {
            let (exit, _, errors) = ask(&["plan", "-i", &file, "--only", roles]);
            assert_eq!(exit, 71, "{errors}");
            assert!(errors.contains(says) && !errors.contains(not), "{roles}: {errors}");
        }
    }
}

/// The answer to a file, whatever it is, without the line breaks of a terminal. Ends the program when it does not
/// answer.
fn answer_to(path: &Path) -> (i32, String) {
    let path = path.to_str().unwrap();
    let (exit, text, errors) = answer(hoist(&["check", "-i", path]).timeout(Duration::from_secs(60)));
    assert_eq!(text, "", "{path}");
    let words = errors.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ");
    (exit, words)
}

#[test]
fn what_is_no_file_of_an_inventory_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo.yaml");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for (path, code, says) in [
        (Path::new("no/such.yaml"), 71, "check the path"),
        (Path::new("/dev/zero"), 65, "/dev/zero is larger than 4 MiB"),
        (Path::new("/dev/null"), 65, "the file is empty"),
        (folder.path(), 65, "there is no file that ends in .yaml or .yml"),
        (&fifo, 65, "the file is empty"),
    ] {
        let (exit, words) = answer_to(path);
        assert_eq!(exit, code, "{}: {words}", path.display());
        assert!(words.contains(says), "{}: {words}", path.display());
    }
}

/// Also one whose name, or whose text, is not UTF-8.
#[test]
fn a_name_that_is_no_text_is_answered() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(OsStr::from_bytes(b"\xff.yaml"));
    for (text, code, says) in [
        (None, 71, "failed to read"),
        (Some(&b"# \xc3\xa4\na: \xff"[..]), 65, "not UTF-8"),
        (Some(b"a: b"), 65, "unknown key"),
    ] {
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        for output in ["text", "json"] {
            let (exit, out, errors) = answer(hoist(&["check", "--output", output, "-i"]).arg(&path));
            assert_eq!(exit, code, "{out}{errors}");
            // In both forms with the place: the third character of the second line.
            if says == "not UTF-8" {
                let place = if output == "json" { "\"line\": 2," } else { ".yaml:2:4]" };
                assert!(format!("{out}{errors}").contains(place), "{out}{errors}");
            }
            let words = format!("{out}{errors}").replace(['\n', '│'], " ");
            assert!(words.split_whitespace().collect::<Vec<_>>().join(" ").contains(says), "{out}{errors}");
        }
    }
}

#[test]
fn an_inventory_may_be_a_folder_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "cluster.yaml",
        "cluster: {name: office, kubernetes: \"1.20.2\"}\nhosts:\n  cp1: {address: 10.0.0.1, roles: [control-plane]}\n",
    );
    write(
        "workers.yml",
        "# Those that work.\nhosts:\n  w1: {address: 10.0.0.2, roles: [worker]}\n  cp1: {labels: {disk: ssd}}\n",
    );
    write("notes.txt", "no part of it");
    write(".hidden.yaml", "nor: this");
    let path = folder.path().to_str().unwrap();
    let (exit, text, errors) = answer(&mut hoist(&["check", "-i", path]));
    assert_eq!((exit, errors.as_str()), (0, ""));
    assert_eq!(text, "ok: cluster office, Kubernetes 1.20.2, 2 hosts (1 control-plane, 1 worker)\n");
    let (_, shown, _) = answer(&mut hoist(&["inventory", "show", "-i", path, "--host", "w1"]));
    assert!(shown.contains("workers.yml"), "where a value comes from is told with its file: {shown}");

    write(
        "workers.yml",
        "# Those that work.\nhosts:\n  w1: {adress: 10.0.0.2, roles: [worker]}\n  cp1: {address: 10.0.0.9}\n",
    );
    let (exit, words) = answer_to(folder.path());
    assert_eq!(exit, 65, "{words}");
    for says in [
        "unknown key `adress`",
        "workers.yml:3:",
        "the key `address` appears twice",
        "workers.yml:4:",
        "cluster.yaml:3:",
    ] {
        assert!(words.contains(says), "{says}: {words}");
    }
    let (exit, json, _) = answer(&mut hoist(&["check", "--output", "json", "-i", path]));
    let problems: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(exit, 65);
    let places: Vec<String> = problems
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{}:{}", one["file"].as_str().unwrap(), one["line"]))
        .collect();
    assert!(places.iter().all(|place| place.contains("/workers.yml:")), "{places:?}");
}

#[test]
fn an_inventory_may_come_through_a_pipe() {
    let text = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("inventory/three.yaml")).unwrap();
    let (exit, text, errors) = answer(hoist(&["check", "-i", "/dev/stdin"]).write_stdin(text));
    assert_eq!((exit, errors.as_str()), (0, ""));
    assert!(text.starts_with("ok: cluster office"), "{text}");
}

#[test]
fn hostile_files_are_answered_in_bounded_time() {
    let head = "cluster: {name: a, kubernetes: \"1.20.2\"}\n";
    let host = "{address: 10.0.0.1, roles: [control-plane]}";
    // Ten aliases of ten aliases, and so on: 10^9 values when written out.
    let laughs = (1..10).fold(String::from("a0: &a0 ha\n"), |text, level| {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        text + &format!("a{level}: &a{level} [{below}]\n")
    });
    let many = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    for (name, bytes, says) in [
        ("latin1", b"a: b\nc: \xe9\n".to_vec(), "is not UTF-8 text: byte 0xe9 in line 2"),
        ("nul", b"a: b\0\n".to_vec(), "a NUL byte"),
        ("big", vec![b'#'; 10 << 20], "is larger than 4 MiB"),
        ("laughs", laughs.into_bytes(), "more than 200000 values"),
        ("deep-flow", vec![b'['; 100_000], "nested too deep"),
        ("deep-block", many(2000, &|i| " ".repeat(i) + "a:\n").into_bytes(), "nested too deep"),
        (
            "wide",
            format!("{head}hosts:\n{}", many(28_000, &|i| format!("  h{i}: {host}\n"))).into_bytes(),
            "at most 5000 entries",
        ),
        (
            "unique",
            format!("{head}sites: [{}]\nhosts: {{a: {host}}}\n", many(90_000, &|i| format!("s{i}, ")))
                .into_bytes(),
            "at most 100 items",
        ),
        (
            "one-line",
            format!("{head}hosts: {{a: {host}}}\nvars: {{{}}}\n", many(90_000, &|_| "a: b, ".into()))
                .into_bytes(),
            "appears twice",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{name}.yaml"));
        fs::write(&path, bytes).unwrap();
        let (exit, words) = answer_to(&path);
        assert_eq!(exit, 65, "{name}: {words}");
        assert!(words.contains(says), "{name}: {words}");
    }
}
