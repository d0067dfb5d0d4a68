//! Hosts whose temporary folders are of no use.

use std::fs;

use sha2::{Digest, Sha256};

use crate::bed::{Fleet, Ran};

/// Nothing can be written there nor run from there. What lies there already, the keys of the test among it, can be read.
const LOCKED_DOWN: &str = "set -e
for folder in /tmp /var/tmp /dev/shm; do
    mount --bind $folder $folder
    mount -o remount,bind,ro,noexec,nosuid,nodev $folder
done
! touch /tmp/x 2>/dev/null";

#[test]
fn neither_a_writable_nor_an_executable_tmp_is_needed() {
    let Some(fleet) = Fleet::start(&["cp1"]) else { return };
    fleet.on("2222", 0, LOCKED_DOWN);
    let content: Vec<u8> =
        (0..500_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(fleet.path("big"), &content).unwrap();
    let digest: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    fleet.role(
        "everywhere",
        &format!(
            "tasks:
  - {{name: a folder, directory: {{path: /run/own}}}}
  - {{name: a file, file: {{path: /run/own/file, content: \"one\\n\"}}}}
  - {{name: another, file: {{path: /run/own/checked, content: \"two\\n\", validate: 'grep two <$1'}}}}
  - {{name: a line, line: {{path: /run/own/lines, line: three}}}}
  - {{name: an artifact, artifact: {{source: {}, sha256: {digest}, path: /run/own/big, mode: '0755'}}}}
  - {{name: a template, template: {{path: /run/own/template, source: some.txt}}}}
  - name: a command
    command: {{run: 'read -r line </run/own/file; echo \"$line\" >/run/own/done', creates: /run/own/done}}",
            fleet.path("big").display()
        ),
    );
    fleet.write("roles/templates/some.txt", "of {{ host.name }}\n");
    fleet.hoist("plan", &["--only", "everywhere", "--diff"]).exits(2).says("7 of 7 statements");
    fleet.hoist("apply", &["--only", "everywhere"]).exits(0).says("7 changes");
    fleet.hoist("plan", &["--only", "everywhere"]).exits(0).says("Nothing to change: 7 statements");
    fleet.on("2222", 0, &format!("set -e; cd /run/own; [ \"$(cat done)\" = one ]; [ \"$(cat template)\" = 'of cp1' ]; echo '{digest}  big' | sha256sum -c"));
    let ran = Ran::of(fleet.command(&["exec", "all", "--", "cat", "/run/own/checked"])).exits(0);
    ran.says("two");
    Ran::of(fleet.command(&["facts"])).exits(0).says("cp1");
}

#[test]
fn what_must_be_written_there_names_the_cause() {
    let Some(fleet) = Fleet::start(&["cp1"]) else { return };
    fleet.on("2222", 0, LOCKED_DOWN);
    fleet.write("some", "some");
    let digest: String = Sha256::digest("some").iter().map(|byte| format!("{byte:02x}")).collect();
    let source = fleet.path("some").display().to_string();
    for task in [
        "file: {path: /tmp/hoist-test/file, content: x}".to_string(),
        "command: {run: 'echo x >/tmp/hoist-test', creates: /tmp/hoist-test}".into(),
        format!("artifact: {{source: {source}, sha256: {digest}, path: /tmp/hoist-test, mode: '0644'}}"),
    ] {
        fleet.role("temporary", &format!("tasks: [{{name: it, {task}}}]"));
        let ran = fleet.hoist("apply", &["--only", "temporary"]).exits(1).says("cp1: temporary: it: ");
        ran.says("likely cause: the host's file system is mounted read-only")
            .says("next: look at `dmesg` there");
    }
    // A program that may not be run is one that says so.
    let program = fleet.path("program");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    let run = format!("chmod 755 {0} 2>/dev/null; {0}", program.display());
    fleet
        .role("temporary", &format!("tasks: [{{name: it, command: {{run: '{run}', creates: /run/never}}}}]"));
    let ran = fleet.hoist("apply", &["--only", "temporary"]).exits(1).says("ended with status 126");
    ran.says("Permission denied").says("its file system is mounted noexec");
}
