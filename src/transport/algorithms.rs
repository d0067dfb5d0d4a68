//! Which algorithms are asked for, and in which order.

use russh::{
    cipher,
    keys::{Algorithm, EcdsaCurve, HashAlg},
};

/// The host key algorithms in the order in which they are asked for: first those of the recorded keys, as OpenSSH
/// does, so that a server with several keys shows the one that can be compared. RSA with SHA-1 is not asked for.
pub(super) fn host_keys(recorded: &[Algorithm]) -> Vec<Algorithm> {
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
pub(super) fn ciphers() -> &'static [cipher::Name] {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_algorithms_are_asked_for_first() {
        let names = |recorded: &[Algorithm]| {
            let algorithms = host_keys(recorded);
            algorithms.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        insta::assert_snapshot!(
            [
                names(&[]),
                names(&[Algorithm::Rsa { hash: None }]),
                names(&[Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 }, Algorithm::Dsa]),
            ]
            .join("\n"),
            @r"
        ssh-ed25519 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521 rsa-sha2-512 rsa-sha2-256
        rsa-sha2-512 rsa-sha2-256 ssh-ed25519 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521
        ecdsa-sha2-nistp384 ssh-ed25519 ecdsa-sha2-nistp256 ecdsa-sha2-nistp521 rsa-sha2-512 rsa-sha2-256
        "
        );
    }
}
