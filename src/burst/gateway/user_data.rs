//! What the gateway's instance runs when it boots first.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Serialize;

use super::keys::{PrivateKey, PublicKey};
use crate::{
    burst::{
        cloud::{TooLong, UserData},
        network::{Network, WIREGUARD},
    },
    engine::{self, Context, Library, Templates},
    inventory::MTU_BETWEEN_SITES,
};

/// A machine that dials the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Peer {
    pub name: String,
    /// In its own network. It needs no other: that is what workers reach it by.
    pub address: Ipv4Addr,
    pub key: PublicKey,
}

/// Who meets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Site {
    pub cluster: String,
    /// The networks of the workers.
    pub workers: Vec<Ipv4Net>,
    /// By name.
    pub peers: Vec<Peer>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Template(#[from] engine::Error),
    #[error("{machines} machines are too many for one gateway: {cause}")]
    #[diagnostic(help("about a hundred fit into what EC2 takes"))]
    TooMany { machines: usize, cause: TooLong },
}

impl Site {
    pub fn new(network: &Network, mut peers: Vec<Peer>) -> Site {
        peers.sort_by(|one, other| one.name.cmp(&other.name));
        Site {
            cluster: network.cluster.clone(),
            workers: network.zones.iter().map(|zone| zone.workers).collect(),
            peers,
        }
    }
}

/// The script for cloud-init. The same site and key give the same bytes.
///
/// # Errors
/// [`Error`].
pub fn user_data(library: &Library, site: &Site, key: &PrivateKey) -> Result<UserData, Error> {
    let mut context = Context::default();
    context.set("site", site);
    context.set("private_key", key.expose());
    context.set("wireguard", WIREGUARD);
    context.set("mtu", MTU_BETWEEN_SITES);
    let text = Templates::new(library.clone()).file("burst/gateway.sh", &context)?;
    UserData::new(text.into_bytes()).map_err(|cause| Error::TooMany { machines: site.peers.len(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;

    const KEY: &str = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";

    fn site(machines: u8) -> Site {
        let text = include_str!("../../../inventory/burst.yaml");
        let inventory = inventory::parse("burst.yaml", text).unwrap().inventory;
        let key: PublicKey = KEY.parse().unwrap();
        let peer = |number: u8| Peer {
            name: format!("w{number}"),
            address: [192, 168, 18, number].into(),
            key: key.clone(),
        };
        Site::new(&Network::of(&inventory).unwrap(), (1..=machines).rev().map(peer).collect())
    }

    #[test]
    fn the_script_is_the_golden_one() {
        let data = user_data(&Library::default(), &site(2), &KEY.parse().unwrap()).unwrap();
        assert!(!format!("{data:?}").contains(KEY));
        insta::assert_snapshot!(std::str::from_utf8(data.expose()).unwrap());
    }

    #[test]
    fn a_shell_takes_it_and_a_hundred_machines_fit() {
        let data = user_data(&Library::default(), &site(100), &KEY.parse().unwrap()).unwrap();
        let mut shell = std::process::Command::new("sh");
        let status = shell.args(["-n", "-c", std::str::from_utf8(data.expose()).unwrap()]).status().unwrap();
        assert!(status.success());
        let error = user_data(&Library::default(), &site(255), &KEY.parse().unwrap()).unwrap_err();
        assert!(error.to_string().starts_with("255 machines are too many"), "{error}");
    }
}
