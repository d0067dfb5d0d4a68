//! Which hosts belong to the cluster already, and whether a new one may be begun.

use indexmap::IndexMap;

use crate::{
    exit::Exit,
    facts::Facts,
    inventory::{Inventory, Role},
};

/// Facts by host. Hosts that could not be reached are absent.
pub type Observed = IndexMap<String, Facts>;

/// The control planes that live, in the order of the inventory.
pub fn living<'a>(inventory: &'a Inventory, facts: &Observed) -> impl Iterator<Item = &'a str> {
    let lives = |name: &&str| facts.get(*name).is_some_and(|facts| facts.kubernetes.control_plane);
    inventory.with_role(Role::ControlPlane).map(|(name, _)| name).filter(lives)
}

/// The control plane that speaks for the cluster in this run: the first living one, whichever that is.
pub fn first<'a>(inventory: &'a Inventory, facts: &Observed) -> Option<&'a str> {
    living(inventory, facts).next()
}

/// Why no cluster may be begun.
#[derive(Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum NoBeginning {
    #[error("no control plane that answers has a cluster, and {}, which cannot be used, may have one", silent.join(", "))]
    #[diagnostic(help(
        "nothing was changed, for a second cluster beside a living one would tear everything in two: bring it back; or \
         change only hosts that are no control planes, such as with `--limit worker`"
    ))]
    MayLive { silent: Vec<String> },
    #[error("no control plane lives, but {} belong to a cluster: a new one would abandon them", joined.join(", "))]
    #[diagnostic(help(
        "nothing was changed: restore the control plane from its backup; or, to give that cluster up, run `kubeadm \
         reset --force` on each of them and try again"
    ))]
    Abandons { joined: Vec<String> },
}

impl NoBeginning {
    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        match self {
            NoBeginning::MayLive { .. } => Exit::Unavailable,
            NoBeginning::Abandons { .. } => Exit::Failed,
        }
    }
}

/// Whether a run that changes these hosts may go on: either it begins no cluster, or there can be none that it does
/// not know of.
///
/// # Errors
/// Who may have a cluster, or belongs to one.
pub fn may_begin(
    inventory: &Inventory,
    facts: &Observed,
    silent: &[&str],
    changed: &[&str],
) -> Result<(), NoBeginning> {
    let control_plane =
        |name: &str| inventory.hosts.get(name).is_some_and(|host| host.has(Role::ControlPlane));
    if first(inventory, facts).is_some() || !changed.iter().any(|name| control_plane(name)) {
        return Ok(());
    }
    let silent: Vec<String> =
        silent.iter().filter(|name| control_plane(name)).map(ToString::to_string).collect();
    if !silent.is_empty() {
        return Err(NoBeginning::MayLive { silent });
    }
    let joined: Vec<String> =
        facts.iter().filter(|(_, facts)| facts.kubernetes.joined).map(|(name, _)| name.clone()).collect();
    if joined.is_empty() { Ok(()) } else { Err(NoBeginning::Abandons { joined }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{facts::Kubernetes, inventory};

    fn lab() -> Inventory {
        inventory::parse("lab.yaml", include_str!("../../inventory/lab.yaml")).unwrap().inventory
    }

    /// Facts of hosts by what they are: `-` nothing yet, `j` joined, `c` a control plane, ` ` silent.
    fn facts(hosts: &str) -> Observed {
        let state = |(name, what): (&str, char)| {
            let kubernetes =
                Kubernetes { joined: what != '-', control_plane: what == 'c', ..Kubernetes::default() };
            (what != ' ').then(|| (name.to_string(), Facts { kubernetes, ..Facts::default() }))
        };
        ["cp1", "w1", "w2"].into_iter().zip(hosts.chars()).filter_map(state).collect()
    }

    #[test]
    fn the_living_one_speaks() {
        assert_eq!(first(&lab(), &facts("---")), None);
        assert_eq!(first(&lab(), &facts("cjj")), Some("cp1"));
        assert_eq!(first(&lab(), &facts(" jj")), None);
    }

    #[test]
    fn no_cluster_is_begun_beside_one_that_may_live_nor_over_its_members() {
        let all: &[&str] = &["cp1", "w1", "w2"];
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let may_live = || Err(NoBeginning::MayLive { silent: names(&["cp1"]) });
        for (hosts, silent, changed, expected) in [
            ("---", &[][..], all, Ok(())),
            ("cjj", &[], all, Ok(())),
            ("c--", &[], all, Ok(())),
            // A worker that is off does not hold up the others, nor a first installation.
            ("cj ", &["w2"], all, Ok(())),
            ("-- ", &["w2"], all, Ok(())),
            (" jj", &["cp1"], all, may_live()),
            (" --", &["cp1"], all, may_live()),
            ("-jj", &[], all, Err(NoBeginning::Abandons { joined: names(&["w1", "w2"]) })),
            // Without a control plane among the hosts that are changed nothing is begun.
            (" jj", &["cp1"], &["w1", "w2"], Ok(())),
            ("-jj", &[], &["w1"], Ok(())),
        ] {
            assert_eq!(may_begin(&lab(), &facts(hosts), silent, changed), expected, "{hosts:?} {changed:?}");
        }
    }

    #[test]
    fn one_that_lives_is_enough() {
        let two = include_str!("../../inventory/lab.yaml");
        let mut inventory = inventory::parse("lab.yaml", two).unwrap().inventory;
        inventory.hosts["w1"].roles = vec![Role::ControlPlane];
        let facts = facts(" cj");
        assert_eq!(first(&inventory, &facts), Some("w1"));
        assert_eq!(may_begin(&inventory, &facts, &["cp1"], &["cp1", "w1", "w2"]), Ok(()));
    }
}
