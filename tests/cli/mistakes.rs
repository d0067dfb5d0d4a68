//! What a user's mistake is answered with: exit code and the exact words.

use super::{ask, inventory};

const MINIMAL: &str = "cluster: {name: one, kubernetes: \"1.20.2\"}\nartifacts: {folder: ARTIFACTS}\nhosts:\n  a: {address: 10.0.0.1, roles: [control-plane]}\n";

/// The answer with the folder's name taken out, which differs from run to run.
fn golden(folder: &std::path::Path, arguments: &[&str]) -> (i32, String) {
    let (exit, output, errors) = ask(arguments);
    assert_eq!(output, "", "mistakes go to standard error");
    (exit, errors.replace(folder.to_str().unwrap(), "DIR"))
}

#[test]
fn wrong_command_lines_exit_with_64() {
    for (arguments, says) in [
        (&["aply"][..], "apply"),
        (&["apply"], "--inventory"),
        (&["apply", "-i", "x", "--fork", "3"], "--forks"),
        (&["apply", "-i", "x", "--forks", "0"], "0"),
        (&["completions", "tcsh"], "bash"),
        (&["lab", "up", "--nodes", "cp1"], "NAME=ADDRESS"),
        (&["lab", "up", "--nodes", "3", "-i", "x"], "cannot be used with"),
        (&["lab", "up", "--disk", "10M"], "at least 1G"),
        (&["lab", "stop"], "<NODE|SITE>"),
        (&["lab", "cut"], "<NODE|SITE>"),
        (&["lab", "slow", "w1"], "--delay"),
        (&["lab", "slow", "w1", "--delay", "1h"], "such as 100ms"),
        (&["lab", "fill", "w1", "--undo", "--leave", "1M"], "cannot be used with"),
        (&["lab", "down", "w1", "--keep-disks"], "cannot be used with"),
        (&[], "Usage"),
    ] {
        let (exit, output, errors) = ask(arguments);
        assert_eq!((exit, output.as_str()), (64, ""), "{arguments:?}: {errors}");
        assert!(errors.contains(says), "{arguments:?}: {errors}");
    }
}

#[test]
fn a_typo_in_an_inventory_is_shown_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = inventory(folder.path(), &MINIMAL.replace("roles:", "rols:"));
    for verb in ["check", "plan", "apply", "status", "kubeconfig", "sample", "trust"] {
        let (exit, errors) = golden(folder.path(), &[verb, "-i", &file]);
        assert_eq!(exit, 65, "{verb}: {errors}");
        insta::assert_snapshot!("inventory-typo", errors);
    }
}

#[test]
fn an_inventory_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none.yaml");
    let (exit, errors) = golden(folder.path(), &["plan", "-i", file.to_str().unwrap()]);
    assert_eq!(exit, 71, "{errors}");
    insta::assert_snapshot!("inventory-missing", errors);
}

#[test]
fn what_is_copied_stays_in_one_piece() {
    let file = format!("/no-such-folder/{}none.yaml", "of-a/b+c/".repeat(20));
    let (_, _, errors) = ask(&["plan", "-i", &file]);
    assert!(errors.contains(&file), "{errors}");
}

#[test]
fn artifacts_that_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().join("artifacts");
    let file = inventory(folder.path(), &MINIMAL.replace("ARTIFACTS", artifacts.to_str().unwrap()));
    let (exit, errors) = golden(folder.path(), &["apply", "-i", &file]);
    assert_eq!(exit, 71, "{errors}");
    insta::assert_snapshot!("artifacts-missing", errors);
}

#[test]
fn the_sample_needs_an_image_before_it_needs_a_host() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = folder.path().join("artifacts");
    let home = artifacts.join("kubernetes-1.20.2");
    std::fs::create_dir_all(&home).unwrap();
    let index = "kubernetes: 1.20.2\norigin: a test\nfiles: []\nimages: []\n";
    std::fs::write(home.join("index.yaml"), index).unwrap();
    // With artifacts that lack it, and without artifacts.
    for place in [artifacts, folder.path().join("none")] {
        let file = inventory(folder.path(), &MINIMAL.replace("ARTIFACTS", place.to_str().unwrap()));
        let (exit, errors) = golden(folder.path(), &["sample", "-i", &file]);
        assert_eq!(exit, 1, "{errors}");
        insta::assert_snapshot!("sample-without-image", errors);
    }
}

#[test]
fn a_host_of_no_inventory() {
    let (exit, output, errors) = ask(&["trust", "-i", "inventory/lab.yaml", "w9"]);
    assert_eq!((exit, output.as_str()), (64, ""));
    insta::assert_snapshot!("host-unknown", errors);
}
