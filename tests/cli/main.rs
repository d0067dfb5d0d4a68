//! The program from outside, as far as it needs neither root nor hosts: what it prints, and what it exits with.

#[path = "../support/mod.rs"]
mod support;

mod addons;
mod answers;
mod burst;
mod check;
mod help;
mod hosts;
mod init;
mod inventory;
mod mistakes;

use std::path::Path;

use assert_cmd::Command;

/// The program in the repository's folder, with nothing of the caller's environment that changes what it says.
fn hoist(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env("HOME", "/nonexistent");
    for name in
        ["HOIST_INVENTORY", "HOIST_LAB", "HOIST_CACHE", "XDG_STATE_HOME", "CLICOLOR_FORCE", "NO_COLOR"]
    {
        command.env_remove(name);
    }
    command
}

/// Exit code, standard output and standard error.
fn answer(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn ask(arguments: &[&str]) -> (i32, String, String) {
    answer(&mut hoist(arguments))
}

/// An inventory of this content in a folder of its own.
fn inventory(folder: &Path, text: &str) -> String {
    let path = folder.join("inventory.yaml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// No escape codes, and nothing that a terminal would be needed for.
fn assert_plain(text: &str) {
    assert!(!text.contains('\u{1b}') && !text.contains('\r'), "{text:?}");
}
