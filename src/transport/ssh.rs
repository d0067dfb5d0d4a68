//! A host over SSH.

use std::sync::Arc;

use async_trait::async_trait;
use russh::client::Handle;
use tokio::time::timeout;

use super::{
    Become, Destination, Error, Host, Output, Script, Stream, Target, Transfer,
    auth::Credentials,
    channel,
    dial::dial_target,
    frame::Nonce,
    handshake::{Client, Notes, explain, handshake},
    root::{Opener, RootShell},
    send,
    shell::{Failure, LIMIT, Shell},
    sudo,
};

/// Connects to a host, verifies its key, logs in and opens a root shell. Tries once; to wait for a host that is
/// still starting is the caller's.
///
/// # Errors
/// Any variant of [`Error`] up to [`Error::Start`].
pub async fn connect(target: &Target) -> Result<Arc<dyn Host>, Error> {
    let credentials = Credentials::gather(target).await?;
    let socket = dial_target(target).await?;
    let (mut handle, notes) = handshake(target, socket).await?;
    credentials.login(target, &mut handle, &notes).await?;
    let root = RootShell::open(Connection { target: target.clone(), handle, notes }).await?;
    Ok(Arc::new(Ssh { root }))
}

struct Ssh {
    root: RootShell<Connection>,
}

#[async_trait]
impl Host for Ssh {
    fn name(&self) -> &str {
        self.root.opener().host()
    }

    async fn run(&self, script: Script) -> Result<Output, Error> {
        self.root.run(&script).await
    }

    async fn send(&self, transfer: &Transfer, progress: &(dyn Fn(u64) + Sync)) -> Result<(), Error> {
        send::send(&self.root, transfer, progress).await
    }

    async fn forward(&self, to: Destination) -> Result<Box<dyn Stream>, Error> {
        self.root.opener().forward(to).await
    }
}

/// A logged-in connection.
struct Connection {
    target: Target,
    handle: Handle<Client>,
    notes: Notes,
}

impl Connection {
    async fn forward(&self, to: Destination) -> Result<Box<dyn Stream>, Error> {
        let failed =
            |reason: String| Error::Forward { host: self.target.name.clone(), to: to.to_string(), reason };
        let opening =
            self.handle.channel_open_direct_tcpip(to.ip().to_string(), to.port().into(), "127.0.0.1", 0);
        match timeout(self.target.connect_timeout, opening).await {
            Ok(Ok(channel)) => Ok(Box::new(channel.into_stream())),
            Ok(Err(error)) => Err(self.gone().unwrap_or_else(|| match error {
                russh::Error::ChannelOpenFailure(reason) => failed(format!("{reason:?}")),
                other => failed(explain(&other)),
            })),
            Err(_) => Err(failed("it does not answer".into())),
        }
    }

    /// The error for a connection that has ended.
    fn gone(&self) -> Option<Error> {
        self.lost().map(|reason| Error::Lost { host: self.target.name.clone(), reason })
    }
}

#[async_trait]
impl Opener for Connection {
    fn host(&self) -> &str {
        &self.target.name
    }

    async fn open(&self) -> Result<Shell, Error> {
        let Target { name, r#become, connect_timeout: patience, .. } = &self.target;
        let failed = |reason: String, output: &str| {
            self.gone().unwrap_or_else(|| sudo::explain(name, &reason, output))
        };
        let nonce = Nonce::new().map_err(|error| failed(error.to_string(), ""))?;
        let opening = async {
            let channel = self.handle.channel_open_session().await?;
            channel::exec(channel, &sudo::command(r#become, &nonce)).await
        };
        let mut pipes = match timeout(*patience, opening).await {
            Ok(Ok(pipes)) => pipes,
            Ok(Err(error)) => return Err(failed(explain(&error), "")),
            Err(_) => return Err(failed("the server opens no session".into(), "")),
        };
        if let Become::Sudo { password: Some(password) } = r#become {
            let asked = sudo::authenticate(name, &mut pipes, &nonce, password, *patience).await;
            asked.map_err(|error| self.gone().unwrap_or(error))?;
        }
        let shell = Shell::start(pipes, LIMIT, *patience).await.map_err(|failure| match failure {
            Failure::Ended { reason, tail } => failed(reason, &tail),
            Failure::Timeout { tail } => failed("it does not answer".into(), &tail),
            other => failed(format!("{other:?}"), ""),
        })?;
        if shell.uid != 0 {
            return Err(Error::Become {
                host: name.clone(),
                reason: format!("{:?} is not root", self.target.user),
                help: "log in as root, or say `become: sudo` in the inventory".into(),
            });
        }
        Ok(shell)
    }

    fn lost(&self) -> Option<String> {
        self.handle.is_closed().then(|| self.notes.end())
    }
}
