//! Puts the rules about links in force: the bridge drops what may not pass, and slow links go through the relay.
//!
//! The rules are written down before the network is touched, with a mark that they are not in force yet. Whatever is
//! killed in between is made up for by the next command that touches links, and until then `status` says so.

use std::fs;

use serde::{Deserialize, Serialize};

use super::{
    cache::{read_json, write_json},
    config::Config,
    disk, down,
    error::LabError,
    links::{self, End, Fault, GATEWAY, Link, NodeLinks, Rule, Rules},
    network::{self, Namespace, OWN_PORT},
    process,
    quality::Quality,
    relay::{self, SlowLink},
    setup,
};

/// The rules as they are kept while the lab runs.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Book {
    rules: Rules,
    in_force: bool,
}

impl Default for Book {
    /// That of a network that nobody has touched.
    fn default() -> Self {
        Self { rules: Rules::default(), in_force: true }
    }
}

impl Book {
    fn open(config: &Config) -> Self {
        read_json(&config.run().join("links.json")).unwrap_or_default()
    }

    fn write(&self, config: &Config) -> Result<(), LabError> {
        write_json(&config.run().join("links.json"), self)
    }
}

/// Cuts `a` off from `b`, or from everything. Each is a node, a site, or `gateway`, which is this machine.
///
/// # Errors
/// [`LabError::NoEnd`] for a word that stands for nothing; a lab that does not run; a failing program.
pub fn cut(config: &Config, a: &str, b: Option<&str>) -> Result<(), LabError> {
    change(config, &[Some(a), b], |rules| rules.add(rule(a, b, Link::Cut)))
}

/// Makes the link from `a` to `b`, or to everything, slow.
///
/// # Errors
/// As [`cut`]; [`LabError::NoRelay`] when the process that is the slow links does not start.
pub fn slow(config: &Config, a: &str, b: Option<&str>, quality: Quality) -> Result<(), LabError> {
    change(config, &[Some(a), b], |rules| rules.add(rule(a, b, Link::Slow(quality))))
}

/// Makes the link from `a` to `b` whole again, or all links that touch `a`, or all.
///
/// # Errors
/// As [`cut`].
pub fn heal(config: &Config, a: Option<&str>, b: Option<&str>) -> Result<(), LabError> {
    change(config, &[a, b], |rules| match a {
        Some(a) => rules.add(rule(a, b, Link::Whole)),
        None => rules.clear(),
    })
}

fn rule(a: &str, b: Option<&str>, link: Link) -> Rule {
    Rule { a: a.to_owned(), b: b.map(str::to_owned), link }
}

fn change(config: &Config, words: &[Option<&str>], work: impl FnOnce(&mut Rules)) -> Result<(), LabError> {
    down::require_root()?;
    let _lock = setup::lock(&config.lock(), &format!("lab `{}`", config.name))?;
    if !Namespace::of(config).is_ours() {
        return Err(LabError::NotRunning { name: config.name.clone() });
    }
    let ends = ends(config);
    if let Some(word) = words.iter().flatten().find(|word| !links::is_known(word, &ends)) {
        return Err(LabError::NoEnd { word: (*word).to_owned(), known: known(&ends) });
    }
    let mut book = Book::open(config);
    work(&mut book.rules);
    put_in_force(config, book.rules, &ends)
}

/// After nodes have come or gone: what the rules say about the nodes that are there now. The caller holds the lock.
pub(crate) fn refresh(config: &Config) -> Result<(), LabError> {
    let mut book = Book::open(config);
    if book == Book::default() {
        return Ok(());
    }
    let ends = ends(config);
    book.rules.keep(&ends);
    put_in_force(config, book.rules, &ends)
}

fn put_in_force(config: &Config, rules: Rules, ends: &[End]) -> Result<(), LabError> {
    let mut book = Book { rules, in_force: false };
    book.write(config)?;
    let faults = book.rules.faults(ends);
    let port = |end: &str| port(config, end);

    let file = config.run().join("links.nft");
    fs::write(&file, filter(&faults, port)).map_err(LabError::io("write", &file))?;
    let mut nft = process::command("nft", &["--file"]);
    nft.arg(&file);
    Namespace::of(config).run(|| process::output(nft))??;

    let slow = |fault: &Fault<'_>| match fault.link {
        Link::Slow(quality) => Some(SlowLink { ports: [port(fault.a), port(fault.b)], quality }),
        Link::Whole | Link::Cut => None,
    };
    relay::serve(config, &faults.iter().filter_map(slow).collect::<Vec<_>>())?;
    book.in_force = true;
    book.write(config)
}

