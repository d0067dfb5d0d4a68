//! Asking a control plane.

use std::{net::Ipv4Addr, time::Duration};

use crate::{
    inventory::Inventory,
    transport::{self, Error, Script, quote},
};

/// Three questions of the kernel's, and some seconds of VRRP beside them.
const TIMEOUT: Duration = Duration::from_secs(40);

/// What a control plane answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub host: String,
    pub(super) owner: Option<Owner>,
    /// Why it could not tell.
    pub(super) unasked: Option<String>,
    /// Whether hoist's keepalived runs there.
    pub(super) keeps: bool,
    /// The control planes whose VRRP packets arrived; `None` where nobody listened.
    pub(super) hears: Option<Vec<String>>,
}

/// Who has the virtual address, as one control plane sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    Nobody,
    Itself,
    /// In lower case.
    Mac(String),
}

/// Asks a control plane who has the address and whom it hears. `names` are all that are asked at the same time.
///
/// # Errors
/// When the host is lost, or the script does not end.
pub async fn ask(
    inventory: &Inventory,
    host: &dyn transport::Host,
    vip: Ipv4Addr,
    names: &[&str],
) -> Result<Answer, Error> {
    run(inventory, host, vip, names, "").await
}

/// The same, and whoever has the address is given a second to answer.
///
/// # Errors
/// As above.
pub async fn ask_quickly(
    inventory: &Inventory,
    host: &dyn transport::Host,
    vip: Ipv4Addr,
    names: &[&str],
) -> Result<Answer, Error> {
    run(inventory, host, vip, names, "yes").await
}

async fn run(
    inventory: &Inventory,
    host: &dyn transport::Host,
    vip: Ipv4Addr,
    names: &[&str],
    quick: &str,
) -> Result<Answer, Error> {
    let own = names.iter().position(|name| *name == host.name()).unwrap_or_default();
    let others =
        names.iter().filter(|name| **name != host.name()).filter_map(|name| inventory.hosts.get(*name));
    let peers: Vec<String> = others.map(|peer| peer.address.to_string()).collect();
    // Somebody else's examination at the same time is none of ours.
    let token = std::process::id();
    let text = format!(
        "vip={vip} self={own} token={token} quick={quick} peers={}\n{}",
        quote(&peers.join(" ")),
        include_str!("ask.sh")
    );
    let output = host.run(Script::new(text).timeout(TIMEOUT)).await?;
    Ok(Answer::parse(
        host.name(),
        names,
        &output.whole(host.name(), "the examination of the virtual address")?,
    ))
}

impl Answer {
    /// Reads the answer of the script. Lines it does not know are passed over.
    pub(super) fn parse(host: &str, names: &[&str], answer: &str) -> Answer {
        let mut parsed = Answer { host: host.to_owned(), ..Answer::default() };
        for (key, value) in answer.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "owner" => {
                    parsed.owner = Some(match value {
                        "nobody" => Owner::Nobody,
                        "self" => Owner::Itself,
                        mac => Owner::Mac(mac.to_lowercase()),
                    });
                }
                "unasked" => parsed.unasked = Some(value.to_owned()),
                "keeps" => parsed.keeps = true,
                "listens" => _ = parsed.hears.get_or_insert_default(),
                "hears" => {
                    let name = value.parse().ok().and_then(|index: usize| names.get(index));
                    parsed.hears.get_or_insert_default().extend(name.map(|name| (*name).to_owned()));
                }
                _ => {}
            }
        }
        parsed
    }
}
