//! `hoist ssh`: a shell on a host, as the inventory says how to reach it.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use nix::sched::{CloneFlags, setns};

use super::{
    Failure,
    group::{command_line, target},
    shared::{InventoryArg, home, print},
};
use crate::{
    exit::Exit,
    transport::{Route, Target, quote},
};

/// Logs in to a host with OpenSSH's client, or runs a command there; the exit status is that of ssh.
///
/// The way there, user, keys, known_hosts and network namespace are those with which hoist itself connects; everything
/// else is as your own configuration of ssh has it. Several words after `--` stay what they are here; a single one is a
/// line of shell. To run a command as root on many hosts, see `hoist exec`.
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
    // One without threads, which has ended before the process is replaced.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::os)?;
    let target = runtime.block_on(target(&inventory, &args.host))?;
    drop(runtime);
    let config = inventory.login(inventory.host(&args.host)?, &home()).config;
    let mut words = client(&target, config.as_deref());
    if !args.command.is_empty() {
        words.extend(["--".into(), command_line(&args.command).into()]);
    }
    if args.print {
        return print(format!("{}\n", shown(&target, &words)).as_bytes());
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

/// The arguments of OpenSSH's client, up to the address. `config` is the configuration that the inventory gives it.
fn client(target: &Target, config: Option<&Path>) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    if let Some(config) = config {
        words.extend(["-F".into(), config.into()]);
    }
    words.extend(["-p".into(), target.port.to_string().into()]);
    words.extend(["-l".into(), target.user.clone().into()]);
    words.extend(target.keys.iter().flat_map(|key| ["-i".into(), key.clone().into()]));
    words.extend(target.certificates.iter().flat_map(|file| ["-o".into(), option("CertificateFile=", file)]));
    if target.only_these_keys {
        words.extend(["-o".into(), "IdentitiesOnly=yes".into()]);
    }
    let known_hosts = quoted("UserKnownHostsFile=", &target.known_hosts);
    words.extend(["-o".into(), known_hosts, "-o".into(), "StrictHostKeyChecking=yes".into()]);
    if let Some(alias) = &target.host_key_alias {
        words.extend(["-o".into(), format!("HostKeyAlias={alias}").into()]);
    }
    if let Some(file) = &target.revoked_keys {
        words.extend(["-o".into(), quoted("RevokedHostKeys=", std::slice::from_ref(file))]);
    }
    // The way is decided, and no other that a configuration knows is taken.
    let way = proxy(&target.route, config).map(|command| format!("ProxyCommand={command}"));
    words.extend(["-o".into(), way.unwrap_or_else(|| "ProxyJump=none".into()).into()]);
    words.push(target.address.clone().into());
    words
}

/// What carries the bytes, as a line for the client's own shell: another client, to the last jump host.
fn proxy(route: &Route, config: Option<&Path>) -> Option<String> {
    // The client takes what follows a percent sign for one of its own names.
    let literal = |text: &str| text.replace('%', "%%");
    match route {
        Route::Direct => None,
        Route::Command(command) => Some(literal(command)),
        Route::Jump(hop) => {
            let words = client(hop, config);
            let words: Vec<String> = words.iter().map(|word| plain(&word.to_string_lossy())).collect();
            Some(format!("ssh -W '[%h]:%p' {}", literal(&words.join(" "))))
        }
    }
}

/// An option that is the name of a file.
fn option(name: &str, file: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(file);
    option
}

/// An option that is a list of files, each in quotes, for a space would end its name.
fn quoted(name: &str, list: &[PathBuf]) -> OsString {
    let mut files = OsString::from(name);
    for (index, file) in list.iter().enumerate() {
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
    use std::sync::Arc;

    use super::*;

    fn line(target: &Target) -> String {
        shown(target, &client(target, None))
    }

    #[test]
    fn the_client_gets_what_is_known_of_the_host() {
        let target = Target { known_hosts: vec!["/k".into()], ..Target::new("a", "10.0.0.1", "root") };
        assert_eq!(
            line(&target),
            "ssh -p 22 -l root -o 'UserKnownHostsFile=\"/k\"' -o StrictHostKeyChecking=yes -o ProxyJump=none 10.0.0.1"
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
            line(&target),
            "nsenter --net=/run/netns/lab ssh -p 2222 -l admin -i '/home/u/my key' \
             -o 'UserKnownHostsFile=\"/my hosts\" \"/k\"' -o StrictHostKeyChecking=yes -o ProxyJump=none 10.0.0.1"
        );
        // What the inventory says of the configuration, and what that says of keys, hold for the client as well.
        let jump = Target::new("jump", "10.0.0.9", "root");
        let target = Target {
            revoked_keys: Some("/my revoked".into()),
            route: Route::Jump(Arc::new(Target { known_hosts: vec!["/k".into()], ..jump })),
            known_hosts: vec!["/k".into()],
            ..Target::new("a", "10.0.0.1", "root")
        };
        let line = shown(&target, &client(&target, Some(Path::new("none"))));
        let begin = "ssh -F none -p 22 -l root -o 'UserKnownHostsFile=\"/k\"' -o StrictHostKeyChecking=yes \
                     -o 'RevokedHostKeys=\"/my revoked\"' -o 'ProxyCommand=ssh -W ";
        assert!(line.starts_with(begin) && line.contains("%p'\\'' -F none -p 22"), "{line}");
    }

    #[test]
    fn each_jump_host_is_reached_through_the_one_before() {
        let hop = |name: &str, address: &str| Target {
            known_hosts: vec!["/k".into()],
            ..Target::new(name, address, "jumper")
        };
        let inner =
            Target { route: Route::Jump(Arc::new(hop("outer", "203.0.113.1"))), ..hop("inner", "10.9.0.1") };
        let inner_proxy = proxy(&inner.route, None).unwrap();
        assert_eq!(
            inner_proxy,
            "ssh -W '[%h]:%p' -p 22 -l jumper -o 'UserKnownHostsFile=\"/k\"' -o StrictHostKeyChecking=yes -o ProxyJump=none \
             203.0.113.1"
        );
        // One client expands what the next one is to see, so that each level has its percent signs twice.
        let quoted = quote(&format!("ProxyCommand={inner_proxy}")).replace('%', "%%");
        let route = Route::Jump(Arc::new(inner));
        assert!(
            proxy(&route, None).unwrap().ends_with(&format!(" -o {quoted} 10.9.0.1")),
            "{:?}",
            proxy(&route, None)
        );
        assert_eq!(proxy(&Route::Command("nc 50% x".into()), None).as_deref(), Some("nc 50%% x"));
        assert_eq!(proxy(&Route::Direct, None), None);
    }
}
