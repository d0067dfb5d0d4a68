//! Certificates of host keys, see PROTOCOL.certkeys of OpenSSH.

use russh::keys::{Algorithm, Certificate, HashAlg, ssh_key::certificate::CertType};

/// Why a certificate that a trusted authority signed does not vouch for the host of this (lower-case) name at this
/// time, in seconds since 1970; nothing when it does.
///
/// Checked like OpenSSH: the signature and its algorithm, the type, the time, the host's name among the principals,
/// and that nothing critical is asked which we do not know; a host certificate knows no critical options.
pub(super) fn objection(certificate: &Certificate, host: &str, now: u64) -> Option<String> {
    // SHA-1 is no longer safe for this: OpenSSH's CASignatureAlgorithms leaves these two out.
    if matches!(certificate.signature().algorithm(), Algorithm::Rsa { hash: None } | Algorithm::Dsa) {
        return Some("its signature uses SHA-1".into());
    }
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    let (from, until) = (certificate.valid_after(), certificate.valid_before());
    if now < from {
        return Some(format!("it is not valid before {}", moment(from)));
    }
    if now >= until {
        return Some(format!("it expired at {}", moment(until)));
    }
    // The signature; the authority and the time once more.
    if certificate.validate_at(now, [&authority]).is_err() {
        return Some("its signature is wrong".into());
    }
    if certificate.cert_type() != CertType::Host {
        return Some("it is a user's certificate, not a host's".into());
    }
    let principals = certificate.valid_principals();
    // Without principals it is valid for every host: so the protocol says.
    if !principals.is_empty() && !principals.iter().any(|principal| principal.to_lowercase() == host) {
        return Some(format!("it is valid for {}, not for {host}", principals.join(", ")));
    }
    let option = certificate.critical_options().keys().next()?;
    Some(format!("it has the critical option {option:?}, which is not known"))
}

/// The moment in UTC.
fn moment(seconds: u64) -> String {
    let moment = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    moment.map_or_else(|| format!("second {seconds}"), |moment| moment.to_string())
}
