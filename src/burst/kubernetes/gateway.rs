//! What is known of the gateway, as a Secret: the request in it holds the gateway's private key.

use async_trait::async_trait;

use super::{
    NAMESPACE, Store,
    ledger::{SECRET, read, secret},
    unavailable, version, written,
};
use crate::burst::{
    claim::{LedgerError, Version},
    gateway::{Record, Records},
};

/// The name of its Secret, and of the ConfigMap for machines.
pub(super) const GATEWAY: &str = "gateway";

#[async_trait]
impl Records for Store {
    async fn gateway(&self) -> Result<(Record, Option<Version>), LedgerError> {
        let found = self.api.object(SECRET, Some(NAMESPACE), GATEWAY).await;
        match found.map_err(|error| unavailable(&error))? {
            Some(object) => Ok((read(&object, "the gateway")?, Some(version(&object)?))),
            None => Ok((Record::default(), None)),
        }
    }

    async fn keep_gateway(&self, record: &Record, version: Option<&Version>) -> Result<Version, LedgerError> {
        let object = secret(GATEWAY, GATEWAY, record, version);
        let done = match version {
            Some(_) => self.api.replace(object).await,
            None => self.api.create(object).await,
        };
        written("the gateway", done)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::kube::{
        self,
        fake::{Fake, SERVER},
        memory::Memory,
    };

    #[tokio::test]
    async fn the_record_is_kept_and_the_slower_of_two_is_refused() {
        let memory = Arc::new(Mutex::new(Memory::default()));
        let fake =
            Fake::serve(SERVER, move |_, request, body| memory.lock().unwrap().answer(request, body)).await;
        let api = kube::connect(fake.host(), &Fake::kubeconfig(&fake.ca)).await.unwrap();
        let store = Store::open(api).await.unwrap();
        assert_eq!(store.gateway().await.unwrap(), (Record::default(), None));
        let record = Record { attempt: 3, ..Record::default() };
        let first = store.keep_gateway(&record, None).await.unwrap();
        assert_eq!(store.gateway().await.unwrap(), (record.clone(), Some(first.clone())));
        store.keep_gateway(&Record { attempt: 4, ..record.clone() }, Some(&first)).await.unwrap();
        for version in [None, Some(&first)] {
            let late = store.keep_gateway(&record, version).await;
            assert!(matches!(late, Err(LedgerError::Conflict { .. })), "{late:?}");
        }
    }
}
