//! From a TCP connection to an encrypted one with a server that is the right one.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use russh::{
    Preferred, cipher,
    client::{self, DisconnectReason, Handle},
    compression,
    keys::{Algorithm, EcdsaCurve, HashAlg, PublicKeyOrCertificate},
};
use tokio::{net::TcpStream, time::timeout};

use super::{
    Error, HostKey, Target, Verdict,
    known_hosts::{self, KnownHosts},
};

/// Bytes that a host may send before it has to wait for us. Most of what comes is small answers; the large things
/// go the other way, where the server's window counts.
const WINDOW: u32 = 2 << 20;

/// Our end of a connection, as russh calls it.
pub(super) struct Client {
    /// What to accept; nothing when only the key is wanted.
    known: Option<KnownHosts>,
    address: String,
    port: u16,
    notes: Notes,
}

/// What was learnt on the way, for errors.
#[derive(Clone, Default)]
pub(super) struct Notes(Arc<Mutex<Learnt>>);

#[derive(Default)]
struct Learnt {
    key: Option<HostKey>,
    verdict: Option<Verdict>,
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
        let key = HostKey::new(shown.public_key());
        let verdict = self.known.as_ref().map(|known| known.verdict(&self.address, self.port, key.public()));
        let known = verdict == Some(Verdict::Known);
        self.notes.with(|learnt| {
            learnt.key = Some(key);
            learnt.verdict = verdict;
        });
        Ok(known)
    }

    async fn disconnected(&mut self, reason: DisconnectReason<russh::Error>) -> Result<(), russh::Error> {
        let (text, result) = match reason {
            DisconnectReason::ReceivedDisconnect(info) => (info.message, Ok(())),
            DisconnectReason::Error(error) => (explain(&error), Err(error)),
        };
        self.notes.with(|learnt| learnt.end = Some(text));
        result
    }
}

/// Agrees on keys and ciphers with the server, and checks that it is the one that is known.
pub(super) async fn handshake(target: &Target, socket: TcpStream) -> Result<(Handle<Client>, Notes), Error> {
    let known = KnownHosts::load(&target.known_hosts)?;
    let config = config(target, &known.algorithms(&target.address, target.port));
    let notes = Notes::default();
    let handle = exchange_keys(target, socket, config, Some(known), &notes).await?;
    Ok((handle, notes))
}

/// Learns the server's key and leaves.
pub(super) async fn fetch_key(target: &Target, socket: TcpStream) -> Result<HostKey, Error> {
    let notes = Notes::default();
    let outcome = exchange_keys(target, socket, config(target, &[]), None, &notes).await;
    match (notes.with(|learnt| learnt.key.take()), outcome) {
        (Some(key), _) => Ok(key),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(closed(target, "before it showed its key", "it has none".into())),
    }
}

async fn exchange_keys(
    target: &Target,
    socket: TcpStream,
    config: client::Config,
    known: Option<KnownHosts>,
    notes: &Notes,
) -> Result<Handle<Client>, Error> {
    let client = Client { known, address: target.address.clone(), port: target.port, notes: notes.clone() };
    let connecting = client::connect_stream(Arc::new(config), socket, client);
    match timeout(target.connect_timeout, connecting).await {
        Ok(Ok(handle)) => Ok(handle),
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
    let (host, address) = (target.name.clone(), target.endpoint());
    let (key, verdict) = notes.with(|learnt| (learnt.key.clone(), learnt.verdict.take()));
    let found = key.map(|key| key.to_string()).unwrap_or_default();
    match (verdict, error) {
        (Some(Verdict::Unknown), _) => Error::HostKeyUnknown { host, address, found },
        (Some(Verdict::Revoked { place }), _) => Error::HostKeyRevoked { host, address, found, place },
        (Some(Verdict::Changed { expected }), _) => Error::HostKeyChanged {
            host,
            address,
            found,
            name: known_hosts::name(&target.address, target.port),
            file: expected.first().map(|key| key.file.display().to_string()).unwrap_or_default(),
            expected: expected.iter().map(ToString::to_string).collect(),
        },
        (_, russh::Error::Version) => Error::NotSsh { host, address },
        (_, russh::Error::NoCommonAlgo { kind, theirs, .. }) => {
            Error::Negotiation { host, reason: format!("{kind:?}, it knows only {}", theirs.join(", ")) }
        }
        (_, error) => closed(target, "during the key exchange", explain(error)),
    }
}

impl std::fmt::Display for known_hosts::Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({}:{})", self.algorithm, self.fingerprint, self.file.display(), self.line)
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

fn config(target: &Target, recorded: &[Algorithm]) -> client::Config {
    client::Config {
        window_size: WINDOW,
        keepalive_interval: Some(target.keepalive.max(Duration::from_secs(1))),
        keepalive_max: 3,
        nodelay: true,
        preferred: Preferred {
            key: Cow::Owned(host_key_algorithms(recorded)),
            cipher: Cow::Borrowed(ciphers()),
            // Artifacts are compressed already, and on a local network compressing costs more than it saves.
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::default()
        },
        ..client::Config::default()
    }
}

/// The host key algorithms in the order in which they are asked for: first those of the recorded keys, as OpenSSH
/// does, so that a server with several keys shows the one that can be compared. RSA with SHA-1 is not asked for.
fn host_key_algorithms(recorded: &[Algorithm]) -> Vec<Algorithm> {
    let mut algorithms = vec![
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ];
    let known = |algorithm: &Algorithm| {
        let rsa = |algorithm: &Algorithm| matches!(algorithm, Algorithm::Rsa { .. });
        recorded.iter().any(|key| key == algorithm || (rsa(key) && rsa(algorithm)))
    };
    algorithms.sort_by_key(|algorithm| !known(algorithm));
    algorithms
}

/// AES-GCM first where the processor computes it; ChaCha20 is faster where it does not.
fn ciphers() -> &'static [cipher::Name] {
    const WITH_AES: &[cipher::Name] = &[
        cipher::AES_128_GCM,
        cipher::AES_256_GCM,
        cipher::CHACHA20_POLY1305,
        cipher::AES_256_CTR,
        cipher::AES_128_CTR,
    ];
    const WITHOUT_AES: &[cipher::Name] = &[
        cipher::CHACHA20_POLY1305,
        cipher::AES_128_GCM,
        cipher::AES_256_GCM,
        cipher::AES_256_CTR,
        cipher::AES_128_CTR,
    ];
    if has_aes() { WITH_AES } else { WITHOUT_AES }
}

#[cfg(target_arch = "x86_64")]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}
