//! The lease, as all controllers of Kubernetes keep theirs.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{NAMESPACE, Store, unavailable, version, written};
use crate::{
    burst::{
        claim::{LedgerError, Version},
        controller::{Candidate, LeaseStore, Record},
        time::Time,
    },
    kube::{self, Kind},
};

const LEASE: Kind = Kind::new("coordination.k8s.io/v1", "Lease");
const NAME: &str = "hoist-burst";

#[async_trait]
impl LeaseStore for Store {
    async fn read(&self) -> Result<Option<(Record, Version)>, LedgerError> {
        let found = self.api.object(LEASE, Some(NAMESPACE), NAME).await;
        let Some(object) = found.map_err(|error| unavailable(&error))? else { return Ok(None) };
        let version = version(&object)?;
        Ok(Some((record(&object), version)))
    }

    async fn write(&self, record: &Record, version: Option<&Version>) -> Result<(), LedgerError> {
        let object = object(record, version);
        let done = match version {
            Some(_) => self.api.replace(object).await,
            None => match self.api.create(object.clone()).await {
                // Somebody has deleted the namespace, claims and all: made anew, so that collection ends what they stood for.
                Err(kube::Error::Refused { status: 404, .. }) => {
                    Store::open(self.api.clone()).await?;
                    self.api.create(object).await
                }
                done => done,
            },
        };
        written("the lease", done).map(drop)
    }
}

/// A lease that somebody else has filled in is judged by its holder alone: whether it changes is what counts.
fn record(object: &Value) -> Record {
    let spec = &object["spec"];
    let holder = spec["holderIdentity"].as_str().filter(|holder| !holder.is_empty()).map(str::to_owned);
    let renewed = spec["renewTime"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    let renewed = renewed.and_then(|time| u64::try_from(time.as_millisecond()).ok()).map_or(Time(0), Time);
    let transitions = spec["leaseTransitions"].as_u64().and_then(|number| u32::try_from(number).ok());
    Record { holder, renewed, transitions: transitions.unwrap_or_default() }
}

fn object(record: &Record, version: Option<&Version>) -> Value {
    let mut metadata = json!({"name": NAME, "namespace": NAMESPACE});
    if let Some(version) = version {
        metadata["resourceVersion"] = json!(version);
    }
    json!({
        "apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata,
        "spec": {
            "holderIdentity": record.holder.as_deref().unwrap_or_default(),
            "leaseDurationSeconds": Candidate::DURATION.as_secs(),
            "renewTime": micro_time(record.renewed),
            "leaseTransitions": record.transitions,
        },
    })
}

/// Kubernetes' MicroTime: always six digits behind the point.
fn micro_time(time: Time) -> String {
    let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
    format!("{:.6}", Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_written_as_kubernetes_has_it_and_read_back() {
        let ours = Record { holder: Some("a".into()), renewed: Time(1_767_323_045_678), transitions: 3 };
        let object = object(&ours, Some(&"7".to_owned()));
        assert_eq!(object["spec"]["renewTime"], "2026-01-02T03:04:05.678000Z");
        assert_eq!(object["metadata"]["resourceVersion"], "7");
        assert_eq!(record(&object), ours);
        let free = Record { holder: None, ..ours };
        assert_eq!(record(&super::object(&free, None)), free);
    }

    #[test]
    fn a_lease_of_others_is_read_as_far_as_it_goes() {
        let theirs = json!({"spec": {"holderIdentity": "b", "renewTime": "soon"}});
        assert_eq!(record(&theirs), Record { holder: Some("b".into()), renewed: Time(0), transitions: 0 });
    }
}
