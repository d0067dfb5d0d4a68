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

/// Of a PKCS #10 request in PEM.
fn parsed<T>(pem: &[u8], read: impl Fn(&X509CertificationRequest<'_>) -> Option<T>) -> Option<T> {
    let (_, pem) = parse_x509_pem(pem).ok()?;
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).ok()?;
    read(&request)
}

fn alternatives(request: &X509CertificationRequest<'_>) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(names) = extension else { continue };
        for name in &names.general_names {
            all.push(match name {
                GeneralName::DNSName(name) => (*name).to_owned(),
                GeneralName::IPAddress(bytes) => match bytes.len() {
                    4 => Ipv4Addr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string(),
                    _ => Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string(),
                },
                _ => return None,
            });
        }
    }
    Some(all)
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
