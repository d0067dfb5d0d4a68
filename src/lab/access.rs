//! Going into the lab: SSH to a node, or any program in the lab's network.

use std::{ffi::OsString, net::Ipv4Addr, os::unix::process::CommandExt, process::Command};

use super::{cache::Cache, config::Config, error::LabError, network::Namespace, record, switch::Wiring, up};

/// Puts the calling thread, and every thread and program that it starts from now on, into the lab's network.
/// For a program that is to reach nodes: call it before anything else is started.
///
/// # Errors
/// [`LabError::NotRunning`] when the lab has no network.
pub fn enter_network(config: &Config) -> Result<(), LabError> {
    Namespace::of(config).enter()
}

/// Becomes OpenSSH's client, logged in as root on a node; its exit status is the caller's. Returns only on failure.
pub fn ssh(config: &Config, node: &str, command: &[OsString]) -> LabError {
    let alive: Vec<_> = record::all(config).into_iter().filter(record::Record::alive).collect();
    match alive.iter().find(|record| record.name == node) {
        Some(_) if up::delay(&Wiring::of(config), node).is_none() => {
            LabError::CutOff { node: node.to_owned() }
        }
        Some(record) => {
            become_in_network(config, ssh_command(&config.cache, "root", record.address, command))
        }
        None => {
            let running = alive.iter().map(|record| record.name.as_str()).collect::<Vec<_>>().join(", ");
            LabError::NoNode { node: node.to_owned(), lab: config.name.clone(), running }
        }
    }
}

/// Becomes a program inside the lab's network; its exit status is the caller's. Returns only on failure.
pub fn exec(config: &Config, program: &OsString, arguments: &[OsString]) -> LabError {
    let mut command = Command::new(program);
    command.args(arguments);
    become_in_network(config, command)
}

fn become_in_network(config: &Config, mut command: Command) -> LabError {
    if let Err(error) = enter_network(config) {
        return error;
    }
    let shown = command.get_program().to_string_lossy().into_owned();
    let cause = command.exec().to_string();
    LabError::Command { command: shown, cause }
}

/// OpenSSH's client with the lab's key and host keys, and nothing of the user's own configuration.
pub fn ssh_command(cache: &Cache, user: &str, address: Ipv4Addr, command: &[OsString]) -> Command {
    let mut ssh = Command::new("ssh");
    let mut known_hosts = OsString::from("UserKnownHostsFile=");
    known_hosts.push(cache.known_hosts());
    ssh.args(["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes"])
        .args(["-o", "GlobalKnownHostsFile=none", "-o", "LogLevel=ERROR", "-o"])
        .arg(known_hosts)
        .arg("-i")
        .arg(cache.ssh_key())
        .arg(format!("{user}@{address}"));
    if !command.is_empty() {
        ssh.arg("--").args(command);
    }
    ssh
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_verifies_the_host_and_uses_the_labs_key() {
        let command = ssh_command(
            &Cache::at("/cache"),
            "root",
            Ipv4Addr::new(10, 77, 0, 11),
            &["uname".into(), "-r".into()],
        );
        let words: Vec<_> = command.get_args().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(
            words.join(" "),
            "-F none -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=none \
             -o LogLevel=ERROR -o UserKnownHostsFile=/cache/lab/ssh/known_hosts \
             -i /cache/lab/ssh/id_ed25519 root@10.77.0.11 -- uname -r"
        );
    }
}
