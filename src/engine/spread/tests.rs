use proptest::prelude::*;

use super::*;

fn places(sites: &[(&str, &str)]) -> BTreeMap<String, Place> {
    let address = Ipv4Addr::LOCALHOST;
    let place = |site: &str| Place { site: (!site.is_empty()).then(|| site.to_string()), address };
    sites.iter().map(|(host, site)| (host.to_string(), place(site))).collect()
}

/// Hosts of one site that all need the file `f`.
fn site(hosts: &[&str]) -> Spread {
    let all: Vec<(&str, &str)> = hosts.iter().map(|host| (*host, "")).collect();
    let mut spread = Spread::new(places(&all));
    hosts.iter().for_each(|host| spread.needs(host, "f"));
    spread
}

fn told(grants: &[Grant]) -> String {
    let words = grants.iter().map(|grant| match &grant.source {
        Source::Installer => format!("{}<installer", grant.host),
        Source::Peer(peer) => format!("{}<{peer}", grant.host),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_first_gets_it_from_the_installer_and_the_others_from_whoever_has_it() {
    let mut spread = site(&["a", "b", "c", "d", "e", "g"]);
    assert_eq!(told(&spread.ask("b", "f")), "b<installer");
    for host in ["a", "c", "d", "e"] {
        assert_eq!(told(&spread.ask(host, "f")), "");
    }
    assert_eq!(spread.hopes("a", "f"), ["b"]);
    assert!(spread.is_wanted_beside("b", "f"));
    let (grants, free) = spread.arrived("b", "f", true);
    assert_eq!((told(&grants).as_str(), free.len()), ("a<b c<b d<b", 0), "three at a time");
    let (grants, _) = spread.arrived("c", "f", true);
    assert_eq!(told(&grants), "e<c", "from the one with the least to do");
    for host in ["a", "d", "e"] {
        assert_eq!(spread.arrived(host, "f", true).1, Vec::<String>::new(), "g has not asked yet");
    }
    assert_eq!(told(&spread.ask("g", "f")), "g<b");
    assert!(!spread.is_wanted_beside("g", "f"));
    let (_, free) = spread.arrived("g", "f", false);
    assert_eq!(free, ["b", "c", "a", "d", "e"], "nobody needs it any more");
}

#[test]
fn sites_are_apart_and_who_has_no_place_stands_alone() {
    let mut spread = Spread::new(places(&[("n1", "north"), ("n2", "north"), ("s1", "south")]));
    assert_eq!(told(&spread.ask("n1", "f")), "n1<installer");
    assert_eq!(told(&spread.ask("s1", "f")), "s1<installer");
    assert_eq!(told(&spread.ask("x", "f")), "x<installer");
    assert_eq!(told(&spread.ask("x", "f")), "x<installer");
    assert_eq!(told(&spread.ask("n2", "f")), "");
    spread.arrived("x", "f", true);
    spread.arrived("s1", "f", true);
    assert_eq!(told(&spread.arrived("n1", "f", true).0), "n2<n1");
}

#[test]
fn who_has_it_before_the_run_passes_it_on() {
    let mut spread = site(&["new"]);
    spread.places.extend(places(&[("old", "")]));
    spread.holds("old", "f");
    assert_eq!(told(&spread.ask("new", "f")), "new<old");
}

#[test]
fn what_fails_on_the_way_is_tried_with_another_and_then_comes_from_the_installer() {
    let mut spread = site(&["a", "b", "c", "d"]);
    spread.ask("a", "f");
    spread.arrived("a", "f", true);
    spread.ask("b", "f");
    spread.arrived("b", "f", true);
    assert_eq!(told(&spread.ask("c", "f")), "c<a");
    spread.failed("c", "f", Some(Blame::Way));
    assert_eq!(told(&spread.ask("c", "f")), "c<b");
    spread.failed("c", "f", Some(Blame::Way));
    assert_eq!(told(&spread.ask("c", "f")), "c<installer");
    // It is not asked to try again with the next file.
    assert_eq!(told(&spread.ask("a", "g")), "a<installer");
    assert_eq!(told(&spread.ask("c", "g")), "c<installer");
    // The others go on as before, and one that has nothing is not asked twice.
    assert_eq!(told(&spread.ask("d", "f")), "d<a");
    spread.failed("d", "f", Some(Blame::Source));
    assert_eq!(told(&spread.ask("d", "f")), "d<b");
}

#[test]
fn one_that_fails_or_takes_too_long_holds_up_nobody() {
    let mut spread = site(&["a", "b", "c", "d"]);
    spread.ask("a", "f");
    spread.ask("b", "f");
    assert_eq!(told(&spread.is_late("a", "f")), "b<installer");
    assert_eq!(told(&spread.is_late("a", "f")), "");
    assert_eq!(told(&spread.ask("c", "f")), "", "it waits for b");
    assert_eq!(told(&spread.leaves("b").0), "c<installer");
    let (grants, _) = spread.arrived("a", "f", true);
    assert_eq!(told(&grants), "");
    assert_eq!(told(&spread.ask("d", "f")), "d<a");
    let (_, free) = spread.leaves("d");
    assert_eq!(free, [], "c does not have it yet");
    let (_, free) = spread.leaves("c");
    assert_eq!(free, [("a".to_string(), "f".to_string())]);
}

/// What may happen next.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Ask,
    Arrive { holds: bool },
    BadWay,
    BadSource,
    Late,
    Leave,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        6 => Just(Turn::Ask),
        6 => any::<bool>().prop_map(|holds| Turn::Arrive { holds }),
        1 => Just(Turn::BadWay),
        1 => Just(Turn::BadSource),
        1 => Just(Turn::Late),
        1 => Just(Turn::Leave),
    ]
}

/// Where a host is with a file.
#[derive(Debug, Clone, PartialEq)]
enum At {
    Start,
    Waits,
    Moves { source: Source, late: bool },
    Has { holds: bool },
    Left,
}

/// The world outside of the state machine.
struct World {
    spread: Spread,
    hosts: Vec<(String, usize, At)>,
    tried: HashSet<(String, String)>,
}

impl World {
    fn grant(&mut self, grants: Vec<Grant>) {
        for Grant { host, source, .. } in grants {
            let site = self.hosts.iter().find(|(name, ..)| *name == host).unwrap().1;
            if let Source::Peer(peer) = &source {
                let (_, there, at) = self.hosts.iter().find(|(name, ..)| name == peer).unwrap();
                assert_eq!((*there, at), (site, &At::Has { holds: true }), "{host} from {peer}");
                assert!(!self.tried.contains(&(host.clone(), peer.clone())), "{host} tried {peer} before");
            }
            let late = self.tried.iter().filter(|(receiver, _)| *receiver == host).count() >= ENOUGH;
            let at = &mut self.hosts.iter_mut().find(|(name, ..)| *name == host).unwrap().2;
            assert_eq!(*at, At::Waits, "{host} is let in once for each time it asks");
            *at = At::Moves { source, late };
        }
        for site in 0..2 {
            let direct = |at: &At| *at == At::Moves { source: Source::Installer, late: false };
            let seeds = self.hosts.iter().filter(|(_, there, at)| *there == site && direct(at)).count();
            assert!(seeds <= 1, "{seeds} at a time");
        }
        for (peer, ..) in &self.hosts {
            let from = At::Moves { source: Source::Peer(peer.clone()), late: false };
            assert!(self.hosts.iter().filter(|(.., at)| *at == from).count() <= WIDTH, "{peer}");
        }
    }

    fn play(&mut self, index: usize, turn: Turn) {
        let index = index % self.hosts.len();
        let (name, _, at) = self.hosts[index].clone();
        let grants = match (turn, at) {
            (Turn::Ask, At::Start) => {
                self.hosts[index].2 = At::Waits;
                self.spread.ask(&name, "f")
            }
            (Turn::Arrive { holds }, At::Moves { .. }) => {
                self.hosts[index].2 = At::Has { holds };
                let (grants, free) = self.spread.arrived(&name, "f", holds);
                self.let_go(free);
                grants
            }
            (Turn::BadWay | Turn::BadSource, At::Moves { source: Source::Peer(peer), .. }) => {
                self.hosts[index].2 = At::Waits;
                let blame = if matches!(turn, Turn::BadWay) {
                    self.tried.insert((name.clone(), peer));
                    Blame::Way
                } else {
                    let source = self.hosts.iter_mut().find(|(name, ..)| *name == peer).unwrap();
                    source.2 = At::Has { holds: false };
                    Blame::Source
                };
                let grants = self.spread.failed(&name, "f", Some(blame));
                self.grant(grants);
                self.spread.ask(&name, "f")
            }
            (Turn::Late, At::Moves { source, .. }) => {
                self.hosts[index].2 = At::Moves { source, late: true };
                self.spread.is_late(&name, "f")
            }
            (Turn::Leave, At::Start | At::Waits | At::Moves { .. }) => {
                self.hosts[index].2 = At::Left;
                let (grants, free) = self.spread.leaves(&name);
                self.let_go(free.into_iter().map(|(holder, _)| holder).collect());
                grants
            }
            _ => return,
        };
        self.grant(grants);
    }

    /// Only when nobody needs it any more.
    fn let_go(&mut self, free: Vec<String>) {
        for holder in free {
            let site = self.hosts.iter().find(|(name, ..)| *name == holder).unwrap().1;
            let needs = |at: &At| matches!(at, At::Start | At::Waits | At::Moves { .. });
            assert!(!self.hosts.iter().any(|(_, there, at)| *there == site && needs(at)), "{holder}");
        }
    }
}

proptest! {
    /// Whatever happens in whatever order, everybody who stays gets the file once.
    #[test]
    fn everybody_gets_it(
        hosts in 1..12usize,
        turns in prop::collection::vec((any::<usize>(), turn()), 0..120),
    ) {
        let names: Vec<(String, usize)> = (0..hosts).map(|index| (format!("h{index}"), index % 3 % 2)).collect();
        let all: Vec<(&str, &str)> =
            names.iter().map(|(name, site)| (name.as_str(), ["north", "south"][*site])).collect();
        let mut spread = Spread::new(places(&all));
        names.iter().for_each(|(name, _)| spread.needs(name, "f"));
        let hosts = names.into_iter().map(|(name, site)| (name, site, At::Start)).collect();
        let mut world = World { spread, hosts, tried: HashSet::new() };
        for (index, turn) in turns {
            world.play(index, turn);
        }
        // From here on everything goes well.
        for index in 0..world.hosts.len() {
            world.play(index, Turn::Ask);
        }
        for _ in 0..world.hosts.len() {
            for index in 0..world.hosts.len() {
                world.play(index, Turn::Arrive { holds: true });
            }
        }
        for (name, _, at) in &world.hosts {
            prop_assert!(matches!(at, At::Has { .. } | At::Left), "{name} is at {at:?}");
        }
        prop_assert!(world.spread.busy.values().all(|busy| *busy == 0));
        prop_assert!(world.spread.files.values().flat_map(BTreeMap::values).all(|file| file.holders.is_empty()));
    }
}
