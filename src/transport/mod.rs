//! The only room that touches hosts.
//!
//! A [`Host`] is one connection with one root shell. Scripts are POSIX sh; nothing but sh and coreutils is
//! assumed on the other side, and nothing is left behind there.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncWrite};

/// A script for the root shell of a host.
#[derive(Debug, Clone)]
pub struct Script {
    /// POSIX sh, run in a subshell of its own: `cd`, `exit`, `set` and variables do not outlive it.
    /// Seen by nobody but that shell: it is in no argument list and in no file.
    pub text: String,
    /// What the script reads from its standard input; nothing when absent. The way for secrets.
    pub stdin: Option<SecretString>,
    /// How long it may take before the host is given up.
    pub timeout: Duration,
}

/// What a script left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status, 0 to 255.
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// A local file on its way to a host.
#[derive(Debug, Clone)]
pub struct Transfer {
    pub source: PathBuf,
    pub destination: String,
    /// Lower-case hex SHA-256 of the content; the file is put in place only when what arrived has it.
    pub sha256: String,
    /// Permission bits of the finished file, such as 0o755. The owner is root.
    pub mode: u32,
}

/// A byte stream to a port that the host can reach.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where a forwarded connection goes, as seen from the host.
pub type Destination = SocketAddr;

/// A host with an open root shell.
///
/// Scripts on one host run one after another; calls may come from several tasks.
#[async_trait]
pub trait Host: Send + Sync {
    /// The name the inventory gives it.
    fn name(&self) -> &str;

    /// Runs a script as root. A status other than 0 is an answer, not an error.
    async fn run(&self, script: Script) -> Result<Output, Error>;

    /// Streams a file there, checks its digest, then renames it into place: a reader on the host sees the
    /// old file or the whole new one. `progress` is told of the bytes sent so far.
    async fn send(&self, transfer: &Transfer, progress: &(dyn Fn(u64) + Sync)) -> Result<(), Error>;

    /// Opens a TCP connection from the host to `to` (SSH direct-tcpip).
    async fn forward(&self, to: Destination) -> Result<Box<dyn Stream>, Error>;
}

/// Why a host could not be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error("the connection to {host} was lost")]
    #[diagnostic(help("run the same command again: it goes on from where it stopped"))]
    Lost { host: String },
}

impl Error {
    pub fn exit(&self) -> crate::exit::Exit {
        crate::exit::Exit::Unavailable
    }
}
