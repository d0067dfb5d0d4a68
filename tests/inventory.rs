//! Inventories as users write them: samples and valid fixtures pass, each invalid fixture gets its exact
//! answer.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hoist::inventory;
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

/// What a terminal without colour and Unicode shows.
fn plain(diagnostic: &dyn Diagnostic) -> String {
    let mut out = String::new();
    GraphicalReportHandler::new_themed(GraphicalTheme::none())
        .with_width(100)
        .without_syntax_highlighting()
        .render_report(&mut out, diagnostic)
        .unwrap();
    out.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn load(path: &Path) -> Result<inventory::Loaded, inventory::Error> {
    let name = path.file_name().unwrap().to_str().unwrap();
    inventory::parse(name, &fs::read_to_string(path).unwrap())
}

/// The YAML files of a folder, in order; at least one.
fn files(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no file in {folder}");
    paths
}

#[test]
fn valid_files_pass() {
    for path in files("inventory").into_iter().chain(files("tests/fixtures/inventory/valid")) {
        if let Err(error) = load(&path) {
            panic!("{}:\n{}", path.display(), plain(&error));
        }
    }
}

#[test]
fn invalid_files_get_their_answer() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("fixtures/inventory/invalid");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in files("tests/fixtures/inventory/invalid") {
            let rule = path.file_stem().unwrap().to_str().unwrap();
            let error = load(&path).err().unwrap_or_else(|| panic!("{rule} passes"));
            insta::assert_snapshot!(rule, plain(&error));
        }
    });
}

#[test]
fn the_reference_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/inventory.md");
    let reference = inventory::reference();
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &reference).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == reference,
        "docs/inventory.md is out of date: run `UPDATE=1 cargo test --test inventory`"
    );
}

/// The binary's own answers: exit codes, and who gets what on which stream.
mod check {
    use super::*;
    use assert_cmd::Command;

    fn hoist(arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::cargo_bin("hoist").unwrap();
        let output =
            command.current_dir(env!("CARGO_MANIFEST_DIR")).env("NO_COLOR", "1").args(arguments).output();
        let output = output.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    #[test]
    fn says_ok() {
        let (code, out, err) = hoist(&["check", "-i", "inventory/lab.yaml"]);
        assert_eq!(
            (code, out.as_str(), err.as_str()),
            (0, "ok: cluster lab, Kubernetes 1.20.2, 3 hosts (1 control-plane, 2 worker)\n", "")
        );
    }

    #[test]
    fn prints_mistakes_to_stderr_and_exits_65() {
        let (code, out, err) = hoist(&["check", "-i", "tests/fixtures/inventory/invalid/unknown_key.yaml"]);
        assert_eq!((code, out.as_str()), (65, ""));
        assert!(err.contains("tests/fixtures/inventory/invalid/unknown_key.yaml:7:9"), "{err}");
        assert!(err.contains("did you mean `address`?"), "{err}");
    }

    #[test]
    fn prints_json_to_stdout() {
        let file = "tests/fixtures/inventory/invalid/unknown_key.yaml";
        let (code, out, err) = hoist(&["check", "-i", file, "--output", "json"]);
        assert_eq!((code, err.as_str()), (65, ""));
        let list: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            list,
            serde_json::json!([{
                "file": file, "line": 7, "column": 9,
                "message": "unknown key `adress` in `hosts.cp1`",
                "help": "did you mean `address`?",
            }])
        );
        let (code, out, _) = hoist(&["check", "-i", "inventory/lab.yaml", "--output", "json"]);
        assert_eq!((code, out.trim()), (0, "[]"));
    }

    #[test]
    fn names_a_file_that_cannot_be_read() {
        let (code, _, err) = hoist(&["check", "-i", "no/such.yaml"]);
        assert_eq!(code, 71);
        assert!(err.contains("failed to read no/such.yaml"), "{err}");
    }

    #[test]
    fn refuses_what_is_no_text() {
        let folder = tempfile::tempdir().unwrap();
        let mut answers = Vec::new();
        for (name, bytes) in
            [("latin1.yaml", b"a: b\nc: \xe9\n".to_vec()), ("big.yaml", vec![b'#'; 10 << 20])]
        {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            let (code, _, err) = hoist(&["check", "-i", path.to_str().unwrap()]);
            assert_eq!(code, 65);
            answers.push(err.replace(['\n', '|', '│'], " ").split_whitespace().collect::<Vec<_>>().join(" "));
        }
        assert!(answers[0].contains("is not UTF-8 text: byte 0xe9 in line 2"), "{}", answers[0]);
        assert!(answers[1].contains("is larger than 4 MiB"), "{}", answers[1]);
    }
}
