//! Hosts with the data of another etcd, or of a member that was taken out: nothing may be led to them.

use super::{Inventory, Observed, Seen, hosts, living, peer};
use crate::inventory::Role;

/// A host has data of etcd, and not of that of this cluster.
#[derive(Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum OtherEtcd {
    /// It is no member of the one that others have. With the authority of these, API servers would be led to two etcds.
    #[error("{host} has data of etcd, and is no member of the etcd that {speaker} is a member of")]
    #[diagnostic(help(
        "nothing was changed, for the API servers would be led to two etcds: {host} has the data of another one, or of a \
         member that was taken out; or it is {speaker} that is of another cluster (docs/operations.md, \"etcd on hosts of its \
         own\", tells how to see which). Take the wrong one out of the inventory; or, if nobody needs its data, run \
         `systemctl disable --now etcd` on it, move /var/lib/etcd-external/member out of that folder, and try again"
    ))]
    Member { host: String, speaker: String },
    /// An API server that lives asks other hosts, and knows another authority.
    #[error("{host} has data of etcd, and not of the etcd that the API server on {plane} asks ({asked})")]
    #[diagnostic(help(
        "nothing was changed, for the API servers would be led to another etcd, of which they do not know the authority: \
         mend the address of {host} in the inventory, or take it out and write the hosts that etcd of this cluster is on"
    ))]
    Asked { host: String, plane: String, asked: String },
}

impl OtherEtcd {
    /// Whose data these are.
    pub fn host(&self) -> &str {
        let (OtherEtcd::Member { host, .. } | OtherEtcd::Asked { host, .. }) = self;
        host
    }
}

/// Whether all that etcd is on belongs together, where a run changes any of it, or what asks it.
///
/// # Errors
/// The first host that does not.
pub(in crate::cluster) fn same_etcd(
    inventory: &Inventory,
    facts: &Observed,
    changed: &[&str],
) -> Result<(), OtherEtcd> {
    let asks = |name: &str| inventory.hosts.get(name).is_some_and(|host| host.has(Role::ControlPlane));
    if !changed.iter().any(|name| asks(name) || hosts(inventory).any(|own| own == *name)) {
        return Ok(());
    }
    match other_etcds(inventory, facts).into_iter().next() {
        Some(other) => Err(other),
        None => Ok(()),
    }
}

/// The hosts that have another etcd than others, or than API servers ask.
pub fn other_etcds(inventory: &Inventory, facts: &Observed) -> Vec<OtherEtcd> {
    let mut others = strangers(inventory, facts);
    others.extend(unasked(inventory, facts));
    others
}

/// A member whose authority is not the one that an API server knows, which asks elsewhere. Members come and go, and somebody
/// may have changed the authority: only both together are another etcd.
fn unasked(inventory: &Inventory, facts: &Observed) -> Option<OtherEtcd> {
    let planes = inventory
        .with_role(Role::ControlPlane)
        .filter_map(|(name, _)| Some((name, &facts.get(name)?.kubernetes)));
    let (plane, own) = planes.into_iter().find(|(_, own)| !own.etcd_authority.is_empty())?;
    let is_other = |host: &&str| {
        let ca = &facts[*host].etcd.ca;
        let url = format!("https://{}:2379", peer(inventory, host).address);
        !ca.is_empty() && *ca != own.etcd_authority && !own.etcd_servers.contains(&url)
    };
    let host = living(inventory, facts).find(is_other)?;
    let asked = own.etcd_servers.join(", ");
    Some(OtherEtcd::Asked { host: host.to_owned(), plane: plane.to_owned(), asked })
}

/// The hosts that are members of something else than the one who speaks, in the order of the inventory. Where nobody speaks,
/// nothing can be told.
pub(super) fn strangers(inventory: &Inventory, facts: &Observed) -> Vec<OtherEtcd> {
    let seen = || hosts(inventory).filter_map(|name| Some((name, &facts.get(name)?.etcd)));
    let Some((speaker, theirs)) = speaker(seen()) else { return Vec::new() };
    let others = seen().filter(|(name, own)| own.is_member() && !is_one_of(inventory, name, own, theirs));
    let named =
        |(host, _): (&str, _)| OtherEtcd::Member { host: host.to_owned(), speaker: speaker.to_owned() };
    others.map(named).collect()
}

