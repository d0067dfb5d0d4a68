//! Requests for certificates that nobody has approved or denied yet.

use std::time::Duration;

use ::kube::api::{Api as Resources, ListParams};
use k8s_openapi::{
    api::certificates::v1::CertificateSigningRequest, apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
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
            // Clocks differ: what was made in our future is new.
            age: age.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default(),
        })
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
