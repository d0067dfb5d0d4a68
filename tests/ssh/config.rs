//! OpenSSH's configuration, from the program as a user runs it.

use std::{
    fs,
    process::{Command, Output},
};

use hoist::transport::{Error, Route, Script, Target, connect};

use crate::{login::refusal, support::sshd::Sshd};

const INVENTORY: &str = "cluster: {name: a, kubernetes: 1.20.2}\nSSH\nhosts:\n  \
                         cp1: {address: 192.0.2.1, roles: [control-plane]}\n";

/// `hoist trust --yes` in a home with this configuration, and this line in the inventory.
fn trust(home: &Sshd, config: &str, ssh: &str) -> (i32, String) {
    trust_only(home, config, ssh, &[])
}

/// The same for hosts of these names.
fn trust_only(home: &Sshd, config: &str, ssh: &str, hosts: &[&str]) -> (i32, String) {
    fs::create_dir_all(home.path(".ssh")).unwrap();
    fs::write(home.path(".ssh/config"), config).unwrap();
    let inventory = home.path("inventory.yaml");
    fs::write(&inventory, INVENTORY.replace("SSH", ssh)).unwrap();
    let mut hoist = Command::new(env!("CARGO_BIN_EXE_hoist"));
    hoist
        .args(["trust", "--yes", "-i"])
        .arg(inventory)
        .args(hosts)
        .env("HOME", home.path(""))
        .env_remove("SSH_AUTH_SOCK");
    let Output { status, stderr, .. } = hoist.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn the_program_goes_the_way_that_the_configuration_says() {
    let (Some(bastion), Some(inner)) = (Sshd::start(), Sshd::start()) else { return };
    let config = format!(
        "Host 192.0.2.1\n HostName 127.0.0.1\n Port {}\n ProxyJump bastion\n\
         Host bastion\n HostName 127.0.0.1\n Port {}\n IdentityFile {}\n",
        inner.port,
        bastion.port,
        bastion.path("user").display()
    );
    let (code, text) = trust_only(&bastion, &config, "", &["w1"]);
    assert!(code == 64 && text.contains("the hosts are: bastion, cp1"), "{code} {text}");
    let (code, text) = trust_only(&bastion, &config, "", &["bastion"]);
    assert_eq!((code, text.as_str()), (0, "0 known already, 1 recorded, 0 not recorded\n"));
    let (code, text) = trust(&bastion, &config, "ssh: {connect_timeout: 5}");
    assert_eq!((code, text.as_str()), (0, "1 known already, 1 recorded, 0 not recorded\n"));
    let (code, text) = trust(&bastion, &config, "");
    assert_eq!((code, text.as_str()), (0, "2 known already, 0 recorded, 0 not recorded\n"));
    assert_eq!(bastion.logins(), 2);
    // The inventory wins: directly, nothing is there.
    let (code, text) = trust(&bastion, &config, "ssh: {jump: none, port: 1}");
    assert!(code == 69 && text.contains("127.0.0.1:1 refused"), "{code} {text}");
    // And without the configuration there is only the address. Nobody has it.
    let (code, text) = trust(&bastion, &config, "ssh: {config: none, connect_timeout: 1}");
    assert!(code == 69 && text.contains("192.0.2.1:22"), "{code} {text}");
    // A jump host that the inventory names is looked up in the configuration.
    let other = format!("ssh: {{jump: bastion, config: {}}}", bastion.path("other").display());
    fs::write(bastion.path("other"), config.replace(" ProxyJump bastion\n", "")).unwrap();
    let (code, text) = trust(&bastion, "Host *\n Port 1\n", &other);
    assert_eq!((code, text.as_str()), (0, "2 known already, 0 recorded, 0 not recorded\n"));
}

#[test]
fn a_mistake_in_the_configuration() {
    let Some(home) = Sshd::start() else { return };
    let (code, text) = trust(&home, "Host *\n User x\n Nonsense yes\n", "");
    assert!(code == 71 && text.contains("line 3") && text.contains("config: none"), "{code} {text}");
}

#[tokio::test]
async fn a_command_as_the_way() {
    let (Some(bastion), Some(inner)) = (Sshd::start(), Sshd::start()) else { return };
    let hop = bastion.target();
    let command = format!(
        "ssh -F none -o UserKnownHostsFile={} -i {} -p {} root@127.0.0.1 -W {}",
        hop.known_hosts[0].display(),
        hop.keys[0].display(),
        hop.port,
        inner.address()
    );
    let through = |command: &str| Target { route: Route::Command(command.into()), ..inner.target() };
    let host = connect(&through(&command)).await.unwrap();
    assert_eq!(host.run(Script::new("id -u")).await.unwrap().stdout, b"0\n");
    assert_eq!((bastion.logins(), inner.logins()), (1, 1));
    let error = refusal(&through("false")).await;
    assert!(matches!(error, Error::Closed { .. }), "{error}");
}

/// A stolen key stays in everybody's known_hosts; the list of revoked ones is what keeps it out.
#[test]
fn a_key_that_the_configuration_revokes_is_refused() {
    let Some(host) = Sshd::start() else { return };
    let config = |revoked: &str| {
        let list = host.path("revoked");
        let way = format!("Host 192.0.2.1\n HostName 127.0.0.1\n Port {}\n", host.port);
        fs::write(&list, revoked).unwrap();
        format!("{way} RevokedHostKeys {}\n", list.display())
    };
    let none = config("# nobody's\n");
    assert_eq!(trust(&host, &none, "").0, 0);
    let revoked = config(&format!("# stolen\n{}{}", host.public("host_ecdsa"), host.public("host_ed25519")));
    let (code, text) = trust(&host, &revoked, "");
    assert!(code != 0 && text.contains("revoked"), "{code} {text}");
    let (code, text) = trust(&host, &config("SSHKRL\n\0"), "");
    assert!(code == 71 && text.contains("key revocation list"), "{code} {text}");
    let config = config("");
    fs::remove_file(host.path("revoked")).unwrap();
    let (code, text) = trust(&host, &config, "");
    assert!(code == 71 && text.contains("failed to read the known hosts"), "{code} {text}");
}