/// The first that speaks for a majority, and could say who belongs to it.
pub(super) fn speaker<'a>(
    seen: impl IntoIterator<Item = (&'a str, &'a Seen)>,
) -> Option<(&'a str, &'a Seen)> {
    seen.into_iter().find(|(_, own)| own.is_member() && own.quorum && own.lists(&own.id))
}

/// Whether the etcd of the one who speaks has this host. One that does not answer is down, and known by name or address.
fn is_one_of(inventory: &Inventory, name: &str, own: &Seen, speaker: &Seen) -> bool {
    if own.id.is_empty() {
        let host = peer(inventory, name);
        let is_it = |listed: &super::Listed| listed.name == host.name || listed.address == host.address;
        return speaker.members.iter().any(is_it);
    }
    // What one without a majority lists may be old; what the one who speaks lists, by a moment, too.
    speaker.lists(&own.id) || own.quorum && own.lists(&own.id) && own.lists(&speaker.id)
}

#[cfg(test)]
mod tests {
    use miette::Diagnostic;

    use super::{super::tests::*, *};
    use crate::cluster::etcd::{Authority, Part, authorities, living, parts};

    const ALL: &[&str] = &["etcd1", "etcd2", "etcd3", "cp1", "w1"];

    /// Makes a host the only member of another etcd.
    fn alone(facts: &mut Observed, name: &str) {
        let own = &mut facts[name].etcd;
        (own.id, own.ca, own.quorum) = ("9".to_owned(), "another".to_owned(), true);
        own.members.retain(|member| member.name == name);
        own.members.truncate(1);
        own.members.iter_mut().for_each(|member| member.id = "9".to_owned());
        if own.members.is_empty() {
            let id = "9".to_owned();
            let (name, address) = (name.to_owned(), "10.77.0.99".to_owned());
            own.members = vec![crate::facts::Listed { id, name, address, learner: false }];
        }
    }

    fn refused(facts: &Observed) -> Option<(String, String)> {
        same_etcd(&lab(), facts, ALL).err().map(|why| match why {
            OtherEtcd::Member { host, speaker } => (host, speaker),
            other @ OtherEtcd::Asked { .. } => panic!("{other}"),
        })
    }

    #[test]
    fn who_is_listed_or_cannot_be_judged_belongs_to_it() {
        for (hosts, listed) in [
            ("---", ""),
            ("mmm", "123"),
            ("m--", "1"),
            ("mm-", "123"),
            ("mmd", "123"),
            ("mm ", "123"),
            // A run that was killed: what it made does not count yet.
            ("mmi", "12"),
            ("mml", "123"),
            ("mrn", "123"),
            ("rrr", "123"),
            // Without a majority nobody can tell.
            ("ddd", ""),
            ("mdd", "123"),
        ] {
            assert_eq!(refused(&facts(hosts, listed)), None, "{hosts}");
        }
        // A member under its old address, and one under its old name.
        for (name, address) in [("etcd3", "10.77.0.99"), ("old", "10.77.0.23")] {
            let mut moved = facts("mmd", "123");
            for host in ["etcd1", "etcd2"] {
                let listed = &mut moved[host].etcd.members[2];
                (listed.name, listed.address) = (name.to_owned(), address.to_owned());
            }
            assert_eq!(refused(&moved), None, "{name} {address}");
        }
        // Its list could not be had: it speaks for nobody.
        let mut silent = facts("mmm", "123");
        silent["etcd1"].etcd.members.clear();
        assert_eq!(refused(&silent), None);
        // It lists its peer, which did not hear of it yet.
        let mut late = facts("mmm", "123");
        late["etcd1"].etcd.members.truncate(2);
        assert_eq!(refused(&late), None);
    }

