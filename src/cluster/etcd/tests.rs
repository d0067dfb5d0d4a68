use std::collections::BTreeSet;

use super::*;
use crate::{facts::Facts, inventory};
use membership::Refusal;

/// What a host is to etcd before a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Is {
    /// A voter that runs.
    Voter,
    /// A voter that does not run, on a host that is no concern of the run.
    Away,
    /// A voter whose host has lost its data.
    Lost,
    /// No member yet.
    New,
    /// A learner that runs and was not promoted, for the run was killed.
    Learner,
    /// A learner that never ran.
    Failed,
}

const ALL: [Is; 6] = [Is::Voter, Is::Away, Is::Lost, Is::New, Is::Learner, Is::Failed];

impl Is {
    fn joins(self) -> bool {
        matches!(self, Is::Lost | Is::New | Is::Failed)
    }
}

/// Every choice of so many hosts; their order means nothing to etcd.
fn choices(hosts: usize) -> Vec<Vec<Is>> {
    let mut all = vec![vec![]];
    for _ in 0..hosts {
        let longer = all.iter().flat_map(|some: &Vec<Is>| {
            let next = ALL.into_iter().filter(|is| some.last().is_none_or(|last| last <= is));
            next.map(|is| [some.clone(), vec![is]].concat())
        });
        all = longer.collect();
    }
    all
}

fn a_peer(index: usize) -> Peer {
    Peer { name: format!("etcd{index}"), address: format!("10.0.0.{index}") }
}

fn situation(hosts: &[Is]) -> (Membership, Vec<Peer>) {
    let member = |(index, is): (usize, &Is)| {
        let Peer { name, address } = a_peer(index);
        // A learner that never ran has told nobody its name.
        let name = if *is == Is::Failed { String::new() } else { name };
        let (voter, up) = (!matches!(is, Is::Learner | Is::Failed), matches!(is, Is::Voter | Is::Learner));
        (*is != Is::New).then(|| Member { id: format!("{index:x}"), name, address, voter, up })
    };
    let joining = hosts.iter().enumerate().filter(|(_, is)| is.joins()).map(|(index, _)| a_peer(index));
    (Membership(hosts.iter().enumerate().filter_map(member).collect()), joining.collect())
}

/// What is not in the power of a plan: no majority, or a voter that is away when one is to be added. A second learner
/// cannot come to be, for etcd has one at most.
fn impossible(hosts: &[Is]) -> bool {
    let count = |wanted: &dyn Fn(&Is) -> bool| hosts.iter().filter(|is| wanted(is)).count();
    let voters = count(&|is| matches!(is, Is::Voter | Is::Away | Is::Lost));
    let majority = count(&|is| *is == Is::Voter) > voters / 2;
    let away = count(&|is| *is == Is::Away) > 0 && count(&|is| is.joins()) > 0;
    !majority || away
}

fn real(hosts: &[Is]) -> bool {
    hosts.iter().filter(|is| matches!(is, Is::Learner | Is::Failed)).count() <= 1
}

#[test]
fn every_change_of_one_to_seven_members_keeps_the_majority() {
    let mut planned = 0;
    for hosts in (1..=7).flat_map(choices).filter(|hosts| real(hosts)) {
        let (now, joining) = situation(&hosts);
        let steps = match steps(&now, &joining) {
            Ok(steps) => steps,
            Err(refusal) => {
                assert!(impossible(&hosts), "{hosts:?}: {refusal}");
                continue;
            }
        };
        assert!(!impossible(&hosts), "{hosts:?}: {steps:?}");
        planned += 1;
        let mut state = now;
        for step in &steps {
            let running = |state: &Membership| state.0.iter().filter(|m| m.voter && m.up).count();
            let (spare, before) = (state.spare().unwrap(), running(&state));
            state = state.after(step).unwrap();
            assert!(state.spare().unwrap() >= spare, "{hosts:?}: less to spare after {step:?}");
            assert!(running(&state) >= before, "{hosts:?}: a voter that runs is taken out by {step:?}");
            assert!(state.0.iter().filter(|member| !member.voter).count() <= 1, "{hosts:?}: two learners");
        }
        let away = hosts.iter().filter(|is| **is == Is::Away).count();
        assert_eq!(state.0.len(), hosts.len(), "{hosts:?}");
        assert!(state.0.iter().all(|member| member.voter), "{hosts:?}: {state:?}");
        assert_eq!(state.0.iter().filter(|member| !member.up).count(), away, "{hosts:?}");
    }
    assert!(planned > 100, "{planned}");
}

