//! Where machines and the gateway tell each other their keys: machines as annotations of their own nodes, which the API server
//! lets nobody else's kubelet write; the gateway in a ConfigMap that nodes may read.

use std::{collections::BTreeMap, net::SocketAddrV4};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{NAMESPACE, Store, gateway::GATEWAY, ledger::SECRET, unavailable};
use crate::{
    burst::{
        claim::LedgerError,
        gateway::{Known, Machine, Meeting, PrivateKey},
    },
    kube::{self, Kind},
};

const NODE: Kind = Kind::new("v1", "Node");
const MAP: Kind = Kind::new("v1", "ConfigMap");
/// On a node: the key by which its machine dials the gateway. The role `tunnel` writes it.
pub const TUNNEL_KEY: &str = "hoist.dev/tunnel-key";
/// On a node: whether the gateway answers its machine, `yes` or `no`. Likewise.
pub const TUNNEL_ANSWERED: &str = "hoist.dev/tunnel-answered";
/// The Secret of the gateway's own key.
const KEY: &str = "gateway-key";

#[async_trait]
impl Meeting for Store {
    async fn machines(&self) -> Result<BTreeMap<String, Machine>, LedgerError> {
        let nodes = self.api.objects(NODE, None, "").await.map_err(|error| unavailable(&error))?;
        let machine = |node: &Value| {
            let name = node["metadata"]["name"].as_str()?;
            let annotations = &node["metadata"]["annotations"];
            // One that is not understood is none: its machine writes it again.
            let key = annotations[TUNNEL_KEY].as_str()?.parse().ok()?;
            // What a machine that is away said last says nothing.
            let said = annotations[TUNNEL_ANSWERED].as_str().filter(|_| is_ready(node));
            Some((name.to_owned(), Machine { key, is_answered: said.map(|said| said == "yes") }))
        };
        Ok(nodes.iter().filter_map(machine).collect())
    }

    async fn own_key(&self) -> Result<PrivateKey, LedgerError> {
        if let Some(key) = self.kept_key().await? {
            return Ok(key);
        }
        let made = PrivateKey::generate()
            .map_err(|error| LedgerError::Unavailable { reason: format!("no key could be made: {error}") })?;
        let object = json!({
            "apiVersion": SECRET.api_version, "kind": SECRET.kind, "type": "hoist.dev/gateway-key",
            "metadata": metadata(KEY), "data": {"key": STANDARD.encode(made.expose())},
        });
        match self.api.create(object).await {
            Ok(_) => Ok(made),
            // Somebody was faster, or the answer to the first try was lost.
            Err(kube::Error::Refused { status: 409, .. }) => {
                let lost = || LedgerError::Conflict { what: "the gateway's key".to_owned() };
                self.kept_key().await?.ok_or_else(lost)
            }
            Err(error) => Err(unavailable(&error)),
        }
    }

    async fn known(&self) -> Result<Known, LedgerError> {
        let map =
            self.api.object(MAP, Some(NAMESPACE), GATEWAY).await.map_err(|error| unavailable(&error))?;
        let Some(map) = map else { return Ok(Known::default()) };
        let data = |key: &str| map["data"][key].as_str().unwrap_or_default();
        // What somebody has spoiled is written anew.
        Ok(Known {
            endpoint: data("endpoint").parse().ok(),
            key: data("key").parse().ok(),
            machines: serde_json::from_str(data("machines")).unwrap_or_default(),
        })
    }

    async fn tell(&self, known: &Known) -> Result<(), LedgerError> {
        let data = json!({
            "endpoint": known.endpoint.as_ref().map(SocketAddrV4::to_string),
            "key": known.key,
            // A map of plain values, which always becomes JSON.
            "machines": serde_json::to_string(&known.machines).unwrap_or_default(),
        });
        let patched = self.api.merge(MAP, Some(NAMESPACE), GATEWAY, &json!({"data": data})).await;
        let done = match patched {
            Err(kube::Error::Refused { status: 404, .. }) => {
                let map = json!({"apiVersion": MAP.api_version, "kind": MAP.kind, "metadata": metadata(GATEWAY), "data": data});
                self.api.create(map).await
            }
            done => done,
        };
        done.map(drop).map_err(|error| unavailable(&error))
    }

    async fn forget(&self) -> Result<(), LedgerError> {
        // Machines first: they take their tunnels down.
        for (kind, name) in [(MAP, GATEWAY), (SECRET, GATEWAY), (SECRET, KEY)] {
            self.api.delete(kind, Some(NAMESPACE), name).await.map_err(|error| unavailable(&error))?;
        }
        Ok(())
    }
}

