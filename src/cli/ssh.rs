//! `hoist ssh`: a shell on a host, as the inventory says how to reach it.

use std::{ffi::OsString, fs::File, io, os::unix::process::CommandExt, path::Path, process::Command};

use nix::sched::{CloneFlags, setns};
use tokio::runtime::Builder;

use super::{
    Failure,
    group::{command_line, target},
    shared::InventoryArg,
};
use crate::{
    exit::Exit,
    transport::{Route, Target, quote},
};

/// Logs in to a host with OpenSSH's client, or runs a command there; the exit status is that of ssh.
///
/// Address, port, user, key, known_hosts, jump hosts and network namespace are those that hoist uses; everything else is
/// as your own configuration of ssh has it. Several words after `--` stay what they are here; a single one is a line
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
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::os)?;
    let target = runtime.block_on(target(&inventory, &args.host))?;
    drop(runtime);
    let words = client(&target, &args.command);
    if args.print {
        println!("{}", shown(&target, &words));
        return Ok(Exit::Ok);
    }
    if let Some(namespace) = &target.network_namespace {
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
fn client(target: &Target, command: &[String]) -> Vec<OsString> {
    let mut words = options(target);
    words.push(target.address.clone().into());
    if !command.is_empty() {
        words.extend(["--".into(), command_line(command).into()]);
    }
    words
}

fn options(target: &Target) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["-p".into(), target.port.to_string().into()];
    words.extend(["-l".into(), target.user.clone().into()]);
    words.extend(target.keys.iter().flat_map(|key| ["-i".into(), key.clone().into()]));
    words.extend(["-o".into(), known_hosts(target), "-o".into(), "StrictHostKeyChecking=yes".into()]);
    if let Some(alias) = &target.host_key_alias {
        words.extend(["-o".into(), format!("HostKeyAlias={alias}").into()]);
    }
    // Not `-J`, which would know nothing of the jump host's key and known_hosts in the inventory.
    let proxy = match &target.route {
        Route::Direct => return words,
        Route::Jump(jump) => {
            let mut words = options(jump);
            words.push(jump.address.clone().into());
            format!("{} -W '[%h]:%p'", line(&words).replace('%', "%%"))
        }
        // What its own percent signs stand for has been filled in.
        Route::Command(command) => command.replace('%', "%%"),
    };
    words.extend(["-o".into(), format!("ProxyCommand={proxy}").into()]);
    words
}

/// Each file in quotes, for a space would end its name.
fn known_hosts(target: &Target) -> OsString {
    let mut files = OsString::from("UserKnownHostsFile=");
    for (index, file) in target.known_hosts.iter().enumerate() {
        files.push(if index == 0 { "\"" } else { " \"" });
        files.push(file);
        files.push("\"");
    }
    files
}

/// The whole command as a line of shell.
fn shown(target: &Target, words: &[OsString]) -> String {
    let namespace = target.network_namespace.as_ref();
    let enter = namespace.map(|name| format!("nsenter --net={} ", plain(&format!("/run/netns/{name}"))));
    enter.unwrap_or_default() + &line(words)
}

/// ssh with these arguments.
fn line(words: &[OsString]) -> String {
    let words: Vec<String> = words.iter().map(|word| plain(&word.to_string_lossy())).collect();
    format!("ssh {}", words.join(" "))
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

    fn typed(target: &Target, command: &[&str]) -> String {
        let command: Vec<String> = command.iter().map(|word| word.to_string()).collect();
        shown(target, &client(target, &command))
    }

    #[test]
    fn the_client_gets_what_is_known_of_the_host() {
        let target = Target { known_hosts: vec!["/k".into()], ..Target::new("a", "10.0.0.1", "root") };
        assert_eq!(
            typed(&target, &[]),
            "ssh -p 22 -l root -o 'UserKnownHostsFile=\"/k\"' -o StrictHostKeyChecking=yes 10.0.0.1"
        );
        let target = Target {
            port: 2222,
            user: "admin".into(),
            keys: vec!["/home/u/my key".into()],
            known_hosts: vec!["/my hosts".into(), "/k".into()],
            network_namespace: Some("lab".into()),
            ..target
        };
        assert_eq!(
            typed(&target, &["ls", "a b"]),
            "nsenter --net=/run/netns/lab ssh -p 2222 -l admin -i '/home/u/my key' \
             -o 'UserKnownHostsFile=\"/my hosts\" \"/k\"' -o StrictHostKeyChecking=yes 10.0.0.1 \
             -- ''\\''ls'\\'' '\\''a b'\\'''"
        );
    }

    #[test]
    fn a_jump_host_keeps_its_own_key() {
        let jump = Target { keys: vec!["/k%1".into()], known_hosts: vec!["/j".into()], ..Target::new("j", "192.0.2.1", "u") };
        let target = Target {
            route: Route::Jump(jump.into()),
            known_hosts: vec!["/h".into()],
            ..Target::new("a", "10.0.0.1", "root")
        };
        let words = client(&target, &[]);
        assert_eq!(
            words[words.len() - 2].to_string_lossy(),
            "ProxyCommand=ssh -p 22 -l u -i '/k%%1' -o 'UserKnownHostsFile=\"/j\"' -o StrictHostKeyChecking=yes 192.0.2.1 \
             -W '[%h]:%p'"
        );
    }
}