/// How far a joining host is: it takes out all that is stale, comes in, starts, is promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    Removing(usize),
    Adding,
    Starting,
    Promoting,
    Done,
}

/// What hosts do at the same time, in every order, each killed at every point: the majority is kept, and there is
/// always a way on.
#[test]
fn hosts_that_join_at_the_same_time_do_no_harm_in_any_order() {
    for hosts in (1..=5).flat_map(choices).filter(|hosts| real(hosts) && !impossible(hosts)) {
        let (now, joining) = situation(&hosts);
        // Learners that run are promoted by their own hosts, before others come in.
        let promoted = now.0.iter().filter(|member| !member.voter && member.up);
        let promoted: Vec<Step> =
            promoted.map(|member| Step::Promote { address: member.address.clone() }).collect();
        let now = promoted.iter().fold(now, |state, step| state.after(step).unwrap());
        let spare = now.spare().unwrap();
        let stale: Vec<String> = steps(&now, &joining)
            .unwrap()
            .into_iter()
            .filter_map(|step| match step {
                Step::Remove { id } => Some(id),
                _ => None,
            })
            .collect();
        let mut open = vec![(now, vec![At::Removing(0); joining.len()])];
        let mut seen = BTreeSet::new();
        while let Some((state, at)) = open.pop() {
            if !seen.insert((format!("{state:?}"), at.clone())) {
                continue;
            }
            assert!(state.spare().unwrap() >= spare, "{hosts:?}: {state:?}");
            // Killed here: who is listed and never started joins anew, who runs goes on.
            let again: Vec<Peer> = (joining.iter().zip(&at))
                .filter(|(_, at)| matches!(at, At::Removing(_) | At::Adding | At::Starting))
                .map(|(peer, _)| peer.clone())
                .collect();
            steps(&state, &again).unwrap_or_else(|refusal| panic!("{hosts:?}: {state:?}: {refusal}"));
            let mut moves = 0;
            for (index, peer) in joining.iter().enumerate() {
                let (mut after, mut next) = (state.clone(), at.clone());
                match at[index] {
                    At::Removing(done) => match stale.get(done) {
                        Some(id) => {
                            after = state.after(&Step::Remove { id: id.clone() }).unwrap();
                            next[index] = At::Removing(done + 1);
                        }
                        None => next[index] = At::Adding,
                    },
                    // As etcd would, it is refused, and asks again.
                    At::Adding => match state.after(&Step::Add(peer.clone())) {
                        Ok(mut added) => {
                            if let Some(new) = added.0.last_mut() {
                                (new.id, new.up) = (format!("new{index}"), false);
                            }
                            (after, next[index]) = (added, At::Starting);
                        }
                        Err(_) => continue,
                    },
                    At::Starting => {
                        let id = format!("new{index}");
                        after
                            .0
                            .iter_mut()
                            .filter(|member| member.id == id)
                            .for_each(|member| member.up = true);
                        next[index] = At::Promoting;
                    }
                    At::Promoting => {
                        after = state.after(&Step::Promote { address: peer.address.clone() }).unwrap();
                        next[index] = At::Done;
                    }
                    At::Done => continue,
                }
                moves += 1;
                open.push((after, next));
            }
            let done = at.iter().all(|at| *at == At::Done);
            assert!(done || moves > 0, "{hosts:?}: all wait for each other: {state:?} {at:?}");
        }
    }
}