impl Store {
    async fn kept_key(&self) -> Result<Option<PrivateKey>, LedgerError> {
        let found =
            self.api.object(SECRET, Some(NAMESPACE), KEY).await.map_err(|error| unavailable(&error))?;
        let Some(object) = found else { return Ok(None) };
        let text = object["data"]["key"].as_str().and_then(|text| STANDARD.decode(text).ok());
        let key = text.and_then(|text| String::from_utf8(text).ok()).and_then(|text| text.parse().ok());
        key.map(Some).ok_or_else(|| LedgerError::Unreadable {
            what: format!("Secret {NAMESPACE}/{KEY}"),
            reason: "its key `key` is no key of WireGuard; without the Secret a new one is made".to_owned(),
        })
    }
}

fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True")
}

fn metadata(name: &str) -> Value {
    json!({"name": name, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/managed-by": "hoist"}})
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::kube::{
        fake::{Fake, SERVER},
        memory::Memory,
    };

    async fn store() -> (Store, Arc<Mutex<Memory>>) {
        let memory = Arc::new(Mutex::new(Memory::default()));
        let kept = memory.clone();
        let fake =
            Fake::serve(SERVER, move |_, request, body| kept.lock().unwrap().answer(request, body)).await;
        let api = kube::connect(fake.host(), &Fake::kubeconfig(&fake.ca)).await.unwrap();
        (Store::open(api).await.unwrap(), memory)
    }

    #[tokio::test]
    async fn machines_tell_their_keys_and_whether_they_are_answered_on_their_nodes() {
        let (store, memory) = store().await;
        let key = PrivateKey::generate().unwrap().public();
        let node = |name: &str, ready: &str, annotations: Value| {
            let metadata = json!({"name": name, "annotations": annotations});
            let conditions = [
                json!({"type": "DiskPressure", "status": "True"}),
                json!({"type": "Ready", "status": ready}),
            ];
            let status = json!({"conditions": conditions});
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status});
            memory.lock().unwrap().objects.put(node);
        };
        let text = key.to_string();
        node("cp1", "True", json!({TUNNEL_KEY: text}));
        node("cp2", "True", json!({TUNNEL_KEY: text, TUNNEL_ANSWERED: "yes"}));
        node("cp3", "True", json!({TUNNEL_KEY: text, TUNNEL_ANSWERED: "no"}));
        // What they said may be long ago.
        node("cp4", "Unknown", json!({TUNNEL_KEY: text, TUNNEL_ANSWERED: "yes"}));
        node("cp5", "False", json!({TUNNEL_KEY: text, TUNNEL_ANSWERED: "no"}));
        node("w1", "True", json!({TUNNEL_KEY: "no key", TUNNEL_ANSWERED: "yes"}));
        node("w2", "True", Value::Null);
        let machine = |name: &str, is_answered| (name.to_owned(), Machine { key: key.clone(), is_answered });
        let expected = [
            machine("cp1", None),
            machine("cp2", Some(true)),
            machine("cp3", Some(false)),
            machine("cp4", None),
            machine("cp5", None),
        ];
        assert_eq!(store.machines().await.unwrap(), expected.into());
    }

    #[tokio::test]
    async fn the_gateways_own_key_is_made_once_and_nobody_else_reads_it() {
        let (store, memory) = store().await;
        let key = store.own_key().await.unwrap();
        assert_eq!(store.own_key().await.unwrap().public(), key.public());
        let maps = memory.lock().unwrap().objects.of("ConfigMap").len();
        assert_eq!(maps, 0, "it is in a Secret alone");
        memory.lock().unwrap().objects.find_mut("Secret", KEY).unwrap()["data"]["key"] =
            json!("bm8gcml2YWN5");
        let error = store.own_key().await.unwrap_err().to_string();
        assert!(error.contains("Secret hoist-burst/gateway-key") && !error.contains("bm8g"), "{error}");
    }

    #[tokio::test]
    async fn what_machines_are_told_is_kept_until_it_is_forgotten() {
        let (store, memory) = store().await;
        assert_eq!(store.known().await.unwrap(), Known::default());
        let key = store.own_key().await.unwrap().public();
        let mut known = Known {
            endpoint: "203.0.113.7:51820".parse().ok(),
            key: Some(key.clone()),
            machines: [("cp1".to_owned(), key)].into(),
        };
        for machine in ["w1", "w2"] {
            known.machines.insert(machine.to_owned(), PrivateKey::generate().unwrap().public());
            store.tell(&known).await.unwrap();
            assert_eq!(store.known().await.unwrap(), known);
        }
        for _ in 0..2 {
            store.forget().await.unwrap();
        }
        assert_eq!(store.known().await.unwrap(), Known::default());
        let left = memory.lock().unwrap().objects.of("Secret").len();
        assert_eq!(left, 0);
    }
}
