//! Host keys: known, unknown, changed, revoked; and how they become known.

use std::{fs, process::Command};

use hoist::{
    cli::trust::trust,
    exit::Exit,
    transport::{Error, HostKey, Target, connect, host_key, known_hosts},
};

use crate::support::sshd::Sshd;

fn fingerprint(sshd: &Sshd, key: &str) -> String {
    let output =
        Command::new("ssh-keygen").arg("-lf").arg(sshd.path(&format!("{key}.pub"))).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
}

async fn refusal(target: &Target) -> Error {
    match connect(target).await {
        Ok(_) => panic!("it connected"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn hashed_names() {
    let Some(sshd) = Sshd::start() else { return };
    let target = sshd.target();
    let hash =
        Command::new("ssh-keygen").arg("-q").arg("-H").arg("-f").arg(sshd.path("known_hosts")).output();
    assert!(hash.unwrap().status.success());
    assert!(fs::read_to_string(sshd.path("known_hosts")).unwrap().starts_with("|1|"));
    connect(&target).await.unwrap();
    fs::write(sshd.path("known_hosts"), format!("|1|AAAA|AAAA {}", sshd.public("host_ed25519"))).unwrap();
    assert!(matches!(refusal(&target).await, Error::HostKeyUnknown { .. }));
}

#[tokio::test]
async fn the_recorded_algorithm_is_asked_for() {
    let Some(sshd) = Sshd::start() else { return };
    let target = sshd.target();
    for key in ["host_ecdsa", "host_ed25519"] {
        sshd.write_known_hosts(&[key]);
        connect(&target).await.unwrap();
    }
}

#[tokio::test]
async fn an_unknown_host_can_be_trusted() {
    let Some(sshd) = Sshd::start() else { return };
    let file = sshd.path("home/.ssh/known_hosts");
    let target = Target { known_hosts: vec![file.clone()], ..sshd.target() };
    let error = refusal(&target).await;
    let expected = fingerprint(&sshd, "host_ed25519");
    assert!(matches!(&error, Error::HostKeyUnknown { found, .. } if found.contains(&expected)), "{error}");
    assert_eq!(error.exit(), Exit::Permission);

    let key = host_key(&target).await.unwrap().key;
    assert_eq!(key.fingerprint(), expected);
    for _ in 0..2 {
        known_hosts::append(&file, &target.address, target.port, &key).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1);
    connect(&target).await.unwrap();
    let mut find = Command::new("ssh-keygen");
    find.arg("-F").arg(format!("[127.0.0.1]:{}", sshd.port)).arg("-f").arg(&file);
    assert!(find.output().unwrap().status.success());
}

#[tokio::test]
async fn a_changed_key_stops_with_both_fingerprints() {
    let Some(sshd) = Sshd::start() else { return };
    let target = sshd.target();
    sshd.keygen("old", "ed25519", "");
    let file = sshd.path("known_hosts");
    fs::write(&file, format!("# comment\n\n[127.0.0.1]:{} {}", sshd.port, sshd.public("old"))).unwrap();
    let error = refusal(&target).await;
    let text = error.to_string();
    for part in [
        fingerprint(&sshd, "old"),
        fingerprint(&sshd, "host_ed25519"),
        format!("{}:3", file.display()),
        "ssh-ed25519".into(),
    ] {
        assert!(text.contains(&part), "{part} is missing: {text}");
    }
    assert!(matches!(error, Error::HostKeyChanged { .. }));
    // The command that the help names does what it says.
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    let command = help.split('`').nth(1).unwrap();
    assert!(Command::new("sh").args(["-c", command]).output().unwrap().status.success(), "{command}");
    assert!(matches!(refusal(&target).await, Error::HostKeyUnknown { .. }));
}

#[tokio::test]
async fn a_key_of_another_algorithm_is_a_change() {
    let Some(sshd) = Sshd::start() else { return };
    let target = sshd.target();
    sshd.keygen("old", "rsa", "");
    sshd.write_known_hosts(&["old"]);
    let error = refusal(&target).await;
    assert!(
        matches!(&error, Error::HostKeyChanged { change, .. } if change.expected[0].starts_with("ssh-rsa ")),
        "{error}"
    );
}

/// Which lines count for a server on a port of its own: as OpenSSH's client has it.
#[tokio::test]
async fn lines_without_the_port_count_as_with_ssh() {
    let Some(sshd) = Sshd::start() else { return };
    let target = sshd.target();
    for (name, kind) in [("old", "ed25519"), ("older", "rsa")] {
        sshd.keygen(name, kind, "");
    }
    let file = sshd.path("known_hosts");
    let plain = |key: &str| format!("127.0.0.1 {}", sshd.public(key));
    let with_port = |key: &str| format!("[127.0.0.1]:{} {}", sshd.port, sshd.public(key));
    for (lines, accepted) in [
        (plain("host_ed25519"), true),
        (plain("old") + &plain("host_ed25519"), true),
        (plain("old"), false),
        (with_port("old") + &plain("host_ed25519"), false),
        (with_port("older") + &plain("host_ed25519"), false),
        (with_port("old") + &with_port("host_ed25519"), true),
        (format!("@cert-authority {}", with_port("old")) + &plain("host_ed25519"), true),
    ] {
        fs::write(&file, &lines).unwrap();
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes"]);
        ssh.args(["-o", "BatchMode=yes", "-o", "IdentityAgent=none", "-o"]);
        ssh.arg(format!("UserKnownHostsFile={}", file.display())).arg("-i").arg(sshd.path("user"));
        ssh.args(["-p", &sshd.port.to_string(), "root@127.0.0.1", "true"]);
        assert_eq!(ssh.output().unwrap().status.success(), accepted, "ssh: {lines}");
        assert_eq!(connect(&target).await.is_ok(), accepted, "{lines}");
    }
}

#[tokio::test]
async fn a_revoked_key_is_never_accepted() {
    let Some(sshd) = Sshd::start() else { return };
    let target = sshd.target();
    sshd.write_known_hosts(&["host_ed25519"]);
    let file = sshd.path("known_hosts");
    let text = fs::read_to_string(&file).unwrap() + "@revoked * " + &sshd.public("host_ed25519");
    fs::write(&file, text).unwrap();
    let error = refusal(&target).await;
    assert!(matches!(&error, Error::HostKeyRevoked { place, .. } if place.ends_with(":2")), "{error}");
}

#[tokio::test]
async fn an_unreadable_file_is_not_an_empty_one() {
    let Some(sshd) = Sshd::start() else { return };
    let folder = sshd.path("folder");
    fs::create_dir(&folder).unwrap();
    let files = vec![sshd.target().known_hosts[0].clone(), folder.clone()];
    let error = refusal(&Target { known_hosts: files, ..sshd.target() }).await;
    assert!(matches!(&error, Error::KnownHosts { path, .. } if *path == folder), "{error}");
    let key = HostKey::parse(&sshd.public("host_ed25519")).unwrap();
    assert!(known_hosts::append(&folder, "h", 22, &key).is_err());
}

#[tokio::test]
async fn trust_records_what_is_unknown_and_nothing_else() {
    let (Some(new), Some(known), Some(changed)) = (Sshd::start(), Sshd::start(), Sshd::start()) else {
        return;
    };
    let file = new.path("all");
    changed.keygen("old", "ed25519", "");
    let line = |sshd: &Sshd, key: &str| format!("[127.0.0.1]:{} {}", sshd.port, sshd.public(key));
    let before = line(&known, "host_ed25519") + &line(&changed, "old");
    fs::write(&file, &before).unwrap();
    let silent = Target { connect_timeout: std::time::Duration::from_millis(300), ..new.target() };
    let closed = Target { port: 1, ..silent.clone() };
    let mut targets = vec![new.target(), known.target(), changed.target(), closed];
    for target in &mut targets {
        target.known_hosts = vec![file.clone()];
    }
    // The output of a test is no terminal: nobody can be asked.
    let declined = trust(&targets, false).await;
    assert_eq!((declined.known, declined.recorded, declined.declined), (1, 0, 1));
    assert_eq!(fs::read_to_string(&file).unwrap(), before);

    let trusted = trust(&targets, true).await;
    assert_eq!((trusted.known, trusted.recorded, trusted.declined), (1, 1, 0));
    assert!(
        matches!(&trusted.failures[..], [Error::HostKeyChanged { .. }, Error::Refused { .. }]),
        "{:?}",
        trusted.failures
    );
    let added = line(&new, "host_ed25519").trim_end().trim_end_matches(" test").to_owned() + "\n";
    assert_eq!(fs::read_to_string(&file).unwrap(), before + &added);
    connect(&targets[0]).await.unwrap();
}
