//! OpenSSH certificates: of users, and of hosts.

use std::{fs, path::Path, process::Command};

use hoist::{
    exit::Exit,
    transport::{Error, Target, Verdict, connect, host_key},
};

use crate::{
    login::{add_to_agent, refusal, start_agent, whoami},
    support::sshd::{Sshd, certify, keygen},
};

/// A server that trusts the authority `ca` in its folder, and no key.
fn trusting() -> Option<Sshd> {
    Sshd::prepared("TrustedUserCAKeys DIR/ca.pub\nAuthorizedKeysFile none", |dir| {
        keygen(&dir.join("ca"), "ed25519", "");
    })
}

#[tokio::test]
async fn a_certificate_beside_the_key() {
    let Some(sshd) = trusting() else { return };
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = sshd.keygen(&format!("id_{kind}"), kind, "");
        let target = Target { keys: vec![key.clone()], ..sshd.target() };
        assert!(matches!(refusal(&target).await, Error::Login { .. }));
        certify(&sshd.path("ca"), &key, &["-n", "root"]);
        assert_eq!(whoami(&target).await, "root\n", "{kind}");
    }
}

#[tokio::test]
async fn a_certificate_in_another_file() {
    let Some(sshd) = trusting() else { return };
    let key = sshd.keygen("id", "ed25519", "");
    certify(&sshd.path("ca"), &key, &["-n", "root"]);
    let elsewhere = sshd.path("elsewhere.pub");
    fs::rename(sshd.path("id-cert.pub"), &elsewhere).unwrap();
    let target = Target { keys: vec![key], certificates: vec![elsewhere.clone()], ..sshd.target() };
    assert_eq!(whoami(&target).await, "root\n");

    let other = Target { keys: vec![sshd.keygen("other", "ed25519", "")], ..target };
    let error = refusal(&other).await.to_string();
    assert!(error.contains("elsewhere.pub (it is a certificate for another key)"), "{error}");
}

#[tokio::test]
async fn certificates_that_do_not_do_are_named() {
    let Some(sshd) = trusting() else { return };
    let key = sshd.keygen("id", "ed25519", "");
    certify(&sshd.path("ca"), &key, &["-n", "somebody"]);
    let target = Target { keys: vec![key.clone()], ..sshd.target() };
    let error = refusal(&target).await.to_string();
    assert!(error.contains(&format!("tried {0}-cert.pub, {0};", key.display())), "{error}");
    fs::write(sshd.path("id-cert.pub"), "nonsense\n").unwrap();
    let error = refusal(&target).await.to_string();
    assert!(error.contains("id-cert.pub (it is no certificate"), "{error}");
}

#[tokio::test]
async fn a_certificate_in_an_agent() {
    let Some(sshd) = trusting() else { return };
    let (_process, agent) = start_agent(&sshd);
    for kind in ["ed25519", "rsa"] {
        let key = sshd.keygen(&format!("id_{kind}"), kind, "");
        certify(&sshd.path("ca"), &key, &["-n", "root"]);
        add_to_agent(&agent, &key);
        let wrong = sshd.keygen(&format!("wrong_{kind}"), "ed25519", "");
        let target = Target { keys: vec![wrong], agent: agent.clone(), ..sshd.target() };
        assert_eq!(whoami(&target).await, "root\n", "{kind}");
        // Not when only the named keys may be used.
        let only = Target { only_these_keys: true, ..target };
        assert!(matches!(refusal(&only).await, Error::Login { tried, .. } if tried.len() == 1));
        let empty =
            Command::new("ssh-add").args(["-q", "-D"]).env("SSH_AUTH_SOCK", sshd.path("agent")).status();
        assert!(empty.unwrap().success());
    }
}

#[tokio::test]
async fn a_certificate_beside_a_key_that_only_the_agent_can_use() {
    let Some(sshd) = trusting() else { return };
    let (_process, agent) = start_agent(&sshd);
    let key = sshd.keygen("locked", "rsa", "");
    add_to_agent(&agent, &key);
    certify(&sshd.path("ca"), &key, &["-n", "root"]);
    let lock = Command::new("ssh-keygen").args(["-q", "-p", "-N", "open sesame", "-f"]).arg(&key).output();
    assert!(lock.unwrap().status.success());
    let target = Target { keys: vec![key.clone()], agent: agent.clone(), ..sshd.target() };
    assert_eq!(whoami(&target).await, "root\n");
    // The public half names a key of the agent, too.
    fs::remove_file(&key).unwrap();
    fs::rename(sshd.path("locked-cert.pub"), sshd.path("locked.pub-cert.pub")).unwrap();
    let target = Target { keys: vec![sshd.path("locked.pub")], ..target };
    assert_eq!(whoami(&target).await, "root\n");
}

