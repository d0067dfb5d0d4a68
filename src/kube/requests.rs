//! Requests for certificates that nobody has approved or denied yet.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ::kube::api::{Api as Resources, ListParams};
use k8s_openapi::{
    api::certificates::v1::CertificateSigningRequest, apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};

use x509_parser::{
    certification_request::X509CertificationRequest,
    cri_attributes::ParsedCriAttribute,
    extensions::{GeneralName, ParsedExtension},
    pem::parse_x509_pem,
    prelude::FromDer as _,
};

use super::{api::Api, error::Error};

/// A request that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub name: String,
    /// Who asks, such as `system:node:w1`.
    pub user: String,
    /// Who is to sign, such as `kubernetes.io/kubelet-serving`.
    pub signer: String,
    /// Whom the certificate shall name, such as `system:node:w1`; nothing where the request cannot be read.
    pub common_name: Option<String>,
    /// DNS names and addresses that it shall hold besides; nothing where the request cannot be read, or asks for others.
    pub alternatives: Option<Vec<String>>,
    pub age: Duration,
}

impl Pending {
    /// Reads a request; nothing if it is decided.
    fn read(request: &CertificateSigningRequest, now: Timestamp) -> Option<Pending> {
        let conditions = request.status.as_ref().and_then(|status| status.conditions.as_deref());
        if !conditions.unwrap_or_default().is_empty() {
            return None;
        }
        let age = request.metadata.creation_timestamp.as_ref().map(|Time(made)| now.duration_since(*made));
        Some(Pending {
            name: request.metadata.name.clone().unwrap_or_default(),
            user: request.spec.username.clone().unwrap_or_default(),
            signer: request.spec.signer_name.clone(),
            common_name: parsed(&request.spec.request.0, common_name),
            alternatives: parsed(&request.spec.request.0, alternatives),
            // Clocks differ: what was made in our future is new.
            age: age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default(),
        })
    }
}

/// Of a PKCS #10 request in PEM. Whoever signs reads it with another library: what two libraries could read differently is
/// not read at all.
fn parsed<T>(text: &[u8], read: impl Fn(&X509CertificationRequest<'_>) -> Option<T>) -> Option<T> {
    const BEGIN: &[u8] = b"-----BEGIN";
    if text.windows(BEGIN.len()).filter(|it| *it == BEGIN).count() != 1 {
        return None;
    }
    let (_, pem) = parse_x509_pem(text).ok()?;
    match X509CertificationRequest::from_der(&pem.contents).ok()? {
        ([], request) => read(&request),
        _ => None,
    }
}

/// Go before 1.19 takes the extensions of all attributes together, and of several lists of names the last one.
fn alternatives(request: &X509CertificationRequest<'_>) -> Option<Vec<String>> {
    let attributes = request.certification_request_info.iter_attributes();
    let mut requested = attributes.filter_map(|attribute| match attribute.parsed_attribute() {
        ParsedCriAttribute::ExtensionRequest(requested) => Some(&requested.extensions),
        _ => None,
    });
    let extensions = requested.next();
    if requested.next().is_some() {
        return None;
    }
    let mut names = None;
    for extension in extensions.into_iter().flatten() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(these) if names.is_none() => names = Some(these),
            ParsedExtension::SubjectAlternativeName(_)
            | ParsedExtension::UnsupportedExtension { .. }
            | ParsedExtension::ParseError { .. }
            | ParsedExtension::Unparsed => return None,
            _ => {}
        }
    }
    let names = names.into_iter().flat_map(|names| &names.general_names);
    names.map(alternative).collect()
}

fn alternative(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
            _ => Some(Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        },
        _ => None,
    }
}

fn common_name(request: &X509CertificationRequest<'_>) -> Option<String> {
    let mut names = request.certification_request_info.subject.iter_common_name();
    // Of two names nobody knows which one counts.
    match (names.next(), names.next()) {
        (Some(name), None) => name.as_str().ok().map(String::from),
        _ => None,
    }
}

