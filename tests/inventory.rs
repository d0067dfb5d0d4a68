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
