//! Keys of WireGuard: Curve25519, in base64.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use curve25519_dalek::MontgomeryPoint;
use secrecy::{ExposeSecret as _, SecretBox};
use serde::{Deserialize, Serialize};

/// Never printed.
#[derive(Debug)]
pub struct PrivateKey(SecretBox<[u8; 32]>);

/// What others may know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(String);

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("this is no key of WireGuard")]
#[diagnostic(help("one is 32 bytes in base64, as `wg pubkey` prints it"))]
pub struct NoKey;

impl PrivateKey {
    /// # Errors
    /// The operating system has no random numbers.
    pub fn generate() -> Result<PrivateKey, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(PrivateKey(SecretBox::new(Box::new(bytes))))
    }

    /// For whoever keeps it, or sends it where it is used.
    pub fn expose(&self) -> String {
        STANDARD.encode(self.0.expose_secret())
    }

    pub fn public(&self) -> PublicKey {
        // Clamped as RFC 7748 has it, which `wg genkey` does beforehand.
        let point = MontgomeryPoint::mul_base_clamped(*self.0.expose_secret());
        PublicKey(STANDARD.encode(point.as_bytes()))
    }
}

fn bytes(text: &str) -> Result<[u8; 32], NoKey> {
    let bytes = STANDARD.decode(text.trim()).map_err(|_| NoKey)?;
    bytes.try_into().map_err(|_| NoKey)
}

impl FromStr for PrivateKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<PrivateKey, NoKey> {
        Ok(PrivateKey(SecretBox::new(Box::new(bytes(text)?))))
    }
}

impl FromStr for PublicKey {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<PublicKey, NoKey> {
        Ok(PublicKey(STANDARD.encode(bytes(text)?)))
    }
}

impl TryFrom<String> for PublicKey {
    type Error = NoKey;

    fn try_from(text: String) -> Result<PublicKey, NoKey> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        key.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of RFC 7748, section 6.1.
    #[test]
    fn a_public_key_is_that_of_the_standard() {
        let key = |text: &str| STANDARD.encode(data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap());
        for (private, public) in [
            (
                "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
                "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            ),
            (
                "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
                "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
            ),
        ] {
            let private: PrivateKey = key(private).parse().unwrap();
            assert_eq!(private.public().to_string(), key(public));
        }
    }

    #[test]
    fn keys_are_read_back_and_private_ones_never_printed() {
        let key = PrivateKey::generate().unwrap();
        let again: PrivateKey = key.expose().parse().unwrap();
        assert_eq!(again.public(), key.public());
        assert_ne!(PrivateKey::generate().unwrap().public(), key.public());
        assert!(!format!("{key:?}").contains(&key.expose()));
        assert_eq!("abc".parse::<PublicKey>(), Err(NoKey));
        assert!(serde_json::from_str::<PublicKey>("\"YWJj\"").is_err());
    }
}