/// What nft(8) makes of the faults, in one transaction. Slow links are closed here, too: the relay takes their frames
/// before the bridge drops them, and sends them out behind it.
fn filter(faults: &[Fault<'_>], port: impl Fn(&str) -> String) -> String {
    // The first line is for the second: what is not there cannot be deleted.
    let mut text = "table bridge hoist\ndelete table bridge hoist\n".to_owned();
    if faults.is_empty() {
        return text;
    }
    let pairs = faults.iter().flat_map(|fault| [(fault.a, fault.b), (fault.b, fault.a)]);
    let pairs: Vec<_> = pairs.map(|(from, to)| format!("\"{}\" . \"{}\"", port(from), port(to))).collect();
    text += &format!(
        "table bridge hoist {{\n\
         \tset closed {{\n\t\ttype ifname . ifname\n\t\telements = {{ {} }}\n\t}}\n\
         \tchain forward {{\n\t\ttype filter hook forward priority filter; policy accept;\n\
         \t\tiifname . oifname @closed drop\n\t}}\n}}\n",
        pairs.join(", ")
    );
    text
}

fn port(config: &Config, end: &str) -> String {
    if end == GATEWAY { OWN_PORT.to_owned() } else { network::port(&config.machine(end)) }
}

/// All nodes, running or not, and this machine.
fn ends(config: &Config) -> Vec<End> {
    let node = |name: String| End { site: disk::site(&config.disk(&name)), name };
    let gateway = End { name: GATEWAY.to_owned(), site: None };
    down::nodes(config).into_iter().map(node).chain([gateway]).collect()
}

fn known(ends: &[End]) -> Vec<String> {
    let mut sites: Vec<_> = ends.iter().filter_map(|end| end.site.clone()).collect();
    sites.sort();
    sites.dedup();
    ends.iter().map(|end| end.name.clone()).chain(sites).collect()
}

/// What the rules say about the links of each node.
pub(crate) struct Wiring {
    ends: Vec<End>,
    book: Book,
    relay: bool,
}

impl Wiring {
    pub(crate) fn of(config: &Config) -> Self {
        Self { ends: ends(config), book: Book::open(config), relay: relay::alive(config) }
    }

    pub(crate) fn node(&self, name: &str) -> NodeLinks {
        NodeLinks::of(name, &self.book.rules.faults(&self.ends), self.ends.len())
    }

    /// Whether the network is as the rules say. It is not after a command was killed, or the relay has ended.
    pub(crate) fn in_force(&self) -> bool {
        let faults = self.book.rules.faults(&self.ends);
        let slow = faults.iter().any(|fault| matches!(fault.link, Link::Slow(_)));
        self.book.in_force && (self.relay || !slow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Cache;

    #[test]
    fn the_filter_is_one_transaction() {
        let slow = Link::Slow(Quality { delay_ms: 1, ..Quality::default() });
        let faults = [Fault { a: "a", b: "b", link: Link::Cut }, Fault { a: "a", b: GATEWAY, link: slow }];
        insta::assert_snapshot!(filter(&faults, |end| format!("vb-{end}")).replace('\t', "  "), @r#"
        table bridge hoist
        delete table bridge hoist
        table bridge hoist {
          set closed {
            type ifname . ifname
            elements = { "vb-a" . "vb-b", "vb-b" . "vb-a", "vb-a" . "vb-gateway", "vb-gateway" . "vb-a" }
          }
          chain forward {
            type filter hook forward priority filter; policy accept;
            iifname . oifname @closed drop
          }
        }
        "#);
        assert_eq!(filter(&[], str::to_owned), "table bridge hoist\ndelete table bridge hoist\n");
    }

    #[test]
    fn a_killed_command_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(Cache::at(folder.path()), "lab").unwrap();
        assert!(Wiring::of(&config).in_force());
        for node in ["a", "b"] {
            fs::create_dir_all(config.disk(node)).unwrap();
        }
        let mut book = Book::open(&config);
        book.rules.add(rule("a", None, Link::Cut));
        for in_force in [false, true] {
            Book { in_force, ..Book::open(&config) }.write(&config).unwrap();
            assert_eq!(Wiring::of(&config).in_force(), in_force);
        }
        book.rules.add(rule("b", None, Link::Slow(Quality::default())));
        book.write(&config).unwrap();
        let wiring = Wiring::of(&config);
        assert!(!wiring.in_force(), "there is no relay");
        assert_eq!(wiring.node("a").to_string(), "cut: gateway; slow (): b");
    }
}