/// A server whose key an authority has signed with these options of ssh-keygen; its known_hosts has that authority.
fn certified(options: &'static [&'static str]) -> Option<Sshd> {
    let sshd = Sshd::prepared("HostCertificate DIR/host_ed25519-cert.pub", |dir: &Path| {
        keygen(&dir.join("ca"), "ed25519", "");
        keygen(&dir.join("other"), "ed25519", "");
        certify(&dir.join("ca"), &dir.join("host_ed25519"), options);
    })?;
    Some(sshd)
}

/// The target of a server, with known_hosts of these lines; `CA`, `OTHER` and `KEY` are public keys.
fn knowing(sshd: &Sshd, lines: &str) -> Target {
    let target = sshd.target();
    // Whole words: what is put in may hold any letters.
    let put_in = |word: &str| match word.trim_end() {
        "OTHER" => sshd.public("other"),
        "CA" => sshd.public("ca"),
        "KEY" => sshd.public("host_ed25519"),
        _ => word.to_owned(),
    };
    let text: String = lines.split_inclusive([' ', '\n']).map(put_in).collect();
    fs::write(&target.known_hosts[0], text).unwrap();
    target
}

#[tokio::test]
async fn a_host_that_an_authority_vouches_for() {
    let Some(sshd) = certified(&["-h", "-n", "cp1,127.0.0.1"]) else { return };
    let port = sshd.port;
    for lines in ["@cert-authority 127.0.0.* CA".to_owned(), format!("@cert-authority [127.0.0.1]:{port} CA")]
    {
        connect(&knowing(&sshd, &lines)).await.unwrap();
    }
    // By its other name.
    let alias = Target { host_key_alias: Some("cp1".into()), ..knowing(&sshd, "@cert-authority cp? CA") };
    connect(&alias).await.unwrap();
    // A key that is recorded does as well as a certificate.
    connect(&knowing(&sshd, "@cert-authority * OTHER\n127.0.0.1 KEY")).await.unwrap();
    // Without an authority no certificate is asked for.
    connect(&knowing(&sshd, "127.0.0.1 KEY")).await.unwrap();
    let target = knowing(&sshd, "@cert-authority 10.* CA");
    assert!(matches!(refusal(&target).await, Error::HostKeyUnknown { .. }));
}

#[tokio::test]
async fn certificates_that_vouch_for_nothing() {
    const RIGHT: &str = "@cert-authority * CA";
    for (options, lines, reason) in [
        (&["-h", "-n", "w1,10.0.0.1"][..], RIGHT, "it is valid for w1, 10.0.0.1, not for 127.0.0.1"),
        (&["-h", "-V", "20200101:20200102"], RIGHT, "it expired at 2020-01-0"),
        (&["-h", "-V", "20900101:20900102"], RIGHT, "it is not valid before 2"),
        (&["-n", "127.0.0.1"], RIGHT, "it is a user's certificate"),
        (&["-h", "-n", "127.0.0.1"], "@cert-authority * OTHER", "it is signed by SHA256:"),
        (&["-h", "-n", "127.0.0.1", "-O", "critical:new@example.org=x"], RIGHT, "the critical option"),
    ] {
        let Some(sshd) = certified(options) else { return };
        let error = refusal(&knowing(&sshd, lines)).await;
        assert!(matches!(&error, Error::HostCertificate { .. }), "{options:?}: {error}");
        assert!(error.to_string().contains(reason), "{options:?}: {error}");
        assert_eq!(error.exit(), Exit::Permission);
        // Nor can it be trusted by mistake.
        let shown = host_key(&knowing(&sshd, lines)).await.unwrap();
        assert!(matches!(shown.verdict, Verdict::Uncertified { .. }));
        // But its key may be known for itself.
        connect(&knowing(&sshd, &format!("{lines}\n127.0.0.1 KEY"))).await.unwrap();
    }
}

#[tokio::test]
async fn revoked_authorities_and_keys() {
    let Some(sshd) = certified(&["-h", "-n", "127.0.0.1"]) else { return };
    for revoked in ["@cert-authority * CA\n@revoked * CA", "@cert-authority * CA\n@revoked * KEY"] {
        let error = refusal(&knowing(&sshd, revoked)).await;
        assert!(matches!(&error, Error::HostKeyRevoked { place, .. } if place.ends_with(":2")), "{error}");
    }
    // A changed key is a changed key, whatever another authority says.
    let error =
        refusal(&knowing(&sshd, &format!("@cert-authority * OTHER\n[127.0.0.1]:{} OTHER", sshd.port))).await;
    assert!(matches!(&error, Error::HostKeyChanged { .. }), "{error}");
}
