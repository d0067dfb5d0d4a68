//! `hoist ssh`: a shell on a host, as the inventory says how to reach it.

use std::{ffi::OsString, fs::File, io, os::unix::process::CommandExt, path::Path, process::Command};

use nix::sched::{CloneFlags, setns};

use super::{
    Failure,
    group::command_line,
    shared::{InventoryArg, home},
};
use crate::{exit::Exit, inventory::Login, transport::quote};

/// Logs in to a host with OpenSSH's client, or runs a command there; the exit status is that of ssh.
///
/// Address, port, user, key, known_hosts and network namespace are those of the inventory; everything else is as
/// your own configuration of ssh has it. Several words after `--` stay what they are here; a single one is a line
/// of shell. To run a command as root on many hosts, see `hoist exec`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hoist ssh -i inventory/lab.yaml cp1 -- journalctl -u kubelet -n 20")]
pub struct Args {
    #[command(flatten)]
    inventory: InventoryArg,
    /// The host.
    host: String,
    /// Print the command instead of running it.
    #[arg(long)]
    print: bool,
    /// The command to run there.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Replaces the process. Must be called before there are threads, for a network namespace belongs to a thread.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let inventory = args.inventory.load()?;
    let login = inventory.login(inventory.host(&args.host)?, &home());
    let words = client(&login, &args.command);
    if args.print {
        println!("{}", shown(&login, &words));
        return Ok(Exit::Ok);
    }
    if let Some(namespace) = &login.network_namespace {
        enter(namespace).map_err(|error| no_namespace(namespace, &error))?;
    }
    let error = Command::new("ssh").args(&words).exec();
    let report = match error.kind() {
        io::ErrorKind::NotFound => miette::miette!(
            help = "install it (Debian: openssh-client), or use `hoist exec`, which needs none",
            "there is no program `ssh` on this machine"
        ),
        _ => miette::miette!("failed to run `ssh`: {error}"),
    };
    Err(Failure { report, exit: Exit::Os })
}

/// The arguments of OpenSSH's client.
fn client(login: &Login, command: &[String]) -> Vec<OsString> {
    // In quotes, for a space would end the name of the file.
    let mut known_hosts = OsString::from("UserKnownHostsFile=\"");
    known_hosts.push(&login.known_hosts);
    known_hosts.push("\"");
    let mut words: Vec<OsString> = vec!["-p".into(), login.port.to_string().into()];
    words.extend(["-l".into(), login.user.clone().into(), "-i".into(), login.key.clone().into()]);
    words.extend(["-o".into(), known_hosts, "-o".into(), "StrictHostKeyChecking=yes".into()]);
    words.push(login.address.to_string().into());
    if !command.is_empty() {
        words.extend(["--".into(), command_line(command).into()]);
    }
    words
}

/// The whole command as a line of shell.
fn shown(login: &Login, words: &[OsString]) -> String {
    let namespace = login.network_namespace.as_ref();
    let enter = namespace.map(|name| format!("nsenter --net={} ", plain(&format!("/run/netns/{name}"))));
    let words: Vec<String> = words.iter().map(|word| plain(&word.to_string_lossy())).collect();
    format!("{}ssh {}", enter.unwrap_or_default(), words.join(" "))
}

/// Quoted only where it has to be.
fn plain(word: &str) -> String {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=@:,+".contains(&byte);
    if !word.is_empty() && word.bytes().all(safe) { word.to_owned() } else { quote(word) }
}

fn enter(namespace: &str) -> io::Result<()> {
    if namespace.contains('/') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a name of a namespace"));
    }
    let file = File::open(Path::new("/run/netns").join(namespace))?;
    Ok(setns(file, CloneFlags::CLONE_NEWNET)?)
}

fn no_namespace(namespace: &str, error: &io::Error) -> Failure {
    let exit = match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::Permission,
        _ => Exit::Os,
    };
    let report = miette::miette!(
        help = "root is needed to enter it, and `ip netns` lists those that there are; a lab's is there after \
                `hoist lab up`",
        "failed to enter the network namespace {namespace:?}: {error}"
    );
    Failure { report, exit }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;

    fn line(ssh: &str, command: &[&str]) -> String {
        let text = format!(
            "cluster: {{name: a, kubernetes: \"1.20.2\"}}\nssh: {ssh}\nhosts:\n  \
             a: {{address: 10.0.0.1, roles: [control-plane]}}\n"
        );
        let inventory = inventory::parse("test", &text).unwrap().inventory;
        let login = inventory.login(&inventory.hosts["a"], Path::new("/home/u"));
        let command: Vec<String> = command.iter().map(|word| word.to_string()).collect();
        shown(&login, &client(&login, &command))
    }

    #[test]
    fn the_client_gets_what_the_inventory_says() {
        assert_eq!(
            line("{}", &[]),
            "ssh -p 22 -l root -i /home/u/.ssh/id_ed25519 -o 'UserKnownHostsFile=\"/home/u/.ssh/known_hosts\"' \
             -o StrictHostKeyChecking=yes 10.0.0.1"
        );
        assert_eq!(
            line(
                "{user: admin, port: 2222, key: ~/my key, known_hosts: /k, network_namespace: lab}",
                &["ls", "a b"]
            ),
            "nsenter --net=/run/netns/lab ssh -p 2222 -l admin -i '/home/u/my key' \
             -o 'UserKnownHostsFile=\"/k\"' -o StrictHostKeyChecking=yes 10.0.0.1 -- ''\\''ls'\\'' '\\''a b'\\'''"
        );
    }
}
