//! That the virtual address stays on one host: control planes hand it to those that they know, and whoever is not known takes
//! it beside the one that has it.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use futures::future::join_all;
use tokio::time::timeout;

use super::{Observed, Session};
use crate::{
    exit::Exit,
    inventory::{Inventory, Role},
};

/// How long a balancer may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Two hosts would have the virtual address.
#[derive(Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum TwoHolders {
    #[error("{} would not know {new}, and both sides would take the virtual address", deaf.join(", "))]
    #[diagnostic(help(
        "nothing was changed: control planes hand the address to those in their /etc/keepalived/keepalived.conf, so add {} to \
         --limit, or leave --limit out",
        deaf.join(",")
    ))]
    LeftOut { new: String, deaf: Vec<String> },
    #[error("{}, which cannot be used, may have the virtual address, and no control plane knows {new}", silent.join(", "))]
    #[diagnostic(help(
        "nothing was changed, for both sides would take the address: bring {} back; or change other hosts alone, with --limit",
        silent.join(", ")
    ))]
    Silent { new: String, silent: Vec<String> },
    #[error(
        "{address} is no control plane in the inventory any more, and its balancer still answers at {address}:{port}: it would \
         take the virtual address beside the one that has it"
    )]
    #[diagnostic(help(
        "nothing was changed: run `systemctl disable --now keepalived haproxy` there, and try again; where the address is \
         another machine's by now, take it out of `unicast_peer` in /etc/keepalived/keepalived.conf of the control planes"
    ))]
    StillThere { address: Ipv4Addr, port: u16 },
}

impl TwoHolders {
    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        match self {
            TwoHolders::LeftOut { .. } => Exit::Usage,
            TwoHolders::Silent { .. } => Exit::Unavailable,
            TwoHolders::StillThere { .. } => Exit::Failed,
        }
    }
}

/// Whether all control planes of a run that changes these hosts will be known to those that have a keeper and are not changed,
/// because they are left out or `silent`. One that lost its disk is known still.
///
/// # Errors
/// The first control plane that is not known, and to whom.
pub fn known(
    inventory: &Inventory,
    facts: &Observed,
    silent: &[&str],
    changed: &[&str],
) -> Result<(), TwoHolders> {
    if inventory.cluster.endpoint.vip.is_none() {
        return Ok(());
    }
    let peers = |name: &str| facts.get(name)?.keeper.as_deref();
    let anybody_knows = |address: &Ipv4Addr| {
        planes(inventory).any(|(name, _)| peers(name).is_some_and(|peers| peers.contains(address)))
    };
    let changes = |name: &str| changed.contains(&name) && facts.contains_key(name);
    for (new, address) in planes(inventory).filter(|(name, _)| changes(name)) {
        let deaf = planes(inventory)
            .filter(|(name, _)| !changes(name) && peers(name).is_some_and(|peers| !peers.contains(&address)));
        let deaf: Vec<String> = deaf.map(|(name, _)| name.to_owned()).collect();
        let new = new.to_owned();
        if !deaf.is_empty() {
            return Err(TwoHolders::LeftOut { new, deaf });
        }
        // A keeper that is there already brings nothing new. Of a silent one the others tell whether it has one, and whether
        // this one was in the inventory when they were changed last.
        if peers(&new).is_some() || anybody_knows(&address) {
            continue;
        }
        let keeps = planes(inventory).filter(|(name, at)| silent.contains(name) && anybody_knows(at));
        let silent: Vec<String> = keeps.map(|(name, _)| name.to_owned()).collect();
        if !silent.is_empty() {
            return Err(TwoHolders::Silent { new, silent });
        }
    }
    Ok(())
}

/// The addresses that these hosts will speak to no longer, each with a host that does now.
fn dropped<'a>(inventory: &'a Inventory, facts: &Observed, changed: &[&str]) -> BTreeMap<Ipv4Addr, &'a str> {
    if inventory.cluster.endpoint.vip.is_none() {
        return BTreeMap::new();
    }
    let changed = || {
        let planes = planes(inventory).filter(|(name, _)| changed.contains(name));
        planes.filter_map(|(name, _)| Some((name, facts.get(name)?)))
    };
    let peers = changed().flat_map(|(name, own)| own.keeper.iter().flatten().map(move |peer| (*peer, name)));
    // A host that has both addresses while it gets another one is changed by this run.
    let stays = |peer: &Ipv4Addr| {
        planes(inventory).any(|(_, address)| address == *peer)
            || changed().any(|(_, own)| own.addresses.iter().any(|own| own.address == *peer))
    };
    peers.filter(|(peer, _)| !stays(peer)).collect()
}