#[test]
fn what_cannot_be_done_is_named() {
    let refusal = |hosts: &[Is]| {
        let (now, joining) = situation(hosts);
        steps(&now, &joining).unwrap_err()
    };
    assert_eq!(refusal(&[Is::Voter, Is::Lost, Is::Lost]), Refusal::NoMajority { up: 1, voters: 3 });
    let away = refusal(&[Is::Voter, Is::Voter, Is::Away, Is::New]).to_string();
    assert!(
        away.contains("while etcd2 (10.0.0.2) does not run") && away.contains("member remove 2"),
        "{away}"
    );
    // A host that took over the name of one that runs.
    let (now, _) = situation(&[Is::Voter, Is::Voter, Is::Voter]);
    let twin = Peer { name: "etcd1".to_string(), address: "10.0.0.9".to_string() };
    assert!(matches!(steps(&now, &[twin]), Err(Refusal::Lives { .. })));
}

pub(super) fn lab() -> Inventory {
    let text = include_str!("../../../tests/fixtures/cluster/etcd.yaml");
    inventory::parse("etcd.yaml", text).unwrap().inventory
}

/// Facts of etcd1 to etcd3: ` ` silent, `-` nothing, `a` only an authority, `m` a member that runs, `d` a member that is
/// down, `i` interrupted and down with data, `r` interrupted and running, `l` the same as a learner, `n` interrupted
/// without data. Members that run know the identities 1 to 3 of `listed`.
pub(super) fn facts(hosts: &str, listed: &str) -> Observed {
    let majority = hosts.chars().filter(|what| matches!(what, 'm' | 'r')).count() * 2 > listed.len();
    let members = listed.chars().map(|id| Listed {
        id: id.to_string(),
        name: format!("etcd{id}"),
        address: format!("10.77.0.2{id}"),
        learner: hosts.chars().nth(id as usize - '1' as usize) == Some('l'),
    });
    let members: Vec<Listed> = members.collect();
    let mut all: Observed =
        ["cp1", "w1"].map(|name| (name.to_string(), Facts::default())).into_iter().collect();
    for (index, what) in hosts.chars().enumerate().filter(|(_, what)| *what != ' ') {
        let runs = matches!(what, 'm' | 'r' | 'l');
        let etcd = Seen {
            ca: if what == '-' { String::new() } else { "ca".to_string() },
            data: matches!(what, 'm' | 'd' | 'i' | 'r' | 'l'),
            interrupted: matches!(what, 'i' | 'r' | 'l' | 'n'),
            id: if runs { (index + 1).to_string() } else { String::new() },
            quorum: majority && matches!(what, 'm' | 'r'),
            members: if matches!(what, 'm' | 'r') { members.clone() } else { Vec::new() },
            ..Seen::default()
        };
        all.insert(format!("etcd{}", index + 1), Facts { etcd, ..Facts::default() });
    }
    all
}

#[test]
fn every_host_has_its_part() {
    for (hosts, listed, expected) in [
        // Nothing there; begun and killed, in whatever state.
        ("---", "", "begin begin begin"),
        ("a--", "", "begin begin begin"),
        ("in-", "", "begin begin begin"),
        ("rrr", "123", "begin begin begin"),
        // Some have finished.
        ("mmm", "123", "keep keep keep"),
        ("mrr", "123", "keep resume resume"),
        ("mrn", "123", "keep resume join 3"),
        ("mm-", "123", "keep keep join 3"),
        ("mma", "12", "keep keep join"),
        ("mml", "123", "keep keep resume"),
        ("mmi", "123", "keep keep join 3"),
        // One that is down starts by itself, and one that is silent is no concern where nobody joins.
        ("mmd", "123", "keep keep keep"),
        ("mm ", "123", "keep keep"),
        ("m-", "1", "keep join"),
        // The data are another etcd's, or those of a member that was taken out.
        ("mmd", "12", "keep keep wait"),
        ("mmm", "12", "keep keep wait"),
        // Without a majority nobody joins, but what has data starts.
        ("mi-", "123", "keep resume wait"),
        ("d--", "", "keep wait wait"),
    ] {
        let parts = parts(&lab(), &facts(hosts, listed));
        let words = parts.values().map(|part| match part {
            Part::Keep => "keep".to_string(),
            Part::Begin => "begin".to_string(),
            Part::Resume => "resume".to_string(),
            Part::Join { remove } => format!("join {}", remove.join(" ")).trim_end().to_string(),
            Part::Wait { .. } => "wait".to_string(),
        });
        assert_eq!(words.collect::<Vec<_>>().join(" "), expected, "{hosts:?}");
    }
}

