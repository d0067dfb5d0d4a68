//! Hosts of an inventory, connected and read.

use std::{path::Path, sync::Arc, time::Duration};

use futures::future::join_all;
use indexmap::IndexMap;
use secrecy::SecretString;
use tokio::sync::Semaphore;

use super::Observed;
use crate::{
    engine::{self, Lock},
    exit::Exit,
    facts::{self, Facts},
    inventory::{Become, Host, Inventory},
    transport::{self, Script},
};

/// How many connections are opened at the same time: a handshake keeps a processor busy for about a millisecond, and
/// what a network between is asked to open at once has limits, too.
const HANDSHAKES: usize = 64;

/// How long a host may take to answer what it is.
const FACTS_TIMEOUT: Duration = Duration::from_secs(30);

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
        let targets = Session::targets(inventory, home);
        let visited = targets.iter().filter_map(|target| {
            let visit = visits.iter().find(|visit| visit.name == target.name)?;
            Some((target, visit.lock))
        });
        let gate = &Semaphore::new(HANDSHAKES);
        let attempts = visited.map(|(target, lock)| async move {
            let connected = {
                // The gate is never closed.
                let _turn = gate.acquire().await;
                transport::connect(target).await
            };
            let read = match connected {
                Ok(host) => read(&*host, lock).await.map(|facts| (host, facts)),
                Err(error) => Err(error.into()),
            };
            (target.name.clone(), read)
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
    pub fn targets(inventory: &Inventory, home: &Path) -> Vec<transport::Target> {
        inventory.hosts.iter().map(|(name, host)| target(inventory, name, host, home)).collect()
    }
}

async fn read(host: &dyn transport::Host, lock: Option<&Lock>) -> Result<Facts, Unusable> {
    let text = lock.map(Lock::script).unwrap_or_default() + facts::SCRIPT;
    let output = host.run(Script::new(text).timeout(FACTS_TIMEOUT)).await?;
    if lock.is_some() {
        Lock::taken(host.name(), &output)?;
    }
    Ok(Facts::parse(&String::from_utf8_lossy(&output.stdout)))
}

fn unfit(name: &str, facts: &Facts) -> Option<Unreached> {
    let (reason, help) = facts.fit().err()?;
    let why = facts::Error::Unfit { host: name.to_string(), reason, help };
    Some(Unreached { host: name.to_string(), why: why.into() })
}

/// How a host of the inventory is connected to. A password for sudo comes from the environment.
pub(super) fn target(inventory: &Inventory, name: &str, host: &Host, home: &Path) -> transport::Target {
    let login = inventory.login(host, home);
    let mut target = transport::Target::new(name, login.address.to_string(), login.user);
    target.port = login.port;
    target.keys = vec![login.key];
    target.r#become = match login.becoming {
        Become::Root => transport::Become::Root,
        Become::Sudo => transport::Become::Sudo {
            password: std::env::var("HOIST_SUDO_PASSWORD").ok().map(SecretString::from),
        },
    };
    target.known_hosts = vec![login.known_hosts];
    target.network_namespace = login.network_namespace;
    target
}
