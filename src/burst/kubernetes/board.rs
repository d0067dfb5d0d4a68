//! What persons want and what the controller has done, as ConfigMaps beside the claims.

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{NAMESPACE, unavailable, version, written};
use crate::{
    burst::{
        claim::{LedgerError, Version},
        demand::Wish,
        service::{Board, Status},
    },
    kube::{self, Api, Kind},
};

const MAP: Kind = Kind::new("v1", "ConfigMap");
const WISH: &str = "wish";
const STATUS: &str = "status";

/// The board of a cluster.
pub struct Boards {
    api: Api,
}

impl Boards {
    pub fn new(api: Api) -> Boards {
        Boards { api }
    }

    /// What persons want, and its version for [`Boards::change`].
    ///
    /// # Errors
    /// The API server did not answer, or what is there is not understood.
    pub async fn wished(&self) -> Result<(Wish, Option<Version>), LedgerError> {
        let Some(object) = self.read(WISH).await? else { return Ok((Wish::default(), None)) };
        Ok((understood(&object, WISH)?, Some(version(&object)?)))
    }

    /// Writes what persons want, in place of that version.
    ///
    /// # Errors
    /// [`LedgerError::Conflict`] if somebody was faster, or the namespace is not there.
    pub async fn change(&self, wish: &Wish, version: Option<&Version>) -> Result<(), LedgerError> {
        let mut object = map(WISH, wish);
        let done = match version {
            Some(version) => {
                object["metadata"]["resourceVersion"] = json!(version);
                self.api.replace(object).await
            }
            None => self.api.create(object).await,
        };
        written("the list of wanted workers", done).map(drop)
    }

    /// What the controller has shown last; nothing before its first turn.
    ///
    /// # Errors
    /// As [`Boards::wished`].
    pub async fn shown(&self) -> Result<Option<Status>, LedgerError> {
        let object = self.read(STATUS).await?;
        object.map(|object| understood(&object, STATUS)).transpose()
    }

    async fn read(&self, name: &str) -> Result<Option<Value>, LedgerError> {
        self.api.object(MAP, Some(NAMESPACE), name).await.map_err(|error| unavailable(&error))
    }
}

#[async_trait]
impl Board for Boards {
    async fn wish(&self) -> Result<Wish, LedgerError> {
        Ok(self.wished().await?.0)
    }

    async fn show(&self, status: &Status) -> Result<(), LedgerError> {
        let object = map(STATUS, status);
        match self.api.merge(MAP, Some(NAMESPACE), STATUS, &json!({"data": object["data"]})).await {
            Err(kube::Error::Refused { status: 404, .. }) => {
                written("the status", self.api.create(object).await).map(drop)
            }
            done => written("the status", done).map(drop),
        }
    }
}

fn map<T: Serialize>(name: &str, value: &T) -> Value {
    // Lists and maps of plain values always become JSON.
    let text = serde_json::to_string(value).unwrap_or_default();
    json!({
        "apiVersion": MAP.api_version, "kind": MAP.kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/managed-by": "hoist"}},
        "data": {"json": text},
    })
}

fn understood<T: DeserializeOwned>(object: &Value, name: &str) -> Result<T, LedgerError> {
    let text = object["data"]["json"].as_str().unwrap_or_default();
    serde_json::from_str(text).map_err(|error| LedgerError::Unreadable {
        what: format!("ConfigMap {NAMESPACE}/{name}"),
        reason: error.to_string(),
    })
}
