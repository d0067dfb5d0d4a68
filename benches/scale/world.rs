//! The closed world of the benchmark: its namespaces, addresses, keys and files.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use russh::keys::{
    PrivateKey,
    ssh_key::{LineEnding, private::Ed25519Keypair},
};

use super::{Outcome, hosts::PORT};

/// A folder that is in memory and that only this mount namespace sees.
const WORK: &str = "/mnt";

/// Enters namespaces of its own, in which 10.79.0.0/16 is this machine and [`WORK`] is in memory.
pub fn enter() -> Outcome<()> {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("tmpfs"), WORK, Some("tmpfs"), MsFlags::empty(), none)?;
    // hoist refuses hosts without systemd; none of the statements needs it.
    fs::write(work("init"), "systemd\n")?;
    mount(Some(&work("init")), "/proc/1/comm", none, MsFlags::MS_BIND, none)?;
    for arguments in ["link set lo up", "address add 10.79.0.0/16 dev lo"] {
        if !Command::new("ip").args(arguments.split(' ')).status()?.success() {
            return Err(format!("ip {arguments} failed").into());
        }
    }
    Ok(())
}

/// A file or folder of the benchmark.
pub fn work(name: &str) -> PathBuf {
    Path::new(WORK).join(name)
}

/// The address of a host, by its number from 1.
fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 79, 0, 0).to_bits() + number as u32)
}

/// A key from a number. Nobody outside of the namespace ever sees a host that takes it.
fn key(seed: u8) -> PrivateKey {
    Ed25519Keypair::from_seed(&[seed; 32]).into()
}

pub fn host_key() -> PrivateKey {
    key(1)
}

pub fn user_key() -> PrivateKey {
    key(2)
}

/// Writes what hoist reads besides the inventories. Every host has a line in known_hosts.
pub fn lay_out(hosts: usize) -> Outcome<()> {
    fs::write(work("key"), user_key().to_openssh(LineEnding::LF)?.as_bytes())?;
    fs::set_permissions(work("key"), fs::Permissions::from_mode(0o600))?;
    let public = host_key().public_key().to_openssh()?;
    let line = |number| format!("[{}]:{} {public}\n", address(number), PORT);
    fs::write(work("known_hosts"), (1..=hosts).map(line).collect::<String>())?;
    Ok(())
}

/// The inventory of the first hosts.
pub fn inventory(hosts: usize) -> Outcome<PathBuf> {
    let mut text = format!(
        "cluster:\n  name: scale\n  kubernetes: \"1.20.2\"\n  network: {{pods: 100.64.0.0/10, services: 172.31.0.0/16}}\n\
         ssh: {{user: root, port: {PORT}, key: {WORK}/key, known_hosts: {WORK}/known_hosts}}\nhosts:\n"
    );
    for number in 1..=hosts {
        let role = if number == 1 { "control-plane" } else { "worker" };
        text += &format!("  h{number}: {{address: {}, roles: [{role}]}}\n", address(number));
    }
    let path = work(&format!("{hosts}.yaml"));
    fs::write(&path, text)?;
    Ok(path)
}