#[test]
fn nobody_joins_while_a_voter_is_away() {
    let five = include_str!("../../../tests/fixtures/cluster/etcd.yaml");
    let five = five.replace(
        "  cp1:",
        "  etcd4: {address: 10.77.0.24, roles: [etcd]}\n  etcd5: {address: 10.77.0.25, roles: [etcd]}\n  cp1:",
    );
    let inventory = inventory::parse("five.yaml", &five).unwrap().inventory;
    let parts = parts(&inventory, &facts("mmm -", "12345"));
    let why = match &parts["etcd5"] {
        Part::Wait { why } => why,
        other => panic!("{other:?}"),
    };
    assert!(why.contains("while etcd4 (10.77.0.24) does not run"), "{why}");
}

#[test]
fn members_that_the_inventory_does_not_have_are_named() {
    let others = |hosts: &str, listed: &str| unlisted(&lab(), &facts(hosts, listed));
    assert_eq!(others("mmm", "123"), [""; 0]);
    assert_eq!(others("mmm", "12345"), ["etcd4 (10.77.0.24)", "etcd5 (10.77.0.25)"]);
    // etcd lists members by identity, which is as good as chance.
    assert_eq!(others("mmm", "51423"), ["etcd4 (10.77.0.24)", "etcd5 (10.77.0.25)"]);
    let mut seen = facts("mm-", "124");
    seen["etcd1"].etcd.members[2].name = String::new();
    assert_eq!(unlisted(&lab(), &seen), ["10.77.0.24"], "it has never started");
    (seen["etcd1"].etcd.quorum, seen["etcd2"].etcd.quorum) = (false, false);
    assert_eq!(unlisted(&lab(), &seen), [""; 0], "what one tells without a majority may be old");
}

#[test]
fn the_authority_is_made_once_and_comes_from_who_has_it() {
    let words = |hosts: &str, listed: &str, other: Option<&str>| {
        let mut facts = facts(hosts, listed);
        if let Some(name) = other {
            facts[name].etcd.ca = "another".to_string();
        }
        let all = authorities(&lab(), &facts).into_values();
        all.map(|authority| format!("{authority:?}").to_lowercase()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(words("---", "", None), "makes gets gets");
    assert_eq!(words(" --", "", None), "makes gets");
    assert_eq!(words("--a", "", None), "gets gets has");
    assert_eq!(words("mm-", "12", None), "has has gets");
    // That of a member counts, and not what another cluster left.
    assert_eq!(words("amm", "23", Some("etcd1")), "gets has has");
    let mut lost = facts("m--", "1");
    lost["etcd1"].etcd.ca = String::new();
    assert_eq!(authorities(&lab(), &lost)["etcd2"], Authority::Lost);
}

#[test]
fn with_only_some_roles_nobody_begins_or_joins() {
    for (hosts, listed, part, authority) in
        [("---", "", "wait", "lost"), ("mm-", "12", "wait", "lost"), ("mmm", "123", "keep", "has")]
    {
        let context = host_context(&lab(), &facts(hosts, listed), "etcd3", true);
        assert_eq!((&context["part"], &context["authority"]), (&json!(part), &json!(authority)), "{hosts}");
    }
    assert_eq!(host_context(&lab(), &facts("---", ""), "w1", false), Value::Null);
}

#[test]
fn members_at_several_sites_get_longer_times() {
    for (text, heartbeat, election) in [
        (include_str!("../../../tests/fixtures/cluster/etcd.yaml"), 100, 1000),
        (include_str!("../../../inventory/ha.yaml"), 250, 2500),
    ] {
        let context = cluster_context(&inventory::parse("t.yaml", text).unwrap().inventory);
        assert_eq!(
            (&context["heartbeat_ms"], &context["election_ms"]),
            (&json!(heartbeat), &json!(election))
        );
    }
}