    #[test]
    fn another_etcd_is_refused_before_anything_is_changed() {
        let pair = |host: &str, speaker: &str| Some((host.to_owned(), speaker.to_owned()));
        // It was taken out while it was down, or runs and cannot ask the others.
        assert_eq!(refused(&facts("mmd", "12")), pair("etcd3", "etcd1"));
        let mut out = facts("mmm", "12");
        (out["etcd3"].etcd.quorum, out["etcd3"].etcd.members) =
            (false, facts("mmm", "123")["etcd1"].etcd.members.clone());
        assert_eq!(refused(&out), pair("etcd3", "etcd1"), "what it lists is old");
        // A lone one that lives, be it the last, or the first, and be it listed by the name that it has.
        for (name, listed, expected) in [
            ("etcd3", "12", pair("etcd3", "etcd1")),
            ("etcd3", "123", pair("etcd3", "etcd1")),
            ("etcd1", "23", pair("etcd2", "etcd1")),
        ] {
            let mut two = facts("mmm", listed);
            alone(&mut two, name);
            assert_eq!(refused(&two), expected, "{name} {listed}");
            let only = same_etcd(&lab(), &two, &["w1"]);
            assert_eq!(only, Ok(()), "a worker asks no etcd");
            assert!(same_etcd(&lab(), &two, &["cp1"]).is_err(), "a control plane does");
        }
        let why = same_etcd(&lab(), &facts("mmd", "12"), ALL).unwrap_err();
        assert_eq!(
            why.to_string(),
            "etcd3 has data of etcd, and is no member of the etcd that etcd1 is a member of"
        );
        let help = why.help().unwrap().to_string();
        assert!(
            help.starts_with("nothing was changed") && help.contains("/var/lib/etcd-external/member"),
            "{help}"
        );
    }

    #[test]
    fn another_etcd_than_api_servers_ask_is_refused() {
        let told = |own: &str, asked: &[&str], authority: &str| {
            let mut facts = facts(own, "123");
            let plane = &mut facts["cp1"].kubernetes;
            plane.etcd_servers = asked.iter().map(|last| format!("https://10.77.0.{last}:2379")).collect();
            plane.etcd_authority = authority.to_owned();
            same_etcd(&lab(), &facts, ALL).err().map(|why| why.to_string())
        };
        for (own, asked, authority) in [
            ("mmm", &["21", "22", "23"][..], "ca"),
            // All hosts were replaced, one after the other; somebody gave them another authority.
            ("mmm", &["31", "32", "33"], "ca"),
            ("mmm", &["21", "22", "23"], "another"),
            // Nothing is known of the API server, or of etcd.
            ("mmm", &["31"], ""),
            ("---", &["31"], "another"),
            // No members: they begin, and who lost them all is told so elsewhere.
            ("aaa", &["31"], "another"),
        ] {
            assert_eq!(told(own, asked, authority), None, "{own} {asked:?} {authority}");
        }
        let refused =
            "has data of etcd, and not of the etcd that the API server on cp1 asks (https://10.77.0.31:2379)";
        assert_eq!(told("mmm", &["31"], "another"), Some(format!("etcd1 {refused}")));
        assert_eq!(told(" m ", &["31"], "another"), Some(format!("etcd2 {refused}")));
    }

    #[test]
    fn a_stranger_keeps_nothing_and_gives_nothing() {
        let mut first = facts("mmm", "23");
        alone(&mut first, "etcd1");
        // One that has no majority: then the others speak.
        first["etcd1"].etcd.quorum = false;
        assert_eq!(living(&lab(), &first).collect::<Vec<_>>(), ["etcd2", "etcd3"]);
        let parts = parts(&lab(), &first);
        assert!(
            matches!(&parts["etcd1"], Part::Wait { why } if why.contains("no member of the etcd that etcd2"))
        );
        assert_eq!((&parts["etcd2"], &parts["etcd3"]), (&Part::Keep, &Part::Keep));
        assert_eq!(authorities(&lab(), &first)["etcd2"], Authority::Has, "the first one's does not count");
        for name in ["etcd2", "etcd3"] {
            first[name].etcd.ca.clear();
        }
        assert_eq!(authorities(&lab(), &first)["etcd2"], Authority::Lost, "not even where no other has one");
    }
}
