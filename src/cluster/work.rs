//! What a run is about: which hosts, which roles, and who only helps.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::Path,
};

use super::{
    Session, Unreached, Visit, etcd,
    guard::{Guard, Refusal},
    living, may_begin,
    members::NoBeginning,
    packages::{self, Pinned},
    targets,
};
use crate::{
    artifact::Index,
    engine::{
        self, Bystander, HostPlan, Library, Lock, Plan, RoleFile, Subject, Templates, Unread, compile_roles,
        observe_all, with_needs,
    },
    facts::Facts,
    inventory::{Host, Inventory, Role},
};

/// Which hosts are changed, and what is looked at on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The hosts, in the order of the inventory.
    pub hosts: Vec<String>,
    /// These roles of the library instead of those that a node of the cluster has. Then no cluster is begun, no other host
    /// gives anything, and hosts need not be fit to be nodes. Where none of the roles is of a cluster, no other host is asked
    /// for anything either.
    pub only: Option<Vec<String>>,
}

/// Hosts connected and read, and what each shall be.
pub struct Work {
    pub session: Session,
    pub subjects: Vec<Subject>,
    pub bystanders: Vec<Bystander>,
    /// Whether a cluster is touched at all.
    pub guarded: bool,
}

/// Why there is nothing to work on.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum WorkError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Engine(#[from] engine::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Packages(#[from] packages::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Guarded(#[from] Refusal),
    /// No cluster may be begun; `unreached` are the hosts that could not be reached or used.
    #[error("{why}")]
    #[diagnostic(forward(why))]
    Refused { why: NoBeginning, unreached: Vec<Unreached> },
}

impl Scope {
    /// The hosts to connect to. Control planes and members of etcd that are not changed are visited as well, because they
    /// know whether there is a cluster and have what others need to join it. They are not locked: all they are asked for
    /// is a token or a certificate, and two of them at once do no harm. With `only` some roles, control planes are asked
    /// whether these may be carried out, where the run is `guarded`.
    fn visits<'a>(&self, inventory: &'a Inventory, lock: Option<&'a Lock>, guarded: bool) -> Vec<Visit<'a>> {
        let hosts = inventory.hosts.iter().map(|(name, host)| (name.as_str(), host));
        hosts
            .filter_map(|(name, host)| match self.changes(name) {
                true => Some(Visit { name, lock }),
                false if self.asks(inventory, host, guarded) => Some(Visit { name, lock: None }),
                false => None,
            })
            .collect()
    }

    fn asks(&self, inventory: &Inventory, host: &Host, guarded: bool) -> bool {
        match self.only {
            None => knows(inventory, host),
            Some(_) => guarded && host.has(Role::ControlPlane),
        }
    }

    /// Whether a host takes part in the run: it is changed, or may give something.
    fn involves(&self, name: &str) -> bool {
        self.only.is_none() || self.changes(name)
    }

    fn changes(&self, name: &str) -> bool {
        self.hosts.iter().any(|host| host == name)
    }
}

