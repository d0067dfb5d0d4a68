//! etcd on hosts of its own: who begins it, who joins it, and who must wait. Pure: inventory and facts in, each host's
//! part out. The role `etcd` plays the part.

mod membership;
mod settings;
mod strangers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Observed;
use crate::{
    facts::{Etcd as Seen, Listed},
    inventory::{Etcd, Inventory, Role},
};
use membership::{Member, Membership, Peer, Step, steps};
pub(super) use settings::flags;
pub(super) use strangers::same_etcd;
pub use strangers::{OtherEtcd, other_etcds};
use strangers::{speaker, strangers};

/// What a host has to do to be a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Nothing: it is one.
    Keep,
    /// It begins etcd together with all others, for there is none.
    Begin,
    /// It goes on where a run was interrupted: with the data that it has.
    Resume,
    /// It joins those that live, which first take out the members of these identities: what is left of lost hosts and
    /// of joins that failed.
    Join { remove: Vec<String> },
    /// It can be no member now.
    Wait { why: String },
}

/// Where a host has the authority from that signs etcd's certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// It has it.
    Has,
    /// It makes it: nobody has one.
    Makes,
    /// From another host.
    Gets,
    /// It cannot be had: etcd lives, and nobody who answers has the key.
    Lost,
}

/// The hosts that etcd runs on, where it does on hosts of its own.
pub fn hosts(inventory: &Inventory) -> impl Iterator<Item = &str> {
    let external = inventory.cluster.etcd == Etcd::External;
    inventory.with_role(Role::Etcd).filter(move |_| external).map(|(name, _)| name)
}

/// The hosts that are members, in the order of the inventory.
pub fn living<'a>(inventory: &'a Inventory, facts: &'a Observed) -> impl Iterator<Item = &'a str> {
    known(inventory, facts).filter(|name| facts.get(*name).is_some_and(|facts| facts.etcd.is_member()))
}

/// The hosts that are members, or may become some: all but those that have another etcd.
fn known<'a>(inventory: &'a Inventory, facts: &Observed) -> impl Iterator<Item = &'a str> {
    let strangers = strangers(inventory, facts);
    hosts(inventory).filter(move |name| strangers.iter().all(|stranger| stranger.host() != *name))
}

/// Members that the inventory does not have, as one tells it who speaks for a majority. They count for the majority like
/// all others. In the order of their names.
pub fn unlisted(inventory: &Inventory, facts: &Observed) -> Vec<String> {
    let seen = hosts(inventory).filter_map(|name| Some((name, &facts.get(name)?.etcd)));
    let members = speaker(seen).into_iter().flat_map(|(_, etcd)| &etcd.members);
    let is_ours = |member: &Listed| {
        hosts(inventory)
            .map(|name| peer(inventory, name))
            .any(|it| it.name == member.name || it.address == member.address)
    };
    let others = members.filter(|member| !is_ours(member));
    let words = |member: &Listed| match member.name.as_str() {
        "" => member.address.clone(),
        name => format!("{name} ({})", member.address),
    };
    let mut named: Vec<String> = others.map(words).collect();
    named.sort();
    named
}

/// The part of each host whose facts are known.
pub fn parts(inventory: &Inventory, facts: &Observed) -> BTreeMap<String, Part> {
    let seen: Vec<(&str, &Seen)> =
        hosts(inventory).filter_map(|name| Some((name, &facts.get(name)?.etcd))).collect();
    let all = |part: &dyn Fn(&str, &Seen) -> Part| {
        seen.iter().map(|(name, etcd)| (name.to_string(), part(name, etcd))).collect()
    };
    // What was begun and never finished by anybody has served nobody: it is begun again, with what there is.
    if living(inventory, facts).next().is_none() {
        return all(&|_, _| Part::Begin);
    }
    let Some(now) = membership(&seen) else {
        // Their services start all the same; the next run finds a majority.
        let why = "the members of etcd that answer have no majority: bring back those that are down, then apply again";
        return all(&|_, etcd| match etcd {
            _ if etcd.is_member() => Part::Keep,
            Seen { data: true, .. } => Part::Resume,
            _ => Part::Wait { why: why.to_string() },
        });
    };
    let resumes = |etcd: &Seen| etcd.interrupted && now.0.iter().any(|member| member.id == etcd.id);
    let joining: Vec<Peer> = seen
        .iter()
        .filter(|(_, etcd)| !etcd.is_member() && !resumes(etcd))
        .map(|(name, _)| peer(inventory, name))
        .collect();
    let joins = match steps(&now, &joining) {
        // Whoever comes first takes out all: etcd adds nobody while one is away.
        Ok(steps) => Part::Join {
            remove: steps
                .into_iter()
                .filter_map(|step| match step {
                    Step::Remove { id } => Some(id),
                    _ => None,
                })
                .collect(),
        },
        Err(refusal) => Part::Wait { why: refusal.to_string() },
    };
    let strangers = strangers(inventory, facts);
    all(&|name, etcd| match strangers.iter().find(|stranger| stranger.host() == name) {
        Some(stranger) => Part::Wait { why: stranger.to_string() },
        None if etcd.is_member() => Part::Keep,
        None if resumes(etcd) => Part::Resume,
        None => joins.clone(),
    })
}

