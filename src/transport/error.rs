//! Why a host could not be used: one enum, each variant with its cause and its fix.

use std::{io, path::PathBuf, sync::Arc};

use crate::exit::Exit;

/// Why a host could not be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error("failed to find the address of {host}: no name server knows {address:?} ({reason})")]
    #[diagnostic(help("correct `address` in the inventory, or use an IP address"))]
    Resolve { host: String, address: String, reason: String },

    #[error("failed to connect to {host}: {address} refused the connection")]
    #[diagnostic(help(
        "the machine is up but nothing listens on that port: start its SSH server, or correct the port"
    ))]
    Refused { host: String, address: String },

    #[error("failed to connect to {host}: {address} did not answer within {seconds} s")]
    #[diagnostic(help(
        "check that the machine is on, that the address is right and that no firewall drops the packets"
    ))]
    NoAnswer { host: String, address: String, seconds: u64 },

    #[error("failed to connect to {host}: {address} cannot be reached ({reason})")]
    #[diagnostic(help("there is no route to that address, or its network says the machine is not there"))]
    Unreachable { host: String, address: String, reason: String },

    #[error("failed to connect to {host}: {address} closed the connection {stage} ({reason})")]
    #[diagnostic(help(
        "the server cut the connection: its log says why (MaxStartups, fail2ban, TCP wrappers, a restart); try again"
    ))]
    Closed { host: String, address: String, stage: &'static str, reason: String },

    #[error("failed to connect to {host}: what listens on {address} does not speak SSH")]
    #[diagnostic(help("correct the port: this one belongs to another service"))]
    NotSsh { host: String, address: String },

    #[error("failed to agree with {host} on how to encrypt: {reason}")]
    #[diagnostic(help("the server offers only algorithms that are no longer safe: update its OpenSSH"))]
    Negotiation { host: String, reason: String },

    #[error("failed to open a socket for {host} ({reason})")]
    #[diagnostic(help("check the limits of this process (`ulimit -n`) and local firewall rules"))]
    Socket { host: String, reason: String },

    #[error("failed to enter the network namespace {namespace:?} ({reason})")]
    #[diagnostic(help("`ip netns list` shows those that exist; entering one needs root"))]
    Namespace { namespace: String, reason: String },

    #[error("failed to find the way to {host}: {reason}")]
    #[diagnostic(help(
        "`ssh.jump` and `ssh.config` in the inventory, and ~/.ssh/config, say how hosts are reached; \
         `config: none` leaves the latter out"
    ))]
    Route { host: String, reason: String },

    #[error("failed to connect to {host} through {hop}: {cause}")]
    #[diagnostic(help("{}", cause.help().map(|help| help.to_string()).unwrap_or_default()))]
    Jump { host: String, hop: String, cause: Arc<Error> },

    #[error("the connection to {host} was lost ({reason})")]
    #[diagnostic(help(
        "when the machine answers again, run the same command again: it goes on from where it stopped"
    ))]
    Lost { host: String, reason: String },

    #[error("the key of {host} is unknown: {address} showed {found}")]
    #[diagnostic(help(
        "compare that fingerprint with the one on the machine (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` \
         there), then record it with `hoist trust -i INVENTORY {host}`"
    ))]
    HostKeyUnknown { host: String, address: String, found: String },

    #[error(
        "the key of {host} has changed: {} showed {}, expected {}",
        change.address, change.found, change.expected.join(" or ")
    )]
    #[diagnostic(help(
        "either the machine was installed anew, or somebody sits between: compare the fingerprint on the machine \
         itself; when it is right, `ssh-keygen -R '{}' -f '{}'` forgets the old key and \
         `hoist trust -i INVENTORY {host}` records the new one",
        change.name, change.file
    ))]
    HostKeyChanged { host: String, change: Box<Change> },

    #[error("the key of {host} is revoked: {address} showed {found}, which {place} revokes")]
    #[diagnostic(help("do not connect: give the machine a new host key and record that"))]
    HostKeyRevoked { host: String, address: String, found: String, place: String },

    #[error("the certificate of {host} does not vouch for it: {address} showed {found}, but {reason}")]
    #[diagnostic(help(
        "let the authority sign the host's key anew (`ssh-keygen -s CA -I ID -h -n NAMES`), or correct the \
         `@cert-authority` line in known_hosts"
    ))]
    HostCertificate { host: String, address: String, found: String, reason: String },

    #[error("failed to read the known hosts in {}", path.display())]
    #[diagnostic(help("make the file readable: without it no host key can be verified"))]
    KnownHosts {
        path: PathBuf,
        #[source]
        source: io::Error,
    },

    #[error("failed to record a host key in {}", path.display())]
    #[diagnostic(help("check the owner, the mode and the free space of that folder"))]
    Record {
        path: PathBuf,
        #[source]
        source: io::Error,
    },

    #[error("failed to read the private key {} ({reason})", path.display())]
    #[diagnostic(help(
        "`ssh.key` in the inventory names it; an encrypted key needs HOIST_KEY_PASSPHRASE, a terminal to ask on, or ssh-agent"
    ))]
    Key { path: PathBuf, reason: String },

    #[error(
        "{host} refused the login of {user:?}: tried {}; the server accepts {accepts}",
        if tried.is_empty() { "nothing".to_owned() } else { tried.join(", ") }
    )]
    #[diagnostic(help("{help}"))]
    Login { host: String, user: String, tried: Vec<String>, accepts: String, help: String },

    #[error("failed to become root on {host}: {reason}")]
    #[diagnostic(help("{help}"))]
    Become { host: String, reason: String, help: String },

    #[error("failed to start a root shell on {host}: {reason}{}", Tail(output))]
    #[diagnostic(help("the login shell must run commands: `ssh HOST /bin/sh -c true` must work"))]
    Start { host: String, reason: String, output: String },

    #[error("the script for {host} did not end within {seconds} s and was killed{}", Tail(output))]
    #[diagnostic(help("see what the machine is waiting for: a lock, a mount, a name server, a question"))]
    Timeout { host: String, seconds: u64, output: String },

    #[error("the root shell on {host} ended in the middle of a script ({reason}){}", Tail(output))]
    #[diagnostic(help(
        "the script, or the machine when it ran out of memory, killed it; a new shell is opened next"
    ))]
    ShellEnded { host: String, reason: String, output: String },

    #[error("the lock of {host} was lost with its root shell, and cannot be taken again: {reason}")]
    #[diagnostic(help(
        "a script broke the shell, or took too long; when the other run has ended, run the same command again: it goes \
         on from where it stopped"
    ))]
    Unlocked { host: String, reason: String },

    #[error("a script on {host} wrote more than {limit} bytes to its {stream}{}", Tail(output))]
    #[diagnostic(help("let the script write to a file on the host, or filter what it prints"))]
    TooMuchOutput { host: String, stream: &'static str, limit: usize, output: String },

    #[error("the {what} for {host} contains a NUL byte, which no shell can read")]
    #[diagnostic(help("send binary content as a file"))]
    Nul { host: String, what: &'static str },

    #[error("failed to read {}", path.display())]
    #[diagnostic(help("the file was to be sent to a host: it must stay readable and unchanged meanwhile"))]
    Source {
        path: PathBuf,
        #[source]
        source: io::Error,
    },

    #[error("the transfer of {path} to {host} came to a halt for {seconds} s")]
    #[diagnostic(help(
        "the network or the disk of that machine hangs; a new run sends only what is missing"
    ))]
    Stalled { host: String, path: String, seconds: u64 },

    #[error("no space for {path} on {host}: {} needed, {} free", megabytes(*needed), megabytes(*available))]
    #[diagnostic(help(
        "the file system is full: make room there (`df -h`, `journalctl --vacuum-size=200M`) or give it a larger one, \
         then run the same command again"
    ))]
    NoSpace { host: String, path: String, needed: u64, available: u64 },

    #[error("what arrived as {path} on {host} has the digest {found}, expected {expected}")]
    #[diagnostic(help("the local file is not the one that was announced: fetch it again"))]
    Digest { host: String, path: String, expected: String, found: String },

    #[error("failed to fetch {path} on {host} from {peer}: {reason}")]
    #[diagnostic(help(
        "hosts of one site fetch from each other over TCP ports 30000 to 32767, with socat; \
         `artifacts: {{from: installer}}` in the inventory does without"
    ))]
    Peer { host: String, path: String, peer: String, reason: String },

    #[error("failed to write {path} on {host}: {reason}")]
    #[diagnostic(help("check that the folder is a folder, writable by root and not mounted read-only"))]
    Write { host: String, path: String, reason: String },

    /// The reason is in the words of the host's server: OpenSSH says `Connection refused` or `No route to host` when it
    /// tried, `administratively prohibited: …` when it may not. Where packets are dropped there is `no answer within …`.
    #[error("failed to reach {to} from {host} ({reason})")]
    #[diagnostic(help("nothing listens there, or `AllowTcpForwarding no` stands in the host's sshd_config"))]
    Forward { host: String, to: String, reason: String },
}

