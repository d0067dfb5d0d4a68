//! A logged-in connection, and the channels that are opened on it.

use std::{future::Future, sync::Arc, time::Duration};

use russh::{
    Channel,
    client::{Handle, Msg},
};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::timeout,
};

use super::{
    Error, Target,
    auth::Login,
    credentials::Credentials,
    handshake::{Client, Notes, Refusal, Secured, explain, handshake},
    route,
};

/// A logged-in connection to a host or a jump host.
pub(super) struct Link {
    pub(super) target: Target,
    wire: Arc<Wire>,
    notes: Notes,
}

struct Wire {
    handle: Handle<Client>,
    refusals: Mutex<mpsc::Receiver<Refusal>>,
}

impl Link {
    /// Connects, verifies the server's key and logs in.
    pub(super) async fn open(target: &Target) -> Result<Link, Error> {
        loop {
            let credentials = Credentials::gather(target).await?;
            let stream = route::open(target).await?;
            let Secured { mut handle, notes, refusals } = handshake(target, stream).await?;
            match credentials.login(target, &mut handle, &notes).await? {
                Login::Done => {
                    let wire = Arc::new(Wire { handle, refusals: Mutex::new(refusals) });
                    return Ok(Link { target: target.clone(), wire, notes });
                }
                Login::Wants(question) => {
                    // People take longer than servers wait. Whatever comes of it is found out at the next login.
                    drop(handle);
                    let _ = question.ask().await;
                }
            }
        }
    }

    /// A channel for a command.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) async fn session(&self) -> Result<Channel<Msg>, String> {
        let wire = self.wire.clone();
        self.channel(async move { wire.handle.channel_open_session().await }).await
    }

    /// A TCP connection from the host to a port that it can reach.
    ///
    /// # Errors
    /// Why there is none, in the words of the server if it says any.
    pub(super) async fn tcp(&self, address: &str, port: u16) -> Result<Channel<Msg>, String> {
        let (wire, address) = (self.wire.clone(), address.to_owned());
        self.channel(async move {
            wire.handle.channel_open_direct_tcpip(address, port.into(), "127.0.0.1", 0).await
        })
        .await
    }

    /// Waits for a channel. Goes on in the background when nobody waits any more: a channel that is opened late must
    /// be closed, and a refusal be taken.
    async fn channel(
        &self,
        opening: impl Future<Output = Result<Channel<Msg>, russh::Error>> + Send + 'static,
    ) -> Result<Channel<Msg>, String> {
        let (sender, receiver) = oneshot::channel();
        let wire = self.wire.clone();
        tokio::spawn(async move {
            let outcome = match opening.await {
                Err(russh::Error::ChannelOpenFailure(code)) => {
                    let refusal = wire.refusals.lock().await.recv().await;
                    Err(refusal.map_or_else(|| format!("{code:?}"), |refusal| refusal.reason))
                }
                outcome => outcome.map_err(|error| explain(&error)),
            };
            if let Err(Ok(late)) = sender.send(outcome) {
                // Fails only when the connection is gone, and the channel with it.
                let _ = late.close().await;
            }
        });
        match timeout(self.target.connect_timeout, receiver).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err("the connection has ended".into()),
            Err(_) => Err(format!("no answer within {}", seconds(self.target.connect_timeout))),
        }
    }

    /// Why the connection is gone, when it is.
    pub(super) fn lost(&self) -> Option<String> {
        self.wire.handle.is_closed().then(|| self.notes.end())
    }

    /// The error for a connection that is gone.
    pub(super) fn gone(&self) -> Option<Error> {
        self.lost().map(|reason| Error::Lost { host: self.target.name.clone(), reason })
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}
