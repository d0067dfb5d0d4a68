//! MetalLB. That its pools overlap nothing else is looked at with the networks.

use std::{collections::BTreeSet, net::Ipv4Addr};

use miette::Severity;

use super::asked;
use crate::{
    inventory::{Inventory, Metallb, Pool, Protocol},
    yaml::{Document, Problem, Span},
};

/// Machines on one wire share at least so many bits of their addresses, but for unusual networks.
const USUAL: u32 = 16;

pub(super) fn verify(document: &Document<Inventory>, problems: &mut Vec<Problem>) {
    let Some(metallb) = &document.value.addons.metallb else { return };
    if metallb.ranges().next().is_none() && document.is_whole(&["addons", "metallb"]) {
        problems.push(
            Problem::new(asked(document, "metallb"), "MetalLB has no addresses to give")
                .label("no pool")
                .help("name some that nothing else uses: `pools: [192.168.18.230-192.168.18.239]`"),
        );
    }
    if !metallb.pools.is_empty() && metallb.named_pools.contains_key("default") {
        problems.push(
            Problem::new(at(document, &["named_pools", "default"]), "two pools have the name `default`")
                .label("one of them")
                .also(at(document, &["pools"]), "the other, which has no name of its own")
                .help("give it another name, or move its addresses to `pools`"),
        );
    }
    bgp(document, metallb, problems);
    let known = ["address", "roles"].iter().all(|key| document.is_whole(&["hosts", "*", key]));
    for (_, path, range, protocol) in metallb.ranges() {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let span = at(document, &path);
        if metallb.avoid_buggy_ips && addresses(range).all(buggy) {
            problems.push(
                Problem::new(span, format!("no address of {range} would be given to anybody"))
                    .label("each ends in 0 or 255")
                    .help("choose others, or set `avoid_buggy_ips: false`"),
            );
        }
        if protocol == Protocol::L2 && known {
            far_away(document, range, span, problems);
        }
    }
}

fn at(document: &Document<Inventory>, path: &[&str]) -> Span {
    document.tree.at(&[&["addons", "metallb"], path].concat())
}

fn bgp(document: &Document<Inventory>, metallb: &Metallb, problems: &mut Vec<Problem>) {
    let wanted = metallb.ranges().any(|(_, _, _, protocol)| protocol == Protocol::Bgp);
    // What is there and mistaken is told already.
    let whole = |key| document.is_whole(&["addons", "metallb", "bgp", key]);
    let no_peers = metallb.bgp.peers.is_empty() && whole("peers");
    let no_asn = metallb.bgp.asn.is_none() && whole("asn");
    let missing = match (no_peers, no_asn) {
        (true, _) => Some(("there is no router to tell", "peers: [{address: 192.168.18.1, asn: 64513}]")),
        (_, true) => Some(("the nodes have no ASN", "asn: 64512")),
        _ => None,
    };
    match missing {
        Some((reason, example)) if wanted => problems.push(
            Problem::new(asked(document, "metallb"), format!("addresses are announced by BGP, but {reason}"))
                .label("`bgp` is incomplete")
                .help(format!("say it below `bgp`, such as `{example}`, or take the protocol `l2`")),
        ),
        None if !wanted => problems.push(
            Problem::new(at(document, &["bgp"]), "these routers are told nothing")
                .label("not used")
                .severity(Severity::Warning)
                .help("set `protocol: bgp`, for all pools or for a named one"),
        ),
        _ => {}
    }
    let mut seen = BTreeSet::new();
    for (index, peer) in metallb.bgp.peers.iter().enumerate() {
        if !seen.insert(peer.address) {
            let path = ["bgp", "peers", &index.to_string(), "address"].map(str::to_owned);
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            problems.push(
                Problem::new(at(document, &path), format!("the router {} is named twice", peer.address))
                    .label("again")
                    .help("remove one of them"),
            );
        }
    }
}

/// Only hosts know how long the prefix of their network is; that it is so short is unlikely.
fn far_away(document: &Document<Inventory>, range: Pool, span: Span, problems: &mut Vec<Problem>) {
    let nodes = document.value.hosts.values().filter(|host| host.is_node());
    let shared = |host: Ipv4Addr, address: Ipv4Addr| (u32::from(host) ^ u32::from(address)).leading_zeros();
    let near = nodes
        .clone()
        .any(|host| shared(host.address, range.first).min(shared(host.address, range.last)) >= USUAL);
    if !near && nodes.count() > 0 {
        problems.push(
            Problem::new(span, format!("{range} seems not to be in the network of any node"))
                .label("nobody there would be asked for them")
                .severity(Severity::Warning)
                .help("with the protocol `l2` a node answers for them in its own network; elsewhere routers have to be told: `bgp`"),
        );
    }
}

fn addresses(range: Pool) -> impl Iterator<Item = Ipv4Addr> {
    (u32::from(range.first)..=u32::from(range.last)).map(Ipv4Addr::from)
}

fn buggy(address: Ipv4Addr) -> bool {
    matches!(address.octets()[3], 0 | 255)
}