/// Asks the addresses that control planes will speak to no longer whether a balancer is there. A keeper without one does not
/// take the address.
///
/// # Errors
/// The first that answers.
pub async fn gone(inventory: &Inventory, session: &Session, changed: &[&str]) -> Result<(), TwoHolders> {
    let port = inventory.cluster.endpoint.port;
    let dropped = dropped(inventory, &session.facts, changed);
    let asked = dropped.into_iter().filter_map(|(address, name)| Some((address, session.hosts.get(name)?)));
    let answers = join_all(asked.map(|(address, host)| async move {
        let answer = timeout(PATIENCE, host.forward((address, port).into())).await;
        matches!(answer, Ok(Ok(_))).then_some(address)
    }));
    match answers.await.into_iter().flatten().next() {
        Some(address) => Err(TwoHolders::StillThere { address, port }),
        None => Ok(()),
    }
}

fn planes(inventory: &Inventory) -> impl Iterator<Item = (&str, Ipv4Addr)> {
    inventory.with_role(Role::ControlPlane).map(|(name, host)| (name, host.address))
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::Arc};

    use miette::Diagnostic;

    use super::*;
    use crate::{
        facts::{Facts, InterfaceAddress},
        inventory,
        transport::Local,
    };

    /// Of cp1, cp2 and cp3, whom each knows: addresses, or their last parts; `-` where there is no keeper, `?` where the host
    /// is silent.
    fn facts(hosts: [&str; 3]) -> Observed {
        let address = |peer: &str| match peer.parse::<u8>() {
            Ok(last) => Ipv4Addr::new(10, 0, 0, last),
            Err(_) => peer.parse().unwrap(),
        };
        let known = ["cp1", "cp2", "cp3"].into_iter().zip(hosts).filter(|(_, peers)| *peers != "?");
        let facts = known.map(|(name, peers)| {
            let keeper = (peers != "-").then(|| peers.split_whitespace().map(address).collect());
            (name.to_owned(), Facts { keeper, ..Facts::default() })
        });
        facts.collect()
    }

    fn inventory(endpoint: &str) -> Inventory {
        let text = format!(
            "cluster: {{name: a, kubernetes: \"1.20.2\", endpoint: {endpoint}}}\nhosts:\n  \
             cp1: {{address: 10.0.0.1, roles: [control-plane]}}\n  cp2: {{address: 10.0.0.2, roles: [control-plane]}}\n  \
             cp3: {{address: 10.0.0.3, roles: [control-plane]}}\n  w1: {{address: 10.0.0.4, roles: [worker]}}\n"
        );
        inventory::parse("t.yaml", &text).unwrap().inventory
    }

    #[test]
    fn nobody_gets_a_keeper_that_the_others_do_not_know() {
        const ALL: &[&str] = &["cp1", "cp2", "cp3", "w1"];
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let left_out =
            |new: &str, deaf: &[&str]| Err(TwoHolders::LeftOut { new: new.into(), deaf: names(deaf) });
        let silent =
            |new: &str, who: &[&str]| Err(TwoHolders::Silent { new: new.into(), silent: names(who) });
        for (hosts, changed, expected) in [
            // All new, one after the other, and all done.
            (["-", "-", "-"], ALL, Ok(())),
            (["-", "-", "-"], &["cp1"], Ok(())),
            (["2 3", "-", "-"], &["cp3"], Ok(())),
            (["2 3", "1 3", "1 2"], ALL, Ok(())),
            // One more.
            (["2", "1", "-"], ALL, Ok(())),
            (["2", "1", "-"], &["cp3"], left_out("cp3", &["cp1", "cp2"])),
            (["2", "1", "-"], &["cp1", "cp3"], left_out("cp3", &["cp2"])),
            (["2", "1", "-"], &["cp1", "cp2"], Ok(())),
            (["2", "1", "-"], &["w1"], Ok(())),
            // From one, which speaks to a group, to two.
            (["", "-", "-"], ALL, Ok(())),
            (["", "-", "-"], &["cp2"], left_out("cp2", &["cp1"])),
            (["", "-", "-"], &["cp1"], Ok(())),
            // A run was killed before the others knew.
            (["2", "1", "1 2"], &["cp3"], left_out("cp3", &["cp1", "cp2"])),
            // One that lost its disk.
            (["-", "1 3", "1 2"], &["cp1"], Ok(())),
            (["-", "1 3", "?"], ALL, Ok(())),
            (["-", "1 3", "?"], &["cp1"], Ok(())),
            // One that does not answer may have the address, and knows only whom the others know.
            (["2", "?", "-"], ALL, silent("cp3", &["cp2"])),
            (["2", "?", "-"], &["cp1"], Ok(())),
            (["2 3", "?", "-"], ALL, Ok(())),
            (["2 3", "?", "1 2"], ALL, Ok(())),
            // Nobody has ever heard of it.
            (["", "-", "?"], ALL, Ok(())),
            (["2", "1", "?"], ALL, Ok(())),
            (["?", "-", "-"], ALL, Ok(())),
        ] {
            let silent: Vec<&str> = ["cp1", "cp2", "cp3"]
                .into_iter()
                .zip(hosts)
                .filter(|(_, it)| *it == "?")
                .map(|(name, _)| name)
                .collect();
            let said = known(&inventory("{vip: 10.0.0.9}"), &facts(hosts), &silent, changed);
            assert_eq!(said, expected, "{hosts:?} {changed:?}");
        }
        assert_eq!(known(&inventory("{local: true}"), &facts(["2", "1", "-"]), &[], &["cp3"]), Ok(()));
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let vip = inventory("{vip: 10.0.0.9}");
        let left_out = known(&vip, &facts(["2", "1", "-"]), &[], &["cp3"]).unwrap_err();
        assert!(left_out.help().unwrap().to_string().contains("add cp1,cp2 to --limit"));
        let silent = known(&vip, &facts(["2", "?", "-"]), &["cp2"], &["cp1", "cp3"]).unwrap_err();
        assert!(silent.help().unwrap().to_string().contains("bring cp2 back"));
        assert_eq!((left_out.exit(), silent.exit()), (Exit::Usage, Exit::Unavailable));
    }

    #[tokio::test]
    async fn who_leaves_must_have_stopped_before_the_others_forget_it() {
        let listener = TcpListener::bind("127.0.0.7:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let vip = inventory(&format!("{{vip: 10.0.0.9, port: {port}}}"));
        let ask = async |facts: Observed, changed: &[&str]| {
            let mut session = Session { facts, ..Session::default() };
            session.hosts.insert("cp1".into(), Arc::new(Local::open("cp1").await.unwrap()));
            gone(&vip, &session, changed).await
        };
        let error = ask(facts(["2 3 127.0.0.7", "-", "-"]), &["cp1"]).await.unwrap_err();
        assert_eq!(error, TwoHolders::StillThere { address: [127, 0, 0, 7].into(), port });
        assert!(error.help().unwrap().to_string().contains("`systemctl disable --now keepalived haproxy`"));
        // Nobody forgets it, nobody knew it, and nothing is there any more.
        assert_eq!(ask(facts(["2 3 127.0.0.7", "-", "-"]), &["cp2"]).await, Ok(()));
        assert_eq!(ask(facts(["2 3", "-", "-"]), &["cp1"]).await, Ok(()));
        assert_eq!(ask(facts(["2 3 127.0.0.8", "-", "-"]), &["cp1"]).await, Ok(()));
        // A machine that is about to get another address has both.
        let mut moving = facts(["2 3 127.0.0.7", "1 3", "-"]);
        let address =
            InterfaceAddress { interface: "eth0".into(), address: [127, 0, 0, 7].into(), prefix: 24 };
        moving["cp2"].addresses.push(address);
        assert_eq!(ask(moving, &["cp1", "cp2"]).await, Ok(()));
        drop(listener);
        assert_eq!(ask(facts(["2 3 127.0.0.7", "-", "-"]), &["cp1"]).await, Ok(()));
    }
}
