//! The keys by which hosts are recognised.

use std::fmt;

use russh::keys::{HashAlg, PublicKey};

use super::{
    Error, Target, Verdict,
    error::Change,
    handshake,
    known_hosts::{self, KnownHost},
    route,
};

/// The public key of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey(PublicKey);

impl HostKey {
    pub(super) fn new(key: PublicKey) -> HostKey {
        HostKey(key)
    }

    /// Reads a key as it stands in a `.pub` file.
    pub fn parse(text: &str) -> Option<HostKey> {
        PublicKey::from_openssh(text.trim()).ok().map(HostKey)
    }

    /// Such as `ssh-ed25519`.
    pub fn algorithm(&self) -> String {
        self.0.algorithm().to_string()
    }

    /// As OpenSSH prints it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.0
    }

    /// `ALGORITHM BASE64`, without a comment.
    pub(super) fn openssh(&self) -> String {
        let text = self.0.to_openssh().unwrap_or_default();
        text.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm(), self.fingerprint())
    }
}

/// A key that a host showed, and what is known about it.
#[derive(Debug, Clone)]
pub struct Shown {
    pub key: HostKey,
    pub verdict: Verdict,
}

impl Shown {
    /// Why the target must not be used with this key; nothing when it is the known one.
    pub fn objection(&self, target: &Target) -> Option<Error> {
        let (host, address, found) = (target.name.clone(), target.endpoint(), self.key.to_string());
        match &self.verdict {
            Verdict::Known => None,
            Verdict::Unknown => Some(Error::HostKeyUnknown { host, address, found }),
            Verdict::Revoked { place } => {
                Some(Error::HostKeyRevoked { host, address, found, place: place.clone() })
            }
            Verdict::Uncertified { reason } => {
                Some(Error::HostCertificate { host, address, found, reason: reason.clone() })
            }
            Verdict::Changed { expected } => {
                let (name, port) = target.recorded_as();
                let change = Change {
                    address,
                    found,
                    expected: expected.iter().map(ToString::to_string).collect(),
                    name: known_hosts::name(name, port),
                    file: expected.first().map(|key| key.file.display().to_string()).unwrap_or_default(),
                };
                Some(Error::HostKeyChanged { host, change: Box::new(change) })
            }
        }
    }
}

impl Target {
    /// Records the host's key in the first of its known_hosts files.
    ///
    /// # Errors
    /// As [`known_hosts::append`].
    pub fn record(&self, key: &HostKey) -> Result<(), Error> {
        let Some(file) = self.known_hosts.first() else { return Ok(()) };
        let (name, port) = self.recorded_as();
        known_hosts::append(file, name, port, key)
    }
}

/// Asks a host for its key and disconnects before logging in; to jump hosts on the way it logs in. The key is of the
/// algorithm that is recorded for the host, or else of the best one that both sides know.
///
/// # Errors
/// The network's variants of [`Error`], and [`Error::KnownHosts`].
pub async fn host_key(target: &Target) -> Result<Shown, Error> {
    let known = KnownHost::of(target)?;
    let stream = route::open(target).await?;
    handshake::fetch_key(target, stream, known).await
}
