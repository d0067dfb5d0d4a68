//! The process that watches over one node: starts it, starts it again when it reboots, and stops it when told to.
//!
//! It is hoist itself, run again with a hidden verb, in a session of its own: nodes outlive the command that
//! started them.

use std::{io, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use super::{
    cgroup::Cgroups,
    config::Config,
    disk,
    error::LabError,
    identity::Identity,
    network::{BRIDGE, Namespace},
    node::NodeSpec,
    packages, process, qemu,
    record::{self, Record},
};

/// How systemd-nspawn ends when the node asked for a reboot.
const REBOOT: i32 = 133;

/// How long a container may take to shut down. systemd in the node gives its units 10 s.
const SHUTDOWN: Duration = Duration::from_secs(25);

/// Runs a node until it powers off or this process is told to stop it (SIGTERM).
///
/// # Errors
/// When the node cannot be started; they go to the node's console log, where `up` reads them.
pub fn supervise(config: &Config, node: &NodeSpec) -> Result<(), LabError> {
    process::detach()?;
    let ended = Namespace::of(config).block_on(|| watch(config, node)).flatten();
    if disk::is_virtual(&config.disk(&node.name)) {
        qemu::unplug(config, node)?;
    }
    record::delete(config, &node.name)?;
    ended
}

async fn watch(config: &Config, node: &NodeSpec) -> Result<(), LabError> {
    let failed = || LabError::io("run", config.disk(&node.name));
    // From here on a signal waits for us instead of ending us, so the record may be found.
    let mut stop = signal(SignalKind::terminate()).map_err(failed())?;
    let cgroups = Cgroups::of_this_machine()?;
    let supervisor = Identity::own()?;
    Record { name: node.name.clone(), address: node.address, supervisor }.write(config)?;
    loop {
        cgroups.clear(&config.name, &node.name);
        cgroups.create(&config.name, &node.name)?;
        let mut command = if disk::is_virtual(&config.disk(&node.name)) {
            qemu::plug(config, node)?;
            qemu::command(config, node)
        } else {
            nspawn(config, node)
        };
        let mut child = cgroups.spawn_in(&config.name, &node.name, || command.spawn())?.map_err(failed())?;
        // Waiting for a child closes its standard input, on which only a virtual machine listens.
        let mut input = child.stdin.take();
        let status = tokio::select! {
            status = child.wait() => status.map_err(failed())?,
            _ = stop.recv() => {
                let asked = match &mut input {
                    Some(input) => qemu::press_power_button(input).await,
                    None => terminate(&child),
                };
                asked.map_err(failed())?;
                return wait(&mut child, patience(config, &node.name)).await.map_err(failed());
            }
        };
        // A virtual machine that boots anew does not end meanwhile.
        if status.code() != Some(REBOOT) {
            return Ok(());
        }
    }
}

/// systemd-nspawn passes SIGTERM on as an orderly power-off.
fn terminate(child: &Child) -> io::Result<()> {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // Not collected yet, so the number is still its own.
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
    }
    Ok(())
}

async fn wait(child: &mut Child, limit: Duration) -> io::Result<()> {
    match timeout(limit, child.wait()).await {
        Ok(ended) => ended.map(drop),
        Err(_) => child.kill().await,
    }
}

/// How long a node may take to shut down before it is switched off.
pub(crate) fn patience(config: &Config, node: &str) -> Duration {
    if disk::is_virtual(&config.disk(node)) { SHUTDOWN * qemu::SLOWNESS } else { SHUTDOWN }
}

fn nspawn(config: &Config, node: &NodeSpec) -> Command {
    let mut command = Command::new("systemd-nspawn");
    command
        .env("PATH", packages::path())
        // Containers in the node bring their own filters and need calls that nspawn's would refuse.
        .env("SYSTEMD_SECCOMP", "0")
        // The node's own network settings are writable, those of the machine are not.
        .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network")
        .args(["--quiet", "--boot", "--register=no", "--keep-unit", "--link-journal=no"])
        .args(["--private-users=no", "--resolv-conf=off", "--console=pipe", "--bind=/dev/kmsg"])
        // All that a server has, but not the clock and the kernel modules of the machine below.
        .args(["--capability=all", "--drop-capability=CAP_SYS_TIME,CAP_SYS_MODULE"])
        .arg(format!("--network-bridge={BRIDGE}"))
        .arg(format!("--machine={}", config.machine(&node.name)))
        .arg(format!("--hostname={}", node.name))
        .arg("--directory")
        .arg(config.disk(&node.name))
        .stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Cache;

    #[test]
    fn the_container_is_started_as_intended() {
        let config = Config::new(Cache::at("/cache"), "hoist-lab").unwrap();
        let command = nspawn(&config, &NodeSpec::three()[0]);
        let arguments: Vec<_> = command.as_std().get_args().map(|word| word.to_str().unwrap()).collect();
        insta::assert_snapshot!(arguments.join("\n"), @r"
        --quiet
        --boot
        --register=no
        --keep-unit
        --link-journal=no
        --private-users=no
        --resolv-conf=off
        --console=pipe
        --bind=/dev/kmsg
        --capability=all
        --drop-capability=CAP_SYS_TIME,CAP_SYS_MODULE
        --network-bridge=br0
        --machine=cp1-e4ae1680
        --hostname=cp1
        --directory
        /cache/lab/labs/hoist-lab/nodes/cp1
        ");
    }
}