/// The membership as one tells it who speaks for a majority, and who of it runs.
fn membership(seen: &[(&str, &Seen)]) -> Option<Membership> {
    let (_, speaker) = speaker(seen.iter().copied())?;
    let runs = |id: &str| seen.iter().any(|(_, etcd)| etcd.id == id);
    let members = speaker.members.iter().map(|member| Member {
        id: member.id.clone(),
        name: member.name.clone(),
        address: member.address.clone(),
        voter: !member.learner,
        up: runs(&member.id),
    });
    Some(Membership(members.collect()))
}

fn peer(inventory: &Inventory, name: &str) -> Peer {
    let address = inventory.hosts.get(name).map(|host| host.address.to_string()).unwrap_or_default();
    Peer { name: name.to_string(), address }
}

/// The authority that counts, by its digest: that of a member, or else the first there is. Never that of another etcd.
fn authority<'a>(inventory: &Inventory, facts: &'a Observed) -> Option<&'a str> {
    let of = |name: &str| facts.get(name).map(|facts| facts.etcd.ca.as_str()).filter(|ca| !ca.is_empty());
    living(inventory, facts).find_map(of).or_else(|| known(inventory, facts).find_map(of))
}

/// Where each host whose facts are known has the authority from.
pub fn authorities(inventory: &Inventory, facts: &Observed) -> BTreeMap<String, Authority> {
    let known = authority(inventory, facts);
    let lives = living(inventory, facts).next().is_some();
    let present = hosts(inventory).filter(|name| facts.contains_key(*name));
    let part = |(index, name): (usize, &str)| {
        let authority = match known {
            Some(known) if facts.get(name).is_some_and(|facts| facts.etcd.ca == known) => Authority::Has,
            Some(_) => Authority::Gets,
            None if lives => Authority::Lost,
            None if index == 0 => Authority::Makes,
            None => Authority::Gets,
        };
        (name.to_string(), authority)
    };
    present.enumerate().map(part).collect()
}

/// What templates see of etcd's hosts as `cluster.etcd`, in the order of the inventory.
pub(super) fn cluster_context(inventory: &Inventory) -> Value {
    let members: Vec<_> = inventory.with_role(inventory.etcd_role()).collect();
    let joined = |divided: &dyn Fn(&str, String) -> String| {
        members.iter().map(|(name, host)| divided(name, host.address.to_string())).collect::<Vec<_>>()
    };
    let (heartbeat, election) = inventory.etcd_times();
    json!({
        "external": inventory.cluster.etcd == Etcd::External,
        "members": members.iter().map(|(name, host)| json!({"name": name, "address": host.address})).collect::<Vec<_>>(),
        "heartbeat_ms": heartbeat,
        "election_ms": election,
        "endpoints": joined(&|_, address| format!("https://{address}:2379")),
        "initial": joined(&|name, address| format!("{name}=https://{address}:2380")).join(","),
    })
}

/// What templates see as `host.etcd` on a host that etcd runs on, null on others. Where only some roles are looked at
/// (`alone`), nothing is known of the other hosts: then nobody begins or joins anything.
pub(super) fn host_context(inventory: &Inventory, facts: &Observed, name: &str, alone: bool) -> Value {
    let Some(part) = parts(inventory, facts).remove(name) else { return Value::Null };
    let part = match part {
        Part::Begin | Part::Join { .. } if alone => {
            Part::Wait { why: "with --only, no host becomes a member of etcd: apply without it".to_string() }
        }
        part => part,
    };
    let (word, remove, why) = match part {
        Part::Keep => ("keep", Vec::new(), String::new()),
        Part::Begin => ("begin", Vec::new(), String::new()),
        Part::Resume => ("resume", Vec::new(), String::new()),
        Part::Join { remove } => ("join", remove, String::new()),
        Part::Wait { why } => ("wait", Vec::new(), why),
    };
    let authority = match authorities(inventory, facts).get(name) {
        Some(Authority::Makes) if !alone => "makes",
        Some(Authority::Gets) if !alone => "gets",
        Some(Authority::Has) => "has",
        _ => "lost",
    };
    let others = living(inventory, facts).filter(|other| *other != name);
    let others = others.map(|other| format!("https://{}:2379", peer(inventory, other).address));
    json!({
        "part": word,
        "remove": remove,
        "why": why,
        "authority": authority,
        "authority_digest": self::authority(inventory, facts).unwrap_or_default(),
        "others": others.collect::<Vec<_>>().join(","),
    })
}
