//! The only room that touches hosts.
//!
//! A [`Host`] is one connection with one root shell. Scripts are POSIX sh; nothing but sh and coreutils is
//! assumed on the other side, and nothing is left behind there.
//!
//! [`connect`] opens one over SSH, [`Local`] is the same protocol on a shell of this machine.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::PathBuf,
    time::Duration,
};

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncWrite};

mod algorithms;
mod ask;
mod auth;
mod channel;
mod credentials;
mod crowd;
mod dial;
mod dialogue;
mod error;
mod frame;
mod handshake;
mod hop;
mod hostkey;
pub mod known_hosts;
mod link;
mod local;
mod resolve;
mod root;
mod route;
mod send;
mod shell;
mod signer;
mod ssh;
mod ssh_config;
mod sudo;
mod target;
mod tunnel;

pub use crowd::in_order;
pub use dial::dial;
pub use dialogue::Dialogue;
pub use error::{Change, Error};
pub use frame::quote;
pub use hostkey::{HostKey, Shown, host_key};
pub use known_hosts::Verdict;
pub use local::Local;
pub use resolve::{Resolver, Settings};
pub use route::dial_from;
pub use shell::WITH_PROXIES;
pub use ssh::connect;
pub use ssh_config::ConfigFile;
pub use target::{Agent, Become, Route, Target, default_known_hosts};

/// A script for the root shell of a host.
#[derive(Debug, Clone)]
pub struct Script {
    /// POSIX sh, run in a subshell of its own: `cd`, `exit`, `set` and variables do not outlive it.
    /// Seen by nobody but that shell: it is in no argument list and in no file.
    /// What it leaves running in the background must not keep its output streams.
    pub text: String,
    /// What the script reads from its standard input; nothing when absent. The way for secrets.
    pub stdin: Option<SecretString>,
    /// How long it may take. Then everything it started is killed, but for what made a session of its own.
    pub timeout: Duration,
}

impl Script {
    /// A script without input that may take a minute.
    pub fn new(text: impl Into<String>) -> Script {
        Script { text: text.into(), stdin: None, timeout: Duration::from_secs(60) }
    }

    /// With something to read on its standard input.
    pub fn stdin(self, stdin: SecretString) -> Script {
        Script { stdin: Some(stdin), ..self }
    }

    /// With another time limit.
    pub fn timeout(self, timeout: Duration) -> Script {
        Script { timeout, ..self }
    }
}

/// What a script left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status, 0 to 255; 128 + N when signal N ended it.
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Output {
    /// What a script printed that always ends with `exit 0`. Half an answer must not look like a host on which there is nothing.
    ///
    /// # Errors
    /// [`Error::ShellEnded`] of this `host`, when it ended otherwise.
    pub fn whole(self, host: &str, script: &str) -> Result<String, Error> {
        if self.status != 0 {
            let reason = format!("{script} ended with status {}", self.status);
            let output = String::from_utf8_lossy(&self.stderr).into_owned();
            return Err(Error::ShellEnded { host: host.to_string(), reason, output });
        }
        Ok(String::from_utf8_lossy(&self.stdout).into_owned())
    }
}

/// A local file on its way to a host.
#[derive(Debug, Clone)]
pub struct Transfer {
    pub source: PathBuf,
    /// Absolute path on the host; missing folders are made, with mode 0755.
    pub destination: String,
    /// Lower-case hex SHA-256 of the content; the file is put in place only when what arrived has it.
    pub sha256: String,
    /// Permission bits of the finished file, such as 0o755. The owner is root.
    pub mode: u32,
    /// A folder where the file will take up so many times its size besides: it does not begin to come where there is
    /// no room for that.
    pub beside: Option<(String, u64)>,
}

/// A neighbour that waits for one connection, over which it sends a file.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The name the inventory gives it.
    pub name: String,
    pub address: SocketAddrV4,
    /// The address of the host that fetches: nobody else is let in.
    pub own: Ipv4Addr,
}

/// A byte stream to a port that the host can reach.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where a forwarded connection goes, as seen from the host.
pub type Destination = SocketAddr;

/// A host with an open root shell.
///
/// Scripts on one host run one after another; calls may come from several tasks. A call that is dropped before it
/// ends kills its script.
#[async_trait]
pub trait Host: Send + Sync {
    /// The name the inventory gives it.
    fn name(&self) -> &str;

    /// The way from this machine to its SSH server.
    fn route(&self) -> Route {
        Route::Direct
    }

    /// How many scripts it ran and files it took so far: each costs a round trip at least.
    fn exchanges(&self) -> usize {
        0
    }

    /// Runs a script as root. A status other than 0 is an answer, not an error.
    async fn run(&self, script: Script) -> Result<Output, Error>;

    /// Names the script that takes again what a lock needs which ends with the root shell. That is replaced when a
    /// script breaks it or takes too long; each new one runs this first. Where it fails nothing is run on the host any
    /// more: every call gives [`Error::Unlocked`].
    async fn relock(&self, _script: String) {}

    /// Streams a file there, checks its digest, then renames it into place: a reader on the host sees the
    /// old file or the whole new one. `progress` is told of the bytes that need not be sent any more: those sent,
    /// and those that were there already. A transfer that was cut off goes on where it stopped.
    async fn send(&self, transfer: &Transfer, progress: &(dyn Fn(u64) + Sync)) -> Result<(), Error>;

    /// The same, but the host fetches the file from a neighbour. Needs socat there.
    ///
    /// # Errors
    /// [`Error::Peer`] when the neighbour or the way to it is at fault; [`Host::send`] then goes on with what has come.
    async fn fetch(&self, transfer: &Transfer, peer: &Peer) -> Result<(), Error> {
        let reason = "this kind of host fetches nothing".to_owned();
        Err(Error::peer(self.name(), &transfer.destination, &peer.name, reason))
    }

    /// Starts a script in a root shell of its own, beside the one of [`Host::run`], that answers lines with lines.
    async fn dialogue(&self, _script: &str) -> Result<Dialogue, Error> {
        let reason = "this kind of host has one shell only".to_owned();
        Err(Error::Start { host: self.name().to_owned(), reason, output: String::new() })
    }

    /// Opens a TCP connection from the host to `to` (SSH direct-tcpip). Its reader must keep reading: what is not
    /// read holds up everything else on the same host.
    async fn forward(&self, to: Destination) -> Result<Box<dyn Stream>, Error>;
}
