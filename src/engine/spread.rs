//! Who gets a file from whom, so that each crosses our uplink once a site: decisions only, nobody is talked to.
//!
//! The first host of a site that asks for a file gets it from the installer, the others wait. Whoever has it passes it on
//! to at most [`WIDTH`] others at a time, and so do these, so that a hundred hosts do not pull from one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    net::Ipv4Addr,
};

/// To how many others a host sends at the same time.
const WIDTH: usize = 3;

/// A host that could not fetch from so many others does not try any more.
const ENOUGH: usize = 2;

/// Where a host is, for those who fetch from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Hosts without one are at one site.
    pub site: Option<String>,
    pub address: Ipv4Addr,
}

/// From whom a host gets a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Source {
    Installer,
    Peer(String),
}

/// A host may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    pub host: String,
    pub file: String,
    pub source: Source,
}

/// Why a host could not fetch from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// That one does not have it, or cannot send at all.
    Source,
    /// They do not reach each other.
    Way,
}

type Site = Option<String>;

/// The state of all files of a run, by their digests. Hosts that are not in `places` stand alone: to them it all comes
/// from the installer.
#[derive(Debug, Default)]
pub(super) struct Spread {
    places: BTreeMap<String, Place>,
    files: BTreeMap<Site, BTreeMap<String, File>>,
    /// Who could not fetch from whom: receivers and their sources.
    barred: HashMap<String, HashSet<String>>,
    /// To how many others a host sends now.
    busy: HashMap<String, usize>,
}

/// One file at one site.
#[derive(Debug, Default)]
struct File {
    /// Who will ask for it, as far as is known, or has asked, and does not have it yet.
    needed_by: BTreeSet<String>,
    /// Who can pass it on.
    holders: Vec<String>,
    /// Who gets it now.
    moving: BTreeMap<String, Moving>,
    /// Who waits, the longest first.
    waiting: VecDeque<String>,
}

#[derive(Debug)]
struct Moving {
    source: Source,
    /// It takes so long that nobody waits for it any more.
    late: bool,
}

impl Spread {
    pub fn new(places: BTreeMap<String, Place>) -> Spread {
        Spread { places, ..Spread::default() }
    }

    fn site(&self, host: &str) -> Option<Site> {
        Some(self.places.get(host)?.site.clone())
    }

    fn file(&mut self, host: &str, file: &str) -> Option<&mut File> {
        let site = self.site(host)?;
        Some(self.files.entry(site).or_default().entry(file.to_string()).or_default())
    }

    /// A host will ask for a file.
    pub fn needs(&mut self, host: &str, file: &str) {
        if let Some(state) = self.file(host, file) {
            state.needed_by.insert(host.to_string());
        }
    }

    /// A host has a file and can pass it on.
    pub fn holds(&mut self, host: &str, file: &str) {
        if let Some(state) = self.file(host, file)
            && !state.holders.iter().any(|holder| holder == host)
        {
            state.holders.push(host.to_string());
        }
    }

    /// Whether anybody else at the host's site has still to get the file.
    pub fn is_wanted_beside(&self, host: &str, file: &str) -> bool {
        let state = self.site(host).and_then(|site| self.files.get(&site)?.get(file));
        state.is_some_and(|state| state.needed_by.iter().any(|other| other != host))
    }

    /// A host asks for a file. It is among the grants at once or later, exactly once.
    pub fn ask(&mut self, host: &str, file: &str) -> Vec<Grant> {
        match self.file(host, file) {
            None => vec![Grant { host: host.into(), file: file.into(), source: Source::Installer }],
            Some(state) => {
                state.needed_by.insert(host.to_string());
                state.waiting.push_back(host.to_string());
                self.decide(host)
            }
        }
    }

    /// Of whom a host that waits may get the file.
    pub fn hopes(&self, host: &str, file: &str) -> Vec<String> {
        let state = self.site(host).and_then(|site| self.files.get(&site)?.get(file));
        state.map_or_else(Vec::new, |state| {
            let all = state.holders.iter().chain(state.moving.keys()).filter(|other| *other != host);
            all.take(WIDTH).cloned().collect()
        })
    }

    /// A host has got the file, and passes it on if it `holds` it. Those that hold it may let it go when nobody needs it
    /// any more: they are named.
    pub fn arrived(&mut self, host: &str, file: &str, holds: bool) -> (Vec<Grant>, Vec<String>) {
        self.end(host, file);
        if holds {
            self.holds(host, file);
        }
        let Some(state) = self.file(host, file) else { return Default::default() };
        state.needed_by.remove(host);
        let free = if state.needed_by.is_empty() { std::mem::take(&mut state.holders) } else { Vec::new() };
        (self.decide(host), free)
    }

