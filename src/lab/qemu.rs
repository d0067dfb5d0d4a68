//! A node that is a virtual machine: a kernel, a clock and a disk of its own, in QEMU.
//!
//! It is emulated, which is slow, and the same everywhere: a machine may have a /dev/kvm with which nothing boots. It looks
//! like a guest of VMware: its firmware says so, and its network card is a vmxnet3.

use std::{net::Ipv4Addr, process::Stdio};

use tokio::{
    io::{self, AsyncWriteExt},
    process::{ChildStdin, Command},
};

use super::{
    config::Config,
    error::LabError,
    network::{self, BRIDGE, Namespace},
    node::NodeSpec,
    packages, process, virtual_root, volume,
};

/// How many times as long as a container a virtual machine may take to boot and to shut down: emulated, it does.
pub(crate) const SLOWNESS: u32 = 5;
/// Bytes of its disk, where nobody asks for another size. It takes as much of this machine's as is used.
pub(crate) const DISK: u64 = 8 << 30;

/// Puts the machine's port into the bridge, under the name that a container's has, so that its links are cut like theirs.
pub(crate) fn plug(config: &Config, node: &NodeSpec) -> Result<(), LabError> {
    let port = unplug(config, node)?;
    for arguments in
        [&["tuntap", "add", "dev", &port, "mode", "tap"][..], &["link", "set", &port, "master", BRIDGE, "up"]]
    {
        let arguments = [&["-n", &config.name], arguments].concat();
        process::output(process::command("ip", &arguments))?;
    }
    Ok(())
}

/// Removes the port, if it is there; its name.
pub(crate) fn unplug(config: &Config, node: &NodeSpec) -> Result<String, LabError> {
    let port = network::port(&config.machine(&node.name));
    Namespace::of(config).remove_port(&port)?;
    Ok(port)
}

/// The machine, switched on. What the kernel prints goes to the node's console; standard input takes QEMU's commands.
pub(crate) fn command(config: &Config, node: &NodeSpec) -> Command {
    let boot = config.cache.virtual_root();
    let file = |path: std::path::PathBuf| path.display().to_string().replace(',', ",,");
    let mut command = Command::new(packages::EMULATOR);
    command
        .env("PATH", packages::path())
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-machine", "pc,accel=tcg", "-smp", "2", "-m", "2048"])
        // Without the processor's word that there is a hypervisor, systemd goes by what the firmware says.
        .args(["-cpu", "max,-hypervisor"])
        .args(["-smbios", "type=1,manufacturer=VMware,, Inc.,product=VMware Virtual Platform"])
        .arg("-kernel")
        .arg(boot.join(virtual_root::KERNEL))
        .arg("-initrd")
        .arg(boot.join(virtual_root::INITRD))
        .args(["-append", "root=/dev/vda rw console=ttyS0"])
        .arg("-drive")
        // What was written outlives the machine's end in this kernel; only this machine's own power cut could lose it.
        .arg(format!("file={},format=raw,if=virtio,cache=unsafe", file(volume::image(config, &node.name))))
        .arg("-netdev")
        .arg(format!(
            "tap,id=port,ifname={},script=no,downscript=no",
            network::port(&config.machine(&node.name))
        ))
        .arg("-device")
        .arg(format!("vmxnet3,netdev=port,mac={}", mac(node.address)))
        .arg("-chardev")
        .arg(format!("file,id=console,append=on,path={}", file(config.console(&node.name))))
        .args(["-serial", "chardev:console", "-qmp", "stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    command
}

/// Presses the power button; the node's system shuts down in order.
pub(crate) async fn press_power_button(input: &mut ChildStdin) -> io::Result<()> {
    input.write_all(b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"system_powerdown\"}\n").await?;
    input.flush().await
}

/// VMware's own prefix, and what tells the nodes of a lab apart.
fn mac(address: Ipv4Addr) -> String {
    let [_, b, c, d] = address.octets();
    format!("00:50:56:{b:02x}:{c:02x}:{d:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Cache;

    #[test]
    fn the_machine_is_started_as_intended() {
        let config = Config::new(Cache::at("/ca,che"), "hoist-lab").unwrap();
        let command = command(&config, &NodeSpec::three()[0]);
        let arguments: Vec<_> = command.as_std().get_args().map(|word| word.to_str().unwrap()).collect();
        insta::assert_snapshot!(arguments.join("\n"), @r"
        -nodefaults
        -no-user-config
        -display
        none
        -machine
        pc,accel=tcg
        -smp
        2
        -m
        2048
        -cpu
        max,-hypervisor
        -smbios
        type=1,manufacturer=VMware,, Inc.,product=VMware Virtual Platform
        -kernel
        /ca,che/lab/virtual/kernel
        -initrd
        /ca,che/lab/virtual/initrd
        -append
        root=/dev/vda rw console=ttyS0
        -drive
        file=/ca,,che/lab/labs/hoist-lab/nodes/cp1.img,format=raw,if=virtio,cache=unsafe
        -netdev
        tap,id=port,ifname=vb-cp1-e4ae1680,script=no,downscript=no
        -device
        vmxnet3,netdev=port,mac=00:50:56:4d:00:0b
        -chardev
        file,id=console,append=on,path=/ca,,che/lab/labs/hoist-lab/run/cp1.console.log
        -serial
        chardev:console
        -qmp
        stdio
        ");
    }
}