impl Api {
    /// The requests for certificates that wait for approval, by who asks.
    pub async fn pending_requests(&self) -> Result<Vec<Pending>, Error> {
        let requests: Resources<CertificateSigningRequest> = Resources::all(self.client.clone());
        let all = ListParams::default();
        let list = self.ask("list the requests for certificates", || requests.list(&all)).await?;
        let now = Timestamp::now();
        let mut pending: Vec<_> =
            list.items.iter().filter_map(|request| Pending::read(request, now)).collect();
        pending.sort_by(|a, b| (&a.user, &a.name).cmp(&(&b.user, &b.name)));
        Ok(pending)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_names_whom_it_is_for() {
        let asked = |names: &[&str]| {
            let wanted = vec!["burst-1".to_owned(), "172.16.0.9".to_owned(), "fd00::9".to_owned()];
            let mut params = rcgen::CertificateParams::new(wanted).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            for name in names {
                params.distinguished_name.push(rcgen::DnType::CommonName, *name);
            }
            let key = rcgen::KeyPair::generate().unwrap();
            let pem = params.serialize_request(&key).unwrap().pem().unwrap();
            (parsed(pem.as_bytes(), common_name), parsed(pem.as_bytes(), alternatives).unwrap())
        };
        let (name, others) = asked(&["system:node:burst-1"]);
        assert_eq!(name.as_deref(), Some("system:node:burst-1"));
        assert_eq!(others, ["burst-1", "172.16.0.9", "fd00::9"]);
        assert_eq!(asked(&[]).0, None);
        assert_eq!(parsed(b"nothing", common_name), None);
    }

    /// A value in DER.
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], &content].concat()
    }

    const SEQUENCE: u8 = 0x30;
    const SET: u8 = 0x31;
    const OCTETS: u8 = 0x04;
    const SAN: [u8; 5] = [0x06, 3, 0x55, 0x1d, 0x11];
    /// One of a certificate's extensions that nobody knows.
    const UNKNOWN: [u8; 5] = [0x06, 3, 0x55, 0x1d, 0x7f];

    fn extension(id: [u8; 5], value: &[u8]) -> Vec<u8> {
        der(SEQUENCE, &[&id, &der(OCTETS, &[value])])
    }

    fn named(address: u8) -> Vec<u8> {
        extension(SAN, &der(SEQUENCE, &[&der(0x87, &[&[172, 16, 0, address]])]))
    }

    /// The attribute by which a request asks for extensions.
    fn asks_for(extensions: &[&[u8]]) -> Vec<u8> {
        let id = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
        der(SEQUENCE, &[&id, &der(SET, &[&der(SEQUENCE, extensions)])])
    }

    /// No library writes such requests: a node that is in the hands of somebody else could.
    fn odd(names: &[&str], attributes: &[&[u8]], behind: &[u8]) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let key = rcgen::PublicKeyData::subject_public_key_info(&key);
        let name = |name: &&str| {
            let name = der(SEQUENCE, &[&[0x06, 3, 0x55, 0x04, 0x03], &der(0x0c, &[name.as_bytes()])]);
            der(SET, &[&name])
        };
        let names: Vec<Vec<u8>> = names.iter().map(name).collect();
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let info = [&[0x02, 1, 0], &der(SEQUENCE, &names)[..], &key, &der(0xa0, attributes)];
        // Ed25519, and no signature: that is for who signs to see.
        let algorithm = der(SEQUENCE, &[&[0x06, 3, 0x2b, 0x65, 0x70]]);
        let request = der(SEQUENCE, &[&der(SEQUENCE, &info), &algorithm, &der(0x03, &[&[0, 1]])]);
        let text = data_encoding::BASE64.encode(&[&request, behind].concat());
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n")
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_read() {
        let asked = |attributes: &[&[u8]], behind: &[u8]| {
            parsed(odd(&["a"], attributes, behind).as_bytes(), alternatives)
        };
        let own = Some(vec!["172.16.0.9".to_owned()]);
        assert_eq!(asked(&[&asks_for(&[&named(9)])], &[]), own);
        assert_eq!(asked(&[], &[]), Some(vec![]));
        let broken = extension(SAN, &[1, 2, 3]);
        for (attributes, why) in [
            (vec![asks_for(&[&named(9)]), asks_for(&[&named(1)])], "two attributes"),
            (vec![asks_for(&[&named(9), &named(1)])], "two lists of names"),
            (vec![asks_for(&[&named(9), &broken])], "one that cannot be read"),
            (vec![asks_for(&[&broken])], "nothing else"),
            (vec![asks_for(&[&named(9), &extension(UNKNOWN, &[5, 0])])], "who knows what that is"),
        ] {
            let attributes: Vec<&[u8]> = attributes.iter().map(Vec::as_slice).collect();
            assert_eq!(asked(&attributes, &[]), None, "{why}");
        }
        assert_eq!(asked(&[&asks_for(&[&named(9)])], &[5, 0]), None, "something behind it");

        let (good, bad) =
            (odd(&["a"], &[&asks_for(&[&named(9)])], &[]), odd(&["a"], &[&asks_for(&[&named(1)])], &[]));
        // Go passes over the first, whose end has another name than its beginning.
        let other = good.replace("END CERTIFICATE", "END ANOTHER");
        for two in [format!("{good}{bad}"), format!("{other}{bad}")] {
            assert_eq!(parsed(two.as_bytes(), alternatives), None);
        }
    }

    #[test]
    fn of_two_names_neither_counts() {
        let name = |names: &[&str]| parsed(odd(names, &[], &[]).as_bytes(), common_name);
        assert_eq!(name(&["system:node:burst-1"]).as_deref(), Some("system:node:burst-1"));
        assert_eq!(name(&["system:node:burst-1", "system:node:cp1"]), None);
    }

    #[test]
    fn only_what_is_not_decided_waits() {
        let read = |status: serde_json::Value| {
            let request = json!({
                "metadata": {"name": "csr-a", "creationTimestamp": "2026-01-01T00:00:30Z"},
                "spec": {"request": "", "signerName": "kubernetes.io/kubelet-serving", "username": "system:node:w1"},
                "status": status});
            Pending::read(&serde_json::from_value(request).unwrap(), "2026-01-01T00:02:00Z".parse().unwrap())
        };
        let waits = read(json!({})).unwrap();
        assert_eq!((waits.name.as_str(), waits.user.as_str()), ("csr-a", "system:node:w1"));
        assert_eq!(waits.age, Duration::from_secs(90));
        for decided in ["Approved", "Denied", "Failed"] {
            assert_eq!(read(json!({"conditions": [{"type": decided, "status": "True"}]})), None);
        }
    }
}