    /// A host did not get the file, or has to ask again. `blame` says what was wrong with the neighbour, if it came
    /// from one.
    pub fn failed(&mut self, host: &str, file: &str, blame: Option<Blame>) -> Vec<Grant> {
        let source = self.end(host, file);
        match (blame, source) {
            (Some(Blame::Way), Some(Source::Peer(peer))) => {
                self.barred.entry(host.to_string()).or_default().insert(peer);
            }
            (Some(Blame::Source), Some(Source::Peer(peer))) => {
                if let Some(state) = self.file(host, file) {
                    state.holders.retain(|holder| *holder != peer);
                }
            }
            _ => {}
        }
        self.decide(host)
    }

    /// It takes so long that those who wait for it shall get the file in another way.
    pub fn is_late(&mut self, host: &str, file: &str) -> Vec<Grant> {
        let Some(moving) = self.file(host, file).and_then(|state| state.moving.get_mut(host)) else {
            return Vec::new();
        };
        if !moving.late {
            moving.late = true;
            if let Source::Peer(peer) = moving.source.clone() {
                self.release(&peer);
            }
        }
        self.decide(host)
    }

    /// A host needs nothing any more, because it is done or has failed; it still passes on what it has. Gives the files
    /// that nobody needs any more, with those that hold them.
    pub fn leaves(&mut self, host: &str) -> (Vec<Grant>, Vec<(String, String)>) {
        let Some(site) = self.site(host) else { return Default::default() };
        let names: Vec<String> =
            self.files.get(&site).into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let mut free = Vec::new();
        for name in names {
            self.end(host, &name);
            let Some(state) = self.file(host, &name) else { continue };
            state.waiting.retain(|other| other != host);
            state.needed_by.remove(host);
            if state.needed_by.is_empty() {
                free.extend(
                    std::mem::take(&mut state.holders).into_iter().map(|holder| (holder, name.clone())),
                );
            }
        }
        (self.decide(host), free)
    }

    /// Takes the transfer of a file to a host out, and says where it came from.
    fn end(&mut self, host: &str, file: &str) -> Option<Source> {
        let moving = self.file(host, file)?.moving.remove(host)?;
        if let (Source::Peer(peer), false) = (&moving.source, moving.late) {
            self.release(peer);
        }
        Some(moving.source)
    }

    fn release(&mut self, peer: &str) {
        if let Some(busy) = self.busy.get_mut(peer) {
            *busy = busy.saturating_sub(1);
        }
    }

    /// Lets everybody at a host's site begin who can.
    fn decide(&mut self, host: &str) -> Vec<Grant> {
        let Spread { places, files, barred, busy } = self;
        let Some(place) = places.get(host) else { return Vec::new() };
        let Some(files) = files.get_mut(&place.site) else { return Vec::new() };
        let nobody = HashSet::new();
        let mut grants = Vec::new();
        for (name, state) in files {
            // Where nobody is barred from anybody, what one has to wait for all have to.
            let mut all_wait = false;
            for host in std::mem::take(&mut state.waiting) {
                let theirs = barred.get(&host).unwrap_or(&nobody);
                let source = if all_wait { None } else { state.source(&host, theirs, busy) };
                match source {
                    None => {
                        all_wait = barred.is_empty();
                        state.waiting.push_back(host);
                    }
                    Some(source) => {
                        if let Source::Peer(peer) = &source {
                            *busy.entry(peer.clone()).or_default() += 1;
                        }
                        // Nobody waits for a host that no other could fetch from, as it seems.
                        let late = theirs.len() >= ENOUGH;
                        state.moving.insert(host.clone(), Moving { source: source.clone(), late });
                        grants.push(Grant { host, file: name.clone(), source });
                    }
                }
            }
        }
        grants
    }
}

impl File {
    /// Whom a host may get the file from now; nobody means that it is worth waiting.
    fn source(&self, host: &str, barred: &HashSet<String>, busy: &HashMap<String, usize>) -> Option<Source> {
        if barred.len() >= ENOUGH {
            return Some(Source::Installer);
        }
        let load = |peer: &String| busy.get(peer).copied().unwrap_or(0);
        let may = |peer: &&String| *peer != host && !barred.contains(*peer);
        let idlest = self.holders.iter().filter(may).min_by_key(|peer| load(peer));
        match idlest {
            Some(peer) if load(peer) < WIDTH => Some(Source::Peer(peer.clone())),
            Some(_) => None,
            None if self.moving.iter().any(|(peer, moving)| !moving.late && may(&peer)) => None,
            None => Some(Source::Installer),
        }
    }
}

#[cfg(test)]
mod tests;
