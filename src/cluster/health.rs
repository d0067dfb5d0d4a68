//! Each control plane and each member of etcd, asked one by one: what stands behind one address may be half gone.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use futures::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{Session, kubeconfig};
use crate::{
    inventory::{Host, Inventory, Role},
    kube::{self, Api, Patience},
    transport,
};

/// How long each may take: one that is slower than this is not well.
const PATIENCE: Patience = Patience { request: Duration::from_secs(5), total: Duration::from_secs(5) };

/// Where etcd answers without TLS, and only on its own host: https://etcd.io/docs/v3.5/op-guide/monitoring/
const ETCD_HEALTH: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2381);

/// How one of them is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub host: String,
    /// The version that an API server says it is, such as `v1.20.2`; empty for etcd, which does not say.
    pub version: String,
    /// Why it is not well; nothing when it is.
    pub trouble: Option<String>,
}

/// Every control plane's own API server, in the order of the inventory, and a way to the first one that is ready.
pub async fn control_planes(inventory: &Inventory, session: &Session) -> (Vec<Health>, Option<Api>) {
    let asked = inventory.with_role(Role::ControlPlane).map(|(name, host)| async move {
        match control_plane(inventory, session, name, host).await {
            Ok((api, version)) => (health(name, Ok(version)), Some(api)),
            Err(trouble) => (health(name, Err(trouble)), None),
        }
    });
    let (all, ways): (Vec<Health>, Vec<Option<Api>>) = join_all(asked).await.into_iter().unzip();
    (all, ways.into_iter().flatten().next())
}

async fn control_plane(
    inventory: &Inventory,
    session: &Session,
    name: &str,
    host: &Host,
) -> Result<(Api, String), String> {
    let way = session.hosts.get(name).ok_or("no answer over SSH")?;
    if session.facts.get(name).is_some_and(|facts| !facts.kubernetes.control_plane) {
        return Err("it is no control plane yet".to_string());
    }
    let text = kubeconfig::fetch(&**way).await.map_err(|error| error.to_string())?;
    let server = format!("https://{}:{}", host.address, inventory.api_port());
    let text = kubeconfig::at(&text, &server).map_err(|error| error.to_string())?;
    let asked = async {
        let api = kube::connect(way.clone(), secrecy::ExposeSecret::expose_secret(&text)).await?;
        let api = api.with_patience(PATIENCE);
        api.wait_until_serving(Duration::ZERO).await?;
        let version = api.version().await?;
        Ok::<_, kube::Error>((api.with_patience(Patience::default()), format!("v{version}")))
    };
    asked.await.map_err(|error| error.to_string())
}

/// Every member of etcd, in the order of the inventory. One is well that can write, which takes most of the others.
pub async fn etcd(inventory: &Inventory, session: &Session) -> Vec<Health> {
    let asked = inventory.with_role(inventory.etcd_role()).map(|(name, _)| async move {
        let Some(way) = session.hosts.get(name) else {
            return health(name, Err("no answer over SSH".to_string()));
        };
        let answer = timeout(PATIENCE.total, member(&**way)).await;
        health(name, answer.unwrap_or_else(|_| Err("no answer from etcd".to_string())))
    });
    join_all(asked).await
}

async fn member(way: &dyn transport::Host) -> Result<String, String> {
    let broken = |error: std::io::Error| error.to_string();
    let mut stream = way.forward(ETCD_HEALTH).await.map_err(|error| error.to_string())?;
    // HTTP/1.0: the answer ends with the connection and has no chunks.
    stream.write_all(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n").await.map_err(broken)?;
    let mut answer = String::new();
    stream.take(1 << 16).read_to_string(&mut answer).await.map_err(broken)?;
    judge(&answer).map(|()| String::new())
}

/// `{"health":"true"}`, and since 3.5 a reason when it is not.
fn judge(answer: &str) -> Result<(), String> {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let said: serde_json::Value =
        serde_json::from_str(body).map_err(|_| "it does not answer as etcd does".to_string())?;
    if said["health"] == "true" {
        return Ok(());
    }
    let reason = said["reason"].as_str().filter(|reason| !reason.is_empty());
    Err(reason.unwrap_or("it says that it is not well").to_string())
}

fn health(host: &str, answer: Result<String, String>) -> Health {
    let (version, trouble) = match answer {
        Ok(version) => (version, None),
        Err(trouble) => (String::new(), Some(trouble)),
    };
    Health { host: host.to_string(), version, trouble }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcd_says_how_it_is() {
        for (body, expected) in [
            (r#"{"health":"true"}"#, Ok(())),
            (r#"{"health":"true","reason":""}"#, Ok(())),
            (r#"{"health":"false"}"#, Err("it says that it is not well")),
            (r#"{"health":"false","reason":"RAFT NO LEADER"}"#, Err("RAFT NO LEADER")),
            ("<html>", Err("it does not answer as etcd does")),
        ] {
            let answer = format!("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{body}");
            assert_eq!(judge(&answer), expected.map_err(str::to_string), "{body}");
        }
        assert!(judge("").is_err());
    }
}
