//! What a node joins with: its token, and the user data that carries it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::{CLAIM, GROUP, SYSTEM, nodes::failed};
use crate::{
    burst::{
        claim::Claim,
        cloud::{TooLong, UserData},
        controller::{NodeError, token_id},
        offer::Offer,
    },
    kube::{self, Api, Kind},
};

const SECRET: Kind = Kind::new("v1", "Secret");
/// How long a token is good for: longer than a node has to join.
const TOKEN: Duration = Duration::from_secs(20 * 60);

/// What a node joins with, for whoever writes its user data.
pub struct Joining<'a> {
    pub claim: &'a Claim,
    pub number: u32,
    pub offer: &'a Offer,
    /// `ID.SECRET`
    pub token: &'a str,
}

/// Writes what cloud-init runs on a new node.
pub type Writer = Box<dyn Fn(&Joining<'_>) -> Result<UserData, Unwritten> + Send + Sync>;

/// Why a node has no user data. No value is quoted: one of them is a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum Unwritten {
    #[error(transparent)]
    #[diagnostic(transparent)]
    TooLong(#[from] TooLong),
    #[error("the {what} of the node has characters that no script takes")]
    #[diagnostic(help("lower-case letters, digits, dots and hyphens are taken"))]
    Odd { what: &'static str },
}

/// Makes the token, or gives the one that there is a new secret and a new end.
pub(super) async fn make_token(api: &Api, claim: &str) -> Result<String, NodeError> {
    let action = "make a token to join with";
    let id = token_id(claim);
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).map_err(|error| failed(action, &error))?;
    // Sixteen letters and digits, as a token's secret has.
    let secret = data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
    let expires = Timestamp::now().checked_add(TOKEN).map_err(|error| failed(action, &error))?;
    let data = json!({
        "description": format!("hoist: joins {claim}"),
        "token-id": id, "token-secret": secret, "expiration": format!("{expires:.0}"),
        "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
        "auth-extra-groups": GROUP,
    });
    let name = token_name(claim);
    let patched = api.merge(SECRET, Some(SYSTEM), &name, &json!({"stringData": data})).await;
    match patched {
        Err(kube::Error::Refused { status: 404, .. }) => {
            let metadata = json!({"name": name, "namespace": SYSTEM, "labels": {CLAIM: claim}});
            let made = json!({"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
                              "metadata": metadata, "stringData": data});
            api.create(made).await.map_err(|error| failed(action, &error))?;
        }
        done => drop(done.map_err(|error| failed(action, &error))?),
    }
    Ok(format!("{id}.{secret}"))
}

/// One that is not there is no error.
pub(super) async fn drop_token(api: &Api, claim: &str) -> Result<(), kube::Error> {
    api.delete(SECRET, Some(SYSTEM), &token_name(claim)).await.map(drop)
}

fn token_name(claim: &str) -> String {
    format!("bootstrap-token-{}", token_id(claim))
}
