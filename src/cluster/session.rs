//! Hosts of an inventory, connected and read.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use futures::future::{join_all, try_join_all};
use indexmap::IndexMap;
use tokio::sync::Semaphore;

use super::Observed;
use crate::{
    engine::{self, Lock},
    exit::Exit,
    facts::{self, Facts},
    inventory::{Become, Host, Inventory, Role},
    transport::{self, ConfigFile, Resolver, Script, Settings},
};

/// How many connections are opened at the same time: a handshake keeps a processor busy for about a millisecond, and
/// what a network between is asked to open at once has limits, too.
const HANDSHAKES: usize = 64;

/// A host to connect to.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    pub name: &'a str,
    /// The lock to take before anything is read; none for a host that is only read.
    pub lock: Option<&'a Lock>,
}

/// Connections to hosts, and what was observed of them.
#[derive(Default)]
pub struct Session {
    pub hosts: IndexMap<String, Arc<dyn transport::Host>>,
    pub facts: Observed,
    /// The hosts that could not be reached or used.
    pub unreached: Vec<Unreached>,
}

/// A host that cannot be reached or used.
#[derive(Debug)]
pub struct Unreached {
    pub host: String,
    pub why: Unusable,
}

/// Why a host cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Unusable {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Host(#[from] facts::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lock(#[from] engine::Error),
}

impl From<transport::Error> for Unusable {
    fn from(error: transport::Error) -> Self {
        Unusable::Host(error.into())
    }
}

impl Unusable {
    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Unusable::Host(facts::Error::Transport(error)) => error.exit(),
            Unusable::Host(facts::Error::Unfit { .. }) => Exit::Failed,
            Unusable::Lock(error) => error.exit(),
        }
    }
}

impl Session {
    /// Connects to hosts at the same time and asks each for its facts, under its lock if it is to be locked: one
    /// script. A host that does not answer well holds up nobody; it is among the `unreached`.
    ///
    /// # Errors
    /// Only [`engine::Error::Locked`]: where somebody else is at work nothing is begun.
    pub async fn open(
        inventory: &Inventory,
        home: &Path,
        visits: &[Visit<'_>],
    ) -> Result<Session, engine::Error> {
        let (resolver, gate) = (&Resolver::default(), &Semaphore::new(HANDSHAKES));
        let visited = inventory.hosts.iter().filter_map(|(name, host)| {
            let visit = visits.iter().find(|visit| visit.name == name)?;
            Some((name, host, visit.lock))
        });
        let attempts = visited.map(|(name, host, lock)| async move {
            let answer = async {
                let target = resolver.resolve(&settings(inventory, name, host, home)).await?;
                let host = {
                    // The gate is never closed.
                    let _turn = gate.acquire().await;
                    transport::connect(&target).await?
                };
                let facts = read(&*host, lock).await?;
                Ok::<_, Unusable>((host, facts))
            };
            (name.clone(), answer.await)
        });
        let mut session = Session::default();
        for (name, read) in join_all(attempts).await {
            match read {
                Ok((host, facts)) => {
                    session.hosts.insert(name.clone(), host);
                    session.facts.insert(name, facts);
                }
                Err(Unusable::Lock(locked @ engine::Error::Locked { .. })) => return Err(locked),
                Err(why) => session.unreached.push(Unreached { host: name, why }),
            }
        }
        Ok(session)
    }

    /// Gives up the hosts that cannot become nodes.
    pub fn keep_fit(&mut self) {
        let unfit: Vec<Unreached> =
            self.facts.iter().filter_map(|(name, facts)| unfit(name, facts)).collect();
        for Unreached { host, .. } in &unfit {
            self.hosts.shift_remove(host);
            self.facts.shift_remove(host);
        }
        self.unreached.extend(unfit);
    }

    /// The control planes that were reached, in the order of the inventory.
    pub fn control_planes(&self, inventory: &Inventory) -> Vec<Arc<dyn transport::Host>> {
        let names = inventory.with_role(Role::ControlPlane).map(|(name, _)| name);
        names.filter_map(|name| self.hosts.get(name).cloned()).collect()
    }

    /// How many scripts and files each host was given so far.
    pub fn exchanges(&self) -> BTreeMap<String, usize> {
        self.hosts.iter().map(|(name, host)| (name.clone(), host.exchanges())).collect()
    }

    /// Asks hosts for their facts again, on the connections there are.
    pub async fn refresh(&mut self, names: impl IntoIterator<Item = &str>) {
        let hosts =
            names.into_iter().filter_map(|name| Some((name.to_string(), self.hosts.get(name)?.clone())));
        let answers = hosts.map(|(name, host)| async move { (name, read(&*host, None).await) });
        for (name, answer) in join_all(answers).await {
            // What a host was is known; one that was lost since then is no news to who asks.
            if let Ok(facts) = answer {
                self.facts.insert(name, facts);
            }
        }
    }

    /// How each host is connected to, for what only needs the address and the key.
    ///
    /// # Errors
    /// The first mistake in OpenSSH's configuration.
    pub async fn targets(
        inventory: &Inventory,
        home: &Path,
    ) -> Result<Vec<transport::Target>, transport::Error> {
        let resolver = &Resolver::default();
        let targets = inventory.hosts.iter().map(|(name, host)| async move {
            resolver.resolve(&settings(inventory, name, host, home)).await
        });
        try_join_all(targets).await
    }
}

async fn read(host: &dyn transport::Host, lock: Option<&Lock>) -> Result<Facts, Unusable> {
    let text = lock.map(Lock::script).unwrap_or_default() + facts::SCRIPT;
    let output = host.run(Script::new(text).timeout(facts::TIMEOUT)).await?;
    if let Some(lock) = lock {
        Lock::taken(host.name(), &output)?;
        host.relock(lock.again()).await;
    }
    Ok(Facts::answered(host, output)?)
}

fn unfit(name: &str, facts: &Facts) -> Option<Unreached> {
    let (reason, help) = facts.fit().err()?;
    let why = facts::Error::Unfit { host: name.to_string(), reason, help };
    Some(Unreached { host: name.to_string(), why: why.into() })
}

/// What an inventory says of how a host is connected to.
fn settings(inventory: &Inventory, name: &str, host: &Host, home: &Path) -> Settings {
    let login = inventory.login(host, home);
    Settings {
        name: name.to_owned(),
        address: login.address.to_string(),
        port: login.port,
        user: login.user,
        key: login.key,
        r#become: login.becoming.map(|becoming| match becoming {
            Become::Root => transport::Become::Root,
            Become::Sudo => transport::Become::Sudo { password: None },
        }),
        known_hosts: login.known_hosts,
        jump: login.jump,
        config: match login.config {
            None => ConfigFile::Default,
            Some(path) if path == Path::new("none") => ConfigFile::None,
            Some(path) => ConfigFile::File(path),
        },
        network_namespace: login.network_namespace,
        connect_timeout: login.connect_timeout,
        keepalive: login.keepalive,
    }
}
