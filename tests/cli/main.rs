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

use std::{io, path::Path, process};

use assert_cmd::Command;

/// The program in the repository's folder, with nothing of the caller's environment that changes what it says.
fn hoist(arguments: &[&str]) -> Command {
    Command::from_std(program(arguments))
}

fn program(arguments: &[&str]) -> process::Command {
    let mut command = process::Command::new(env!("CARGO_BIN_EXE_hoist"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env("HOME", "/nonexistent");
    for name in
        ["HOIST_INVENTORY", "HOIST_LAB", "HOIST_CACHE", "XDG_STATE_HOME", "CLICOLOR_FORCE", "NO_COLOR"]
    {
        command.env_remove(name);
    }
    command
}

/// The exit code where nobody reads any more what is printed.
fn unread(arguments: &[&str]) -> Option<i32> {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut command = program(arguments);
    command.env_remove("SSH_AUTH_SOCK").stdin(process::Stdio::null());
    command.stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap().code()
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
