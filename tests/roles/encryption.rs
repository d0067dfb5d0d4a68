//! How a cluster that ran without a key begins to encrypt, in the shells that hosts have.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use hoist::task::Task;

use super::bed::compiled;

const KEYED: &str = "kube-apiserver-cp1 [\"--encryption-provider-config=/x\"]\n";
const BARE: &str = "kube-apiserver-cp2 [\"kube-apiserver\"]\n";
/// As `make_key at-work` leaves it.
const AT_WORK: &str = "providers:\n      - identity: {}\n      - secretbox: KEY\n# to do: encrypt\n";

/// `$root/servers` is what the cluster knows of API servers. The one here comes back as another container.
const PROGRAMS: [(&str, &str); 4] = [
    (
        "kubectl",
        r#"case "$*" in
*"get pods"*) cat $root/servers ;;
*"get secrets -A -o name") echo secret/a ;;
*"replace -f -") echo rewritten >> $root/calls ;;
esac
"#,
    ),
    (
        "ctr",
        r#"case "$*" in
*"containers list"*) cat $root/id ;;
*"tasks list") echo "$(cat $root/id) 77 RUNNING" ;;
*"tasks kill"*) echo ended >> $root/calls; echo anew > $root/id ;;
esac
"#,
    ),
    ("sync", ":\n"),
    ("sleep", ":\n"),
];

struct Host {
    folder: tempfile::TempDir,
    shell: &'static str,
}

impl Host {
    fn new(shell: &'static str, servers: &str) -> Host {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["bin", "security"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        for (name, text) in PROGRAMS {
            let path = root.join("bin").join(name);
            fs::write(&path, format!("#!/bin/sh\nroot={}\n{text}", root.display())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(root.join("id"), "old\n").unwrap();
        fs::write(root.join("servers"), servers).unwrap();
        fs::write(root.join("security/encryption.yaml"), AT_WORK).unwrap();
        Host { folder, shell }
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.folder.path().join(path)).unwrap_or_default()
    }

    fn run(&self, script: &str) -> Output {
        let root = self.folder.path().display();
        let script = script.replace("/etc/kubernetes", &root.to_string());
        let path = format!("{root}/bin:/usr/bin:/bin");
        Command::new(self.shell).args(["-c", &script]).env("PATH", path).output().unwrap()
    }
}

/// What is waited for, and what is done then.
fn steps() -> (hoist::task::Wait, hoist::task::Command) {
    let roles = compiled("lab.yaml").remove(0).1;
    let role = roles.into_iter().find(|role| role.role == "encryption").unwrap();
    let mut tasks = role.steps.into_iter().map(|step| step.task);
    let (Some(Task::Wait(wait)), Some(Task::Command(command))) = (tasks.next(), tasks.next()) else {
        panic!("a host waits before it has the turn")
    };
    (wait, command)
}

fn shells() -> impl Iterator<Item = &'static str> {
    ["/bin/dash", "/bin/bash"].into_iter().filter(|shell| Path::new(shell).exists())
}

/// With the turn that changed settings have, too: so what is waited for must not be part of it.
#[test]
fn api_servers_begin_to_encrypt_one_after_the_other() {
    let (_, command) = steps();
    assert_eq!(command.one_at_a_time.as_deref(), Some("control-plane"));
}

#[test]
fn nothing_is_encrypted_before_all_api_servers_can_read_it() {
    let (wait, command) = steps();
    for shell in shells() {
        for servers in ["", BARE, &format!("{KEYED}{BARE}")] {
            let host = Host::new(shell, servers);
            assert!(!host.run(&wait.check).status.success(), "{shell}: {servers}");
            // One may have got its old settings back since the host began to wait for its turn.
            let output = host.run(&command.run);
            assert!(!output.status.success(), "{shell}: {servers}");
            assert!(String::from_utf8_lossy(&output.stderr).contains("apply to all control planes"));
            assert_eq!(
                (host.read("security/encryption.yaml").as_str(), host.read("calls").as_str()),
                (AT_WORK, "")
            );
        }
    }
}

#[test]
fn what_was_there_is_encrypted_once() {
    let (wait, command) = steps();
    for shell in shells() {
        let host = Host::new(shell, KEYED);
        assert!(!host.run(command.unless.as_ref().unwrap()).status.success());
        assert!(host.run(&wait.check).status.success(), "{shell}");
        let output = host.run(&command.run);
        assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        let written = "providers:\n      - secretbox: KEY\n      - identity: {}\n";
        assert_eq!(host.read("security/encryption.yaml"), written);
        assert_eq!(host.read("calls"), "ended\nrewritten\n");
        // Then there is nothing to wait for any more, whoever the cluster knows.
        fs::write(host.folder.path().join("servers"), BARE).unwrap();
        assert!(
            host.run(&wait.check).status.success()
                && host.run(command.unless.as_ref().unwrap()).status.success()
        );
    }
}
