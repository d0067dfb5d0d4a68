//! What is refused, how soon, and in which words.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::{
    HOSTS, LAB, nothing_to_change,
    stage::{Stage, cache, known_hosts, output_of, text, until},
};

pub fn node_off(stage: &Stage) {
    stage.hoist(&["lab", "stop", "w2"]).exits(0);
    stage.hoist(&["lab", "ssh", "w2", "--", "true"]).exits(69);
    stage.on("w1", "sysctl -qw net.ipv4.ip_forward=0");
    let plan = stage.hoist(&["plan"]).exits(69).says("1 of 3 hosts cannot be used").within(30);
    let plan = plan.says("failed to connect to w2: 10.77.0.13:22").says("net.ipv4.ip_forward: 0 -> 1");
    assert!(!plan.stderr.contains("w1"), "{plan}");
    let ran = stage.hoist(&["apply"]).exits(69).within(60);
    ran.says("The others are done in")
        .says("1 change, 2 nodes ready")
        .says("Not finished: w2 cannot be used");
    assert_eq!(stage.on("w1", "sysctl -n net.ipv4.ip_forward"), "1\n");
    stage.hoist(&["apply", "--limit", "w1"]).exits(0).says("0 changes, 1 node ready");
    let status = stage.hoist(&["status"]).exits(69);
    status.says("w2 unreachable failed to connect to w2").says("w1 Ready");
    stage.hoist(&["lab", "start", "w2"]).exits(0);
    until("w2 is as it should be", 90, || stage.hoist(&["plan"]).exit == Some(0));
    stage.hoist(&["apply"]).exits(0).says("3 nodes ready");
}

/// No cluster is begun beside one whose control plane only does not answer.
pub fn control_plane_off(stage: &Stage) {
    stage.hoist(&["lab", "stop", "cp1"]).exits(0);
    stage.hoist(&["lab", "ssh", "cp1", "--", "true"]).exits(69);
    for verb in ["plan", "apply"] {
        let refused = stage.hoist(&[verb]).exits(69).within(30);
        refused.says("cp1, which cannot be used, may have one").says("nothing was changed");
    }
    stage.hoist(&["plan", "--limit", "worker"]).exits(69).says("Nothing to change");
    stage.hoist(&["lab", "start", "cp1"]).exits(0);
    until("cp1 is as it should be", 120, || stage.hoist(&["plan"]).exit == Some(0));
    stage.hoist(&["apply"]).exits(0).says("3 nodes ready");
}

/// An inventory whose hosts are looked up in this file.
fn with_known_hosts(stage: &Stage, file: &Path) -> PathBuf {
    let usual = format!("known_hosts: {}", known_hosts().display());
    stage.inventory("known-hosts.yaml", &[(&usual, &format!("known_hosts: {}", file.display()))])
}

pub fn unknown_host_key(stage: &Stage) {
    let file = stage.path("empty_known_hosts");
    fs::write(&file, "").unwrap();
    let inventory = with_known_hosts(stage, &file);
    let inventory = ["-i", text(&inventory)];
    let refused =
        stage.hoist(&[&["apply"], &inventory[..]].concat()).exits(77).says("3 of 3 hosts cannot be used");
    refused.says("the key of w1 is unknown").says(&fingerprint("10.77.0.12")).says("hoist trust");
    // Without a terminal and without --yes nothing is recorded.
    stage.hoist(&[&["trust"], &inventory[..]].concat()).exits(77).says("3 not recorded");
    assert_eq!(fs::read_to_string(&file).unwrap(), "");
    stage.hoist(&[&["trust", "--yes"], &inventory[..]].concat()).exits(0).says("3 recorded");
    stage.hoist(&[&["plan"], &inventory[..]].concat()).exits(0);
}

pub fn changed_host_key(stage: &Stage) {
    // w1 is known by the key that is w2's.
    let known = fs::read_to_string(known_hosts()).unwrap();
    let key_of = |address: &str| {
        let line = known.lines().find(|line| line.split(' ').next() == Some(address)).unwrap();
        line.split_once(' ').unwrap().1.to_owned()
    };
    let lines = HOSTS.map(|(name, address)| {
        format!("{address} {}\n", key_of(if name == "w1" { "10.77.0.13" } else { address }))
    });
    let file = stage.path("wrong_known_hosts");
    fs::write(&file, lines.concat()).unwrap();
    let inventory = with_known_hosts(stage, &file);
    for verb in ["plan", "apply", "status"] {
        let refused =
            stage.hoist(&[verb, "-i", text(&inventory)]).exits(77).says("the key of w1 has changed");
        refused.says(&fingerprint("10.77.0.12")).says(&fingerprint("10.77.0.13"));
    }
    // Trust never replaces a key.
    stage.hoist(&["trust", "--yes", "-i", text(&inventory)]).exits(77).says("the key of w1 has changed");
    assert_eq!(fs::read_to_string(&file).unwrap(), lines.concat());
}

/// `SHA256:…` of a node's host key, as ssh-keygen says.
fn fingerprint(address: &str) -> String {
    let line = output_of("ssh-keygen", &["-lf", text(&cache().join(format!("lab/ssh/hosts/{address}.pub")))]);
    line.split_whitespace().nth(1).unwrap().to_owned()
}

pub fn wrong_login_key(stage: &Stage) {
    let key = stage.path("wrong_key");
    output_of("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", text(&key)]);
    let usual = format!("key: {}/lab/ssh/id_ed25519", cache().display());
    let inventory = stage.inventory("wrong-key.yaml", &[(&usual, &format!("key: {}", key.display()))]);
    let refused = stage.hoist(&["apply", "-i", text(&inventory)]).exits(77);
    refused.says("3 of 3 hosts cannot be used").says("w2 refused the login of \"root\"").within(30);
    nothing_to_change(stage);
}

/// A small file system, for as long as the value lives.
struct Tiny(PathBuf);

impl Tiny {
    fn mount(path: PathBuf) -> Tiny {
        fs::create_dir(&path).unwrap();
        mount(Some("none"), &path, Some("tmpfs"), MsFlags::empty(), Some("size=4m")).unwrap();
        Tiny(path)
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// This machine is not as the lab needs it.
pub fn machine(stage: &Stage) {
    // Where somebody who is not root can run it.
    let program = stage.path("hoist");
    fs::copy(env!("CARGO_BIN_EXE_hoist"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let inventory = stage.path("inventory.yaml");
    let home = stage.path("home");
    for arguments in [
        &["lab", "up"][..],
        &["lab", "down"],
        &["lab", "setup", "--yes"],
        &["demo", "--yes", "--kubernetes", "debian", "-i", text(&inventory)],
    ] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).args(arguments);
        command.env("HOME", &home).env("HOIST_LAB", LAB).env_remove("HOIST_CACHE").current_dir("/");
        stage.run(command).exits(77).says("root").within(15);
    }

    let mut command = stage.command(&["lab", "up"]);
    command.env("PATH", "/nonexistent");
    stage.run(command).exits(1).says("systemd-nspawn").within(15);

    let tiny = Tiny::mount(stage.path("tiny"));
    let mut command = stage.command(&["lab", "setup", "--yes"]);
    command.env("HOIST_CACHE", &tiny.0);
    stage
        .run(command)
        .exits(1)
        .says(&format!("are free in {}", tiny.0.display()))
        .says("HOIST_CACHE")
        .within(15);
}
