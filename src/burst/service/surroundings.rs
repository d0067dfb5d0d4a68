//! Puts together what one controller needs.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};
use x509_parser::{parse_x509_certificate, pem::parse_x509_pem};

use super::{Beside, Connection, Error};
use crate::{
    burst::{
        cloud::Cloud,
        controller::{Clock, Controller, Settings, Surroundings},
        demand::Cluster,
        gateway::{Around, Checks, Keeper, Plan, Records},
        kubernetes::{Boards, Store, Workers, Writer},
    },
    kube::{Api, Kind},
};

/// What differs from place to place, and comes from others.
pub struct Parts {
    pub api: Api,
    pub cloud: Arc<dyn Cloud>,
    pub clock: Arc<dyn Clock>,
    /// What a new node runs.
    pub writer: Writer,
    pub settings: Settings,
    /// This process' own.
    pub identity: String,
    /// What this process keeps it with, or ends one that is not wanted any more.
    pub gateway: Option<Gateway>,
    /// Whether there shall be a gateway, whoever keeps it.
    pub has_gateway: bool,
    /// Nothing is made: for who changes nothing.
    pub only_looks: bool,
}

/// What the gateway is kept with.
pub struct Gateway {
    pub plan: Plan,
    pub checks: Arc<dyn Checks>,
    /// For how long machines must have told nothing new.
    pub settled: Duration,
}

/// A controller and what it reads, over one way to the API server. Makes the namespace of claims where there is none, unless
/// it only looks.
///
/// # Errors
/// The API server does not answer, or refuses.
pub async fn surroundings(parts: Parts) -> Result<Connection, Error> {
    let Parts { api, cloud, clock, writer, settings, identity, gateway, has_gateway, only_looks } = parts;
    let store = Arc::new(match only_looks {
        true => Store::reader(api.clone()),
        false => Store::open(api.clone()).await?,
    });
    let keeper = gateway.map(|Gateway { plan, checks, settled }| {
        let (cloud, records, meeting, clock) = (cloud.clone(), store.clone(), store.clone(), clock.clone());
        Beside::new(Keeper::new(Around { cloud, checks, records, meeting, clock }, plan, settled))
    });
    let written = has_gateway.then(|| -> Arc<dyn Records> { store.clone() });
    let around = Surroundings {
        cloud,
        ledger: store.clone(),
        lease: store,
        nodes: Arc::new(Workers::new(api.clone(), writer)),
        clock,
    };
    Ok(Connection {
        keeper,
        written,
        controller: Controller::new(around, settings, identity),
        look: Box::new(Cluster::new(api.clone())),
        board: Box::new(Boards::new(api)),
    })
}

/// Whom a cluster is: the uid of its namespace `kube-system`, which lasts as long as the cluster.
///
/// # Errors
/// The API server does not answer, or knows no such namespace.
pub async fn uid(api: &Api) -> Result<String, Error> {
    let namespace = api.object(Kind::new("v1", "Namespace"), None, "kube-system").await?;
    let uid = namespace.and_then(|it| it["metadata"]["uid"].as_str().map(str::to_owned));
    uid.ok_or_else(|| Error::Away { reason: String::from("its namespace kube-system has no uid") })
}

/// What a new node knows the cluster by: the digest of the public key of its authority, as `kubeadm join` takes it
/// (`--discovery-token-ca-cert-hash`). It is that of the ConfigMap which kubeadm compares it with.
///
/// # Errors
/// The API server does not answer, or there is no such ConfigMap.
pub async fn authority(api: &Api) -> Result<String, Error> {
    let map = api.object(Kind::new("v1", "ConfigMap"), Some("kube-public"), "cluster-info").await?;
    let text = map.as_ref().and_then(|map| map["data"]["kubeconfig"].as_str()).unwrap_or_default();
    hash_of(text).ok_or_else(|| Error::Away {
        reason: String::from(
            "the ConfigMap cluster-info in kube-public, by which new nodes know the cluster, has no certificate: \
             `kubeadm init phase bootstrap-token` makes it",
        ),
    })
}

fn hash_of(kubeconfig: &str) -> Option<String> {
    let tree: serde_json::Value = serde_yaml::from_str(kubeconfig).ok()?;
    let data = tree["clusters"][0]["cluster"]["certificate-authority-data"].as_str()?;
    let (_, pem) = parse_x509_pem(&STANDARD.decode(data).ok()?).ok()?;
    let (_, certificate) = parse_x509_certificate(&pem.contents).ok()?;
    let digest = Sha256::digest(certificate.public_key().raw);
    Some(format!("sha256:{}", data_encoding::HEXLOWER.encode(&digest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with `openssl x509 -pubkey | openssl pkey -pubin -outform der | sha256sum`, as kubeadm's documentation has
    /// it.
    #[test]
    fn the_hash_is_that_of_kubeadms_documentation() {
        let certificate = rcgen::generate_simple_self_signed(["kubernetes".to_owned()]).unwrap();
        let data = STANDARD.encode(certificate.cert.pem());
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- cluster: {{certificate-authority-data: {data}}}\n  name: ''\n"
        );
        let digest = Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&certificate.signing_key));
        let expected = format!("sha256:{}", data_encoding::HEXLOWER.encode(&digest));
        assert_eq!(hash_of(&text), Some(expected));
        assert_eq!(hash_of("clusters: []"), None);
        assert_eq!(hash_of("{"), None);
    }
}