/// A host key that is not the recorded one.
#[derive(Debug)]
pub struct Change {
    pub address: String,
    /// `ALGORITHM SHA256:…` of the key that was shown.
    pub found: String,
    /// `ALGORITHM SHA256:… (FILE:LINE)` of every key that is recorded for this host.
    pub expected: Vec<String>,
    /// The name under which the host stands in `file`.
    pub name: String,
    pub file: String,
}

impl Error {
    pub(super) fn peer(host: &str, path: &str, peer: &str, reason: String) -> Error {
        Error::Peer { host: host.to_owned(), path: path.to_owned(), peer: peer.to_owned(), reason }
    }

    /// The exit code that tells a caller what kind of failure this is.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Resolve { .. }
            | Error::Refused { .. }
            | Error::NoAnswer { .. }
            | Error::Unreachable { .. }
            | Error::Closed { .. }
            | Error::NotSsh { .. }
            | Error::Negotiation { .. }
            | Error::Forward { .. }
            | Error::Lost { .. } => Exit::Unavailable,
            Error::Jump { cause, .. } => cause.exit(),
            Error::HostKeyUnknown { .. }
            | Error::HostKeyChanged { .. }
            | Error::HostKeyRevoked { .. }
            | Error::HostCertificate { .. }
            | Error::Key { .. }
            | Error::Login { .. }
            | Error::Become { .. } => Exit::Permission,
            Error::Route { .. }
            | Error::Socket { .. }
            | Error::Namespace { .. }
            | Error::KnownHosts { .. }
            | Error::Record { .. }
            | Error::Source { .. } => Exit::Os,
            Error::Unlocked { .. } => Exit::Temporary,
            Error::Start { .. }
            | Error::Timeout { .. }
            | Error::ShellEnded { .. }
            | Error::TooMuchOutput { .. }
            | Error::Nul { .. }
            | Error::Stalled { .. }
            | Error::NoSpace { .. }
            | Error::Digest { .. }
            | Error::Peer { .. }
            | Error::Write { .. } => Exit::Failed,
        }
    }
}

/// Bytes as `df -BM` has them: what is needed rounded up is never less than that.
fn megabytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// The last lines of output, when there are any.
struct Tail<'a>(&'a str);

impl std::fmt::Display for Tail<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.trim_end() {
            "" => f.write_str("; it printed nothing"),
            text => write!(f, "; it printed last:\n{text}"),
        }
    }
}
