//! Where the workers are in AWS, beside the month's sum: in `kube-system`, which outlives the namespace of the claims.

use serde_json::{Value, json};

use super::{SYSTEM, Store, ledger::MAP, ledger::SPENT, unavailable, written};
use crate::{
    burst::{claim::LedgerError, service::Place},
    kube,
};

impl Store {
    /// Where they are; nothing before anything was made.
    ///
    /// # Errors
    /// The API server did not answer.
    pub async fn place(&self) -> Result<Option<Place>, LedgerError> {
        let found = self.api.object(MAP, Some(SYSTEM), SPENT).await;
        let Some(object) = found.map_err(|error| unavailable(&error))? else { return Ok(None) };
        let text = |key: &str| object["data"][key].as_str().map(str::to_owned);
        Ok(text("region").zip(text("stack")).map(|(region, stack)| Place { region, stack }))
    }

    /// # Errors
    /// As above.
    pub async fn keep_place(&self, place: &Place) -> Result<(), LedgerError> {
        self.keep_beside(&json!({"region": place.region, "stack": place.stack}), "where the workers are")
            .await
    }

    /// When nothing is there any more.
    ///
    /// # Errors
    /// As above.
    pub async fn forget_place(&self) -> Result<(), LedgerError> {
        let nothing = json!({"data": {"region": null, "stack": null}});
        match self.api.merge(MAP, Some(SYSTEM), SPENT, &nothing).await {
            Ok(_) | Err(kube::Error::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Writes these, and leaves what else is kept there.
    pub(super) async fn keep_beside(&self, data: &Value, what: &str) -> Result<(), LedgerError> {
        let done = match self.api.merge(MAP, Some(SYSTEM), SPENT, &json!({"data": data})).await {
            Err(kube::Error::Refused { status: 404, .. }) => {
                let labels = json!({"app.kubernetes.io/managed-by": "hoist"});
                let metadata = json!({"name": SPENT, "namespace": SYSTEM, "labels": labels});
                let made = json!({"apiVersion": MAP.api_version, "kind": MAP.kind, "metadata": metadata, "data": data});
                self.api.create(made).await
            }
            done => done,
        };
        written(what, done).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        burst::{claim::Ledger as _, offer::Money, service::Error},
        kube::{
            fake::{Fake, SERVER},
            memory::Memory,
        },
    };

    async fn store() -> Store {
        let memory = Arc::new(Mutex::new(Memory::default()));
        let fake =
            Fake::serve(SERVER, move |_, request, body| memory.lock().unwrap().answer(request, body)).await;
        Store::reader(kube::connect(fake.host(), &Fake::kubeconfig(&fake.ca)).await.unwrap())
    }

    fn place(region: &str, stack: &str) -> Place {
        Place { region: region.into(), stack: stack.into() }
    }

    #[tokio::test]
    async fn another_place_than_the_first_is_refused_until_that_is_forgotten() {
        let store = store().await;
        let first = place("eu-central-1", "hoist-burst-office");
        assert!(!first.is_kept(&store).await.unwrap());
        for _ in 0..2 {
            first.keep(&store).await.unwrap();
        }
        assert!(first.is_kept(&store).await.unwrap());
        for other in [place("eu-west-1", "hoist-burst-office"), place("eu-central-1", "hoist-burst-lab")] {
            for refused in [other.keep(&store).await, other.is_kept(&store).await.map(drop)] {
                let Err(Error::Moved(moved)) = refused else { panic!("{refused:?}") };
                assert_eq!((&moved.kept, &moved.said), (&first, &other));
                let told = moved.to_string();
                assert!(told.contains(&first.to_string()) && told.contains(&other.to_string()), "{told}");
            }
        }
        store.forget_place().await.unwrap();
        place("eu-west-1", "hoist-burst-lab").keep(&store).await.unwrap();
    }

    #[tokio::test]
    async fn it_stands_beside_the_months_sum_whichever_comes_first() {
        let (here, sum) = (place("eu-central-1", "hoist-burst-office"), ("2026-02".to_owned(), Money(7)));
        for sum_first in [false, true] {
            let store = store().await;
            if sum_first {
                store.keep_sum(&sum.0, sum.1).await.unwrap();
                assert_eq!(store.place().await.unwrap(), None);
            }
            store.keep_place(&here).await.unwrap();
            assert_eq!(store.kept_sum().await.unwrap(), sum_first.then(|| sum.clone()));
            store.keep_sum(&sum.0, sum.1).await.unwrap();
            assert_eq!(store.place().await.unwrap(), Some(here.clone()));
            store.forget_place().await.unwrap();
            assert_eq!(store.place().await.unwrap(), None);
            assert_eq!(store.kept_sum().await.unwrap(), Some(sum.clone()));
        }
        store().await.forget_place().await.unwrap();
    }
}
