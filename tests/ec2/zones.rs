//! A network in zones that the region does not have.

use std::process::Command;

use super::{emulator, with_keys};

#[test]
fn a_zone_that_is_not_there_is_found_before_anything_is_made() {
    let Some(moto) = emulator() else { return };
    let folder = tempfile::tempdir().unwrap();
    let sample = std::fs::read_to_string("inventory/burst.yaml").unwrap();
    let path = folder.path().join("burst.yaml");
    std::fs::write(&path, format!("{sample}  zones: [eu-central-1a, eu-central-1b, eu-central-1q]\n"))
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
    command.args(["burst", "up", "--yes", "-i"]).arg(&path).env_clear();
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nonexistent");
    let output = command.envs(with_keys(&moto.url)).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(65), "{errors}");
    assert!(errors.contains("eu-central-1 has no zone eu-central-1q"), "{errors}");
    assert!(errors.contains("burst.zones") && errors.contains("eu-central-1c"), "{errors}");
}
