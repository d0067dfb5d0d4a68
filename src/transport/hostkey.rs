//! The keys by which hosts are recognised.

use std::fmt;

use russh::keys::{HashAlg, PublicKey};

use super::{Error, Target, dial::dial_target, handshake};

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

/// Asks a host for its key, of the best algorithm that both sides know, and disconnects before logging in.
///
/// # Errors
/// The network's variants of [`Error`].
pub async fn host_key(target: &Target) -> Result<HostKey, Error> {
    let socket = dial_target(target).await?;
    handshake::fetch_key(target, socket).await
}
