//! All objects of a kind, typed, for whoever looks at the whole cluster again and again.

use std::fmt::Debug;

use ::kube::{
    Resource,
    api::{Api as Resources, ListParams},
};
use serde::de::DeserializeOwned;

use super::{api::Api, error::Error};

impl Api {
    /// All objects of a kind, in all namespaces, as the API server remembers them (`resourceVersion=0`): it asks etcd
    /// nothing, and may be behind by a moment. None when the cluster does not know the kind in this version.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses.
    pub async fn everything<K>(&self) -> Result<Vec<K>, Error>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let all: Resources<K> = Resources::all(self.client.clone());
        let which = ListParams::default().match_any();
        let action = format!("list {}", K::plural(&()));
        match self.ask(&action, || all.list(&which)).await {
            Err(Error::Refused { status: 404, .. }) => Ok(Vec::new()),
            list => Ok(list?.items),
        }
    }
}