impl Work {
    /// Connects, reads, and compiles what each host shall be. With `lock` the hosts that are to be changed are locked.
    /// `index` may be missing only where `only` some roles are looked at, which then cannot name any artifact.
    ///
    /// # Errors
    /// Somebody else at work, a cluster that must not be begun, mistakes in roles. Hosts that cannot be reached or used
    /// are no error but among the session's `unreached`.
    pub async fn open(
        inventory: &Inventory,
        home: &Path,
        scope: &Scope,
        index: Option<&Index>,
        library: &Library,
        lock: Option<&Lock>,
    ) -> Result<Work, WorkError> {
        let guard = Guard::of(library, scope.only.as_deref())?;
        let visits = scope.visits(inventory, lock, guard.is_needed());
        let mut session = Session::open(inventory, home, &visits).await?;
        if scope.only.is_none() {
            session.keep_fit();
        }
        let changed: Vec<&str> = scope.hosts.iter().map(String::as_str).collect();
        // First: a control plane that lacks a file is not one that was lost.
        guard.judge(inventory, &session, &changed)?;
        if scope.only.is_none() {
            let silent: Vec<&str> = session.unreached.iter().map(|lost| lost.host.as_str()).collect();
            if let Err(why) = may_begin(inventory, &session.facts, &silent, &changed) {
                return Err(WorkError::Refused { why, unreached: session.unreached });
            }
        }
        guard.ask(inventory, &session, &changed).await?;
        let templates = Templates::new(library.clone());
        let mut subjects = Vec::new();
        let lost = session.unreached.iter().map(|lost| lost.host.as_str());
        let mut bystanders: Vec<Bystander> =
            lost.filter(|name| scope.involves(name)).map(|name| absent(inventory, scope, name)).collect();
        let mut read: HashMap<Vec<String>, Vec<(String, RoleFile)>> = HashMap::new();
        let mut pinned = Pinned::new(inventory, index);
        for target in targets(inventory, &session.facts, index, scope.only.as_deref()) {
            let Some(host) = session.hosts.get(&target.name) else { continue };
            if scope.changes(&target.name) {
                let files = match read.entry(target.roles.clone()) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => new.insert(with_needs(library, &target.roles)?),
                };
                let mut roles = compile_roles(files, library, &templates, &target)?;
                pinned.give(&mut roles, &target.name, &session.facts)?;
                subjects.push(Subject { roles, host: host.clone(), target });
            } else if scope.involves(&target.name) {
                let mut all =
                    living(inventory, &session.facts).chain(etcd::living(inventory, &session.facts));
                let lives = all.any(|name| name == target.name);
                let host = lives.then(|| host.clone());
                bystanders.push(Bystander { name: target.name, roles: target.roles, host });
            }
        }
        Ok(Work { session, subjects, bystanders, guarded: guard.is_needed() })
    }

    /// Compares all statements with the hosts. A host that is lost meanwhile is taken out and is among the `unreached`.
    pub async fn plan(&mut self, contents: bool, forks: usize) -> Plan {
        let mut plans: Vec<HostPlan> = Vec::new();
        let mut left: Vec<Subject> = Vec::new();
        let seen = observe_all(&self.subjects, contents, forks).await;
        for (subject, seen) in std::mem::take(&mut self.subjects).into_iter().zip(seen) {
            match seen {
                Ok(plan) => {
                    plans.push(plan);
                    left.push(subject);
                }
                Err(error) => {
                    let host = subject.target.name;
                    self.bystanders.push(Bystander {
                        name: host.clone(),
                        roles: subject.target.roles,
                        host: None,
                    });
                    self.session.unreached.push(Unreached { host, why: error.into() });
                }
            }
        }
        self.subjects = left;
        let unread = self.session.unreached.iter();
        let unread = unread.map(|lost| Unread { host: lost.host.clone(), reason: lost.why.to_string() });
        Plan { hosts: plans, unread: unread.collect(), ..Plan::default() }
    }
}

/// Whether a host knows something that others need.
fn knows(inventory: &Inventory, host: &Host) -> bool {
    host.has(Role::ControlPlane) || host.has(inventory.etcd_role())
}

/// A host that does not answer. Its values are missed by name.
fn absent(inventory: &Inventory, scope: &Scope, name: &str) -> Bystander {
    let roles = match (&scope.only, inventory.hosts.get(name)) {
        (Some(only), _) => only.clone(),
        (None, Some(host)) => super::targets::roles(inventory, host, &Facts::default()),
        (None, None) => Vec::new(),
    };
    Bystander { name: name.to_string(), roles, host: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;

    #[test]
    fn only_hosts_that_are_changed_are_locked_and_control_planes_are_always_asked() {
        let lab = inventory::parse("lab.yaml", include_str!("../../inventory/lab.yaml")).unwrap().inventory;
        let lock = Lock::new("hoist apply");
        let visits = |hosts: &[&str], only: Option<&str>| {
            let scope = Scope {
                hosts: hosts.iter().map(ToString::to_string).collect(),
                only: only.map(|role| vec![role.to_string()]),
            };
            let visits = scope.visits(&lab, Some(&lock), only != Some("base"));
            let words = visits.iter().map(|visit| match visit.lock {
                Some(_) => format!("{}!", visit.name),
                None => visit.name.to_string(),
            });
            words.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(visits(&["cp1", "w1", "w2"], None), "cp1! w1! w2!");
        assert_eq!(visits(&["w2"], None), "cp1 w2!");
        assert_eq!(visits(&["w2"], Some("base")), "w2!");
        assert_eq!(visits(&["w2"], Some("worker")), "cp1 w2!");
        assert_eq!(visits(&["cp1"], None), "cp1!");
        let text = include_str!("../../tests/fixtures/cluster/etcd.yaml");
        let etcd = inventory::parse("etcd.yaml", text).unwrap().inventory;
        let scope = Scope { hosts: vec!["etcd2".to_string()], only: None };
        let names: Vec<&str> = scope.visits(&etcd, None, true).iter().map(|visit| visit.name).collect();
        assert_eq!(names, ["etcd1", "etcd2", "etcd3", "cp1"], "members know the membership");
        let scope = Scope { only: Some(vec!["etcd".to_string()]), ..scope };
        let names: Vec<&str> = scope.visits(&etcd, None, true).iter().map(|visit| visit.name).collect();
        assert_eq!(names, ["etcd2", "cp1"], "control planes know which cluster it is");
    }
}
