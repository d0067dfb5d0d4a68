//! Inventories as users write them: samples and valid fixtures pass, each invalid fixture gets its exact
//! answer.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hoist::{
    engine::Library,
    inventory::{self, RoleVars},
};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use proptest::prelude::*;

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

/// Compares what is said about each file of a folder with the snapshot beside it.
fn answers(folder: &str, answer: impl Fn(&Path) -> String) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder.strip_prefix("tests/").unwrap());
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in files(folder) {
            insta::assert_snapshot!(path.file_stem().unwrap().to_str().unwrap(), answer(&path));
        }
    });
}

#[test]
fn invalid_files_get_their_answer() {
    answers("tests/fixtures/inventory/invalid", |path| match load(path) {
        Ok(_) => panic!("{} passes", path.display()),
        Err(error) => plain(&error),
    });
}

#[test]
fn remarks_do_not_stand_in_the_way() {
    answers("tests/fixtures/inventory/remarks", |path| match load(path) {
        Ok(loaded) => plain(&loaded.remarks()),
        Err(error) => panic!("{}:\n{}", path.display(), plain(&error)),
    });
}

#[test]
fn samples_have_no_warnings_and_say_what_was_never_installed() {
    for (name, notes) in [("single", 0), ("three", 0), ("lab", 0), ("lab-ha", 0), ("ha", 1), ("burst", 1)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("inventory/{name}.yaml"));
        let loaded = load(&path).unwrap();
        let remarks = loaded.remarks();
        // That its project has ended is no mistake of whoever still needs it.
        let found = remarks.list().iter().filter(|note| !note.title.contains("maintains ingress-nginx"));
        let severities: Vec<_> = found.map(|note| note.severity).collect();
        assert_eq!(severities, vec![miette::Severity::Advice; notes], "{name}");
    }
}

proptest! {
    /// Whatever a slip of the hand makes of an inventory that says everything, there is an answer.
    #[test]
    fn no_slip_of_the_hand_makes_it_panic(
        place in 0_usize..2200,
        length in 0_usize..60,
        instead in prop::sample::select(vec![
            "", "{}", "[]", "0.0.0.0/0", "255.255.255.255", "0.0.0.0-255.255.255.255", "-1", "all", "\"\"", "&a ", "*a",
            "\n", "etcd", "10.0.0.0/31", "999999999999",
        ]),
    ) {
        let text = include_str!("../inventory/burst.yaml");
        // The sample is ASCII.
        let begin = place.min(text.len());
        let end = (begin + length).min(text.len());
        let text = format!("{}{instead}{}", &text[..begin], &text[end..]);
        match inventory::parse("slip", &text) {
            Ok(loaded) => drop(loaded.remarks().to_json()),
            Err(error) => drop((plain(&error), error.to_json())),
        }
    }
}

#[test]
fn every_version_is_known_or_answered_with_those_that_are() {
    for (minor, known, proven) in [
        (19, false, false),
        (20, true, true),
        (21, false, false),
        (30, false, false),
        (31, true, false),
        (37, true, false),
        (38, false, false),
    ] {
        let text = format!(
            "cluster: {{name: a, kubernetes: \"1.{minor}.0\"}}\nhosts: {{a: {{address: 10.0.0.1, roles: [control-plane]}}}}\n"
        );
        let loaded = inventory::parse("test", &text);
        assert_eq!(loaded.is_ok(), known, "1.{minor}");
        assert_eq!(loaded.is_ok_and(|loaded| loaded.remarks().list().is_empty()), proven, "1.{minor}");
    }
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

/// What inventories may say to the built-in roles is what those take, and begins with the same values.
#[test]
fn the_values_of_built_in_roles_are_those_of_their_files() {
    let library = Library::default();
    let files = library.roles().into_iter().map(|name| (library.role(&name).unwrap().defaults, name));
    let defaults: serde_json::Map<_, _> = files
        .flat_map(|(defaults, name)| {
            assert!(defaults.keys().all(|key| *key == name), "{name} has defaults under another name");
            defaults
        })
        .collect();
    let known = serde_json::to_value(RoleVars::default()).unwrap();
    assert_eq!(serde_json::Value::Object(defaults), known);
    assert_eq!(known.as_object().unwrap().keys().collect::<Vec<_>>(), RoleVars::NAMES);
}
