//! From a TCP connection to an encrypted one with a server that is the right one.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use russh::{
    ChannelId, ChannelOpenFailure, Preferred,
    client::{self, DisconnectReason, Handle, Session},
    compression,
    keys::PublicKeyOrCertificate,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{Error, HostKey, Stream, Target, Verdict, algorithms, hostkey::Shown, known_hosts::KnownHost};

/// Bytes that a host may send before it has to wait for us. Most of what comes is small answers; the large things
/// go the other way, where the server's window counts.
const WINDOW: u32 = 2 << 20;

/// Our end of a connection, as russh calls it.
pub(super) struct Client {
    /// Only until the server has shown its key.
    known: Option<KnownHost>,
    /// Leaves as soon as the key is known.
    only_key: bool,
    notes: Notes,
    refusals: mpsc::Sender<Refusal>,
}

/// Why the server did not open a channel, in its own words.
pub(super) struct Refusal {
    pub(super) reason: String,
    /// Dropped when it has been taken.
    _taken: oneshot::Sender<()>,
}

/// An encrypted connection to the right server, before the login.
pub(super) struct Secured {
    pub(super) handle: Handle<Client>,
    pub(super) notes: Notes,
    /// One for each channel that is not opened; must be taken by whoever asked for the channel.
    pub(super) refusals: mpsc::Receiver<Refusal>,
}

/// What was learnt on the way, for errors.
#[derive(Clone, Default)]
pub(super) struct Notes(Arc<Mutex<Learnt>>);

#[derive(Default)]
struct Learnt {
    shown: Option<Shown>,
    /// Why the connection ended.
    end: Option<String>,
}

impl Notes {
    fn with<T>(&self, what: impl FnOnce(&mut Learnt) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why the connection ended.
    pub(super) fn end(&self) -> String {
        self.with(|learnt| learnt.end.clone()).unwrap_or_else(|| "it ended without a reason".into())
    }
}

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let Some(known) = self.known.take() else { return Ok(false) };
        let (key, verdict) = (HostKey::new(shown.public_key()), known.verdict(shown));
        let right = verdict == Verdict::Known && !self.only_key;
        self.notes.with(|learnt| learnt.shown = Some(Shown { key, verdict }));
        Ok(right)
    }

    /// russh tells the one who asked for the channel only a code. The words follow here; nothing else is read from
    /// the server until they are taken, so they cannot be taken for those of another channel.
    async fn channel_open_failure(
        &mut self,
        _: ChannelId,
        code: ChannelOpenFailure,
        words: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        let reason = refusal(&code, &printable(words));
        let (taken, wait) = oneshot::channel();
        if self.refusals.send(Refusal { reason, _taken: taken }).await.is_ok() {
            // An error is what is waited for: the other end is gone.
            let _ = wait.await;
        }
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<russh::Error>) -> Result<(), russh::Error> {
        let (text, result) = match reason {
            DisconnectReason::ReceivedDisconnect(info) => (printable(&info.message), Ok(())),
            DisconnectReason::Error(error) => (explain(&error), Err(error)),
        };
        self.notes.with(|learnt| learnt.end = Some(text));
        result
    }
}

/// Agrees on keys and ciphers with the server, and checks that it is the one that is known.
pub(super) async fn handshake(target: &Target, stream: Box<dyn Stream>) -> Result<Secured, Error> {
    let known = KnownHost::of(target)?;
    exchange_keys(target, stream, known, false, &Notes::default()).await
}

/// Learns the server's key and leaves.
pub(super) async fn fetch_key(
    target: &Target,
    stream: Box<dyn Stream>,
    known: KnownHost,
) -> Result<Shown, Error> {
    let notes = Notes::default();
    let outcome = exchange_keys(target, stream, known, true, &notes).await;
    match (notes.with(|learnt| learnt.shown.take()), outcome) {
        (Some(shown), _) => Ok(shown),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(closed(target, "before it showed its key", "it has none".into())),
    }
}

async fn exchange_keys(
    target: &Target,
    stream: Box<dyn Stream>,
    known: KnownHost,
    only_key: bool,
    notes: &Notes,
) -> Result<Secured, Error> {
    let config = config(target, &known);
    let (sender, refusals) = mpsc::channel(1);
    let client = Client { known: Some(known), only_key, notes: notes.clone(), refusals: sender };
    let connecting = client::connect_stream(Arc::new(config), stream, client);
    match timeout(target.connect_timeout, connecting).await {
        Ok(Ok(handle)) => Ok(Secured { handle, notes: notes.clone(), refusals }),
        Ok(Err(error)) => Err(refused(target, notes, &error)),
        Err(_) => Err(Error::NoAnswer {
            host: target.name.clone(),
            address: format!("the SSH server on {}", target.endpoint()),
            seconds: target.connect_timeout.as_secs(),
        }),
    }
}

/// Why there is no encrypted connection.
fn refused(target: &Target, notes: &Notes, error: &russh::Error) -> Error {
    if let Some(objection) = notes.with(|learnt| learnt.shown.as_ref()?.objection(target)) {
        return objection;
    }
    let (host, address) = (target.name.clone(), target.endpoint());
    match error {
        russh::Error::Version => Error::NotSsh { host, address },
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            Error::Negotiation { host, reason: format!("{kind:?}, it knows only {}", theirs.join(", ")) }
        }
        error => closed(target, "during the key exchange", explain(error)),
    }
}

/// The error for a server that went away.
pub(super) fn closed(target: &Target, stage: &'static str, reason: String) -> Error {
    Error::Closed { host: target.name.clone(), address: target.endpoint(), stage, reason }
}

/// The end of a connection in words.
pub(super) fn explain(error: &russh::Error) -> String {
    match error {
        russh::Error::Disconnect | russh::Error::HUP => "the other side closed it".into(),
        russh::Error::KeepaliveTimeout => "it did not answer any more".into(),
        russh::Error::IO(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the other side closed it".into()
        }
        russh::Error::IO(error) => error.to_string(),
        other => other.to_string().to_lowercase(),
    }
}

/// OpenSSH says "Connection refused" when it tried to connect; when it did not try, only the code says something.
fn refusal(code: &ChannelOpenFailure, words: &str) -> String {
    let code = match code {
        ChannelOpenFailure::ConnectFailed if !words.is_empty() => return words.to_owned(),
        ChannelOpenFailure::ConnectFailed => "connect failed",
        ChannelOpenFailure::AdministrativelyProhibited => "administratively prohibited",
        ChannelOpenFailure::ResourceShortage => "resource shortage",
        ChannelOpenFailure::UnknownChannelType => "unknown channel type",
        ChannelOpenFailure::Other { .. } => "refused",
    };
    if words.is_empty() { code.into() } else { format!("{code}: {words}") }
}

/// What a server says, without what could move the cursor of a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn config(target: &Target, known: &KnownHost) -> client::Config {
    let keys = algorithms::host_keys(&known.algorithms());
    // A certificate is asked for only where an authority is recorded that could have signed it.
    let certificates = if known.has_authority() { keys.clone() } else { Vec::new() };
    client::Config {
        window_size: WINDOW,
        keepalive_interval: Some(target.keepalive.max(Duration::from_secs(1))),
        keepalive_max: 3,
        nodelay: true,
        preferred: Preferred {
            key: Cow::Owned(keys),
            host_key_certificates: Cow::Owned(certificates),
            cipher: Cow::Borrowed(algorithms::ciphers()),
            // Artifacts are compressed already, and on a local network compressing costs more than it saves.
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::default()
        },
        ..client::Config::default()
    }
}
