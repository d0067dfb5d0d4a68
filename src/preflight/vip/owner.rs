//! Who has the virtual address.

use std::collections::BTreeMap;

use super::{
    super::{
        Subject,
        finding::{Check, Finding},
    },
    ask::{Answer, Owner},
    can_hold,
};
use crate::{
    facts::Facts,
    inventory::{Inventory, Role},
};

const FREE: Check = Check {
    name: "vip-free",
    checked: "who has the virtual address (ARP)",
    expected: "nobody, or one control plane whose keepalived hoist has set up",
};
const TAKEN: &str = "choose a free address for `vip`, or take it from that machine; an address that a DHCP server hands out \
                     comes back";

/// Hosts that are no control planes and have the virtual address.
pub fn held_by_others(inventory: &Inventory, hosts: &[Subject]) -> Vec<Finding> {
    let Some(vip) = inventory.cluster.endpoint.vip else { return Vec::new() };
    let has = |host: &&Subject| host.facts.addresses.iter().any(|own| own.address == vip);
    let others = hosts.iter().filter(|host| !can_hold(host.host)).filter(has);
    others.map(|host| FREE.error(host.name, format!("{} has {vip}", host.name), TAKEN)).collect()
}

/// Judges who has the address alone.
pub fn judge(inventory: &Inventory, facts: &BTreeMap<&str, &Facts>, answers: &[Answer]) -> Vec<Finding> {
    answers.iter().map(|answer| free(inventory, facts, answers, answer)).collect()
}

fn holders(answers: &[Answer]) -> Vec<&str> {
    let holders = answers.iter().filter(|answer| answer.owner == Some(Owner::Itself));
    holders.map(|answer| answer.host.as_str()).collect()
}

fn free(
    inventory: &Inventory,
    facts: &BTreeMap<&str, &Facts>,
    answers: &[Answer],
    answer: &Answer,
) -> Finding {
    let host = answer.host.as_str();
    let held = |holder: &str| match holders(answers).as_slice() {
        [_, _, ..] => FREE.error(
            host,
            format!("{} have it at the same time", holders(answers).join(", ")),
            "let VRRP (IP protocol 112) through between the control planes: they do not hear each other",
        ),
        _ if answers.iter().any(|other| other.host == holder && other.keeps) => {
            FREE.ok(host, format!("{holder} has it, by its keepalived"))
        }
        _ => FREE.error(
            host,
            format!("{holder} has it, but not by a keepalived of hoist's"),
            "remove it from the network configuration of that host: the control planes hand it to each other",
        ),
    };
    match &answer.owner {
        None => FREE.skipped(host, answer.unasked.clone().unwrap_or_else(|| "no answer".into())),
        Some(Owner::Nobody) => FREE.ok(host, "nobody"),
        Some(Owner::Itself) => held(host),
        Some(Owner::Mac(mac)) => {
            let has_mac = |facts: &Facts| facts.interfaces.iter().any(|interface| interface.mac == *mac);
            let known = facts.iter().find(|(_, facts)| has_mac(facts)).map(|(name, _)| *name);
            let control_planes = || inventory.with_role(Role::ControlPlane).map(|(name, _)| name);
            let unasked: Vec<&str> =
                control_planes().filter(|name| answers.iter().all(|answer| answer.host != *name)).collect();
            match known {
                Some(holder) if control_planes().any(|name| name == holder) => held(holder),
                Some(other) => FREE.error(host, format!("{other} has it ({mac})"), TAKEN),
                None if !unasked.is_empty() => FREE.skipped(
                    host,
                    format!("a machine with the MAC address {mac}, which may be {}", unasked.join(" or ")),
                ),
                None => FREE.error(host, format!("a machine with the MAC address {mac}"), TAKEN),
            }
        }
    }
}
