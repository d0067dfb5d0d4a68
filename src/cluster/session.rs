//! All hosts of an inventory, connected and observed.

use std::{path::Path, sync::Arc};

use futures::future::{join_all, try_join_all};
use indexmap::IndexMap;

use super::{Observed, targets};
use crate::{
    artifact::Index,
    engine::{self, Library, Subject, Templates, compile},
    exit::Exit,
    facts,
    inventory::{Become, Host, Inventory},
    transport::{self, ConfigFile, Resolver, Settings},
};

/// Connections to all hosts, and what was observed of them.
pub struct Session {
    pub hosts: IndexMap<String, Arc<dyn transport::Host>>,
    pub facts: Observed,
}

/// The hosts that could not be reached or used, all of them.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{} of {all} hosts cannot be used", failures.len())]
#[diagnostic(help("nothing was changed: a run begins only when every host of the inventory answers"))]
pub struct Unreached {
    pub all: usize,
    #[related]
    pub failures: Vec<facts::Error>,
}

impl Unreached {
    /// What the process ends with: a refused login weighs more than silence, because waiting does not cure it.
    pub fn exit(&self) -> Exit {
        let exits = self.failures.iter().map(|failure| match failure {
            facts::Error::Transport(error) => error.exit(),
            facts::Error::Unfit { .. } => Exit::Failed,
        });
        exits.max_by_key(|exit| *exit as u8).unwrap_or(Exit::Unavailable)
    }
}

impl Session {
    /// Connects to every host at the same time and asks each for its facts. `home` is what `~` means.
    ///
    /// # Errors
    /// Every host that did not answer well.
    pub async fn open(inventory: &Inventory, home: &Path) -> Result<Session, Unreached> {
        let all = inventory.hosts.len();
        let targets = Session::targets(inventory, home)
            .await
            .map_err(|error| Unreached { all, failures: vec![error.into()] })?;
        let attempts = targets.iter().map(|target| async move {
            let connection = transport::connect(target).await?;
            let facts = facts::gather(&*connection).await?;
            Ok::<_, facts::Error>((target.name.clone(), connection, facts))
        });
        let mut session = Session { hosts: IndexMap::new(), facts: Observed::new() };
        let mut failures = Vec::new();
        for attempt in join_all(attempts).await {
            match attempt {
                Ok((name, connection, facts)) => {
                    session.hosts.insert(name.clone(), connection);
                    session.facts.insert(name, facts);
                }
                Err(failure) => failures.push(failure),
            }
        }
        if failures.is_empty() { Ok(session) } else { Err(Unreached { all, failures }) }
    }

    /// Asks every host for its facts again, on the connections there are.
    ///
    /// # Errors
    /// Every host that did not answer well.
    pub async fn refresh(&mut self) -> Result<(), Unreached> {
        let answers = join_all(self.hosts.iter().map(|(name, host)| async move {
            facts::gather(&**host).await.map(|facts| (name.clone(), facts))
        }));
        let mut failures = Vec::new();
        for answer in answers.await {
            match answer {
                Ok((name, facts)) => {
                    self.facts.insert(name, facts);
                }
                Err(failure) => failures.push(failure),
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(Unreached { all: self.hosts.len(), failures }) }
    }

    /// What the engine works on.
    ///
    /// # Errors
    /// Mistakes in roles and templates.
    pub fn subjects(
        &self,
        inventory: &Inventory,
        index: &Index,
        library: &Library,
    ) -> Result<Vec<Subject>, engine::Error> {
        let templates = Templates::new(library.clone());
        let mut subjects = Vec::new();
        for target in targets(inventory, &self.facts, index) {
            let roles = compile(library, &templates, &target)?;
            if let Some(host) = self.hosts.get(&target.name) {
                subjects.push(Subject { roles, host: host.clone(), target });
            }
        }
        Ok(subjects)
    }

    /// How each host is connected to, in the order of the inventory.
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
