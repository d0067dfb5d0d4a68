//! Which hosts belong to the cluster already, and whether a new one may be begun.

use indexmap::IndexMap;

use super::etcd;
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

/// The hosts with certificates that do not renew themselves: control planes, and members of etcd on hosts of its own. In the
/// order of the inventory.
pub fn certified(inventory: &Inventory) -> impl Iterator<Item = &str> {
    let certified = |name: &&str| {
        inventory.hosts.get(*name).is_some_and(|host| host.has(Role::ControlPlane))
            || etcd::hosts(inventory).any(|own| own == *name)
    };
    inventory.hosts.keys().map(String::as_str).filter(certified)
}

/// Those of them that are already all that they shall be.
pub fn living_certified<'a>(inventory: &'a Inventory, facts: &'a Observed) -> impl Iterator<Item = &'a str> {
    let is_whole = |name: &&str| {
        let (Some(host), Some(facts)) = (inventory.hosts.get(*name), facts.get(*name)) else { return false };
        (!host.has(Role::ControlPlane) || facts.kubernetes.control_plane)
            && (!etcd::hosts(inventory).any(|own| own == *name) || facts.etcd.is_member())
    };
    certified(inventory).filter(is_whole)
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
    #[error("no host that answers has etcd, and {}, which cannot be used, may have it", silent.join(", "))]
    #[diagnostic(help(
        "nothing was changed, for a second etcd beside a living one would tear the cluster in two: bring it back; or \
         change only hosts that have nothing to do with etcd, such as with `--limit worker`"
    ))]
    EtcdMayLive { silent: Vec<String> },
    #[error("etcd is begun by all of its hosts together, and {} are left out", left_out.join(", "))]
    #[diagnostic(help("nothing was changed: add them to --limit, or leave --limit out"))]
    EtcdInPart { left_out: Vec<String> },
    #[error("no host has etcd's data, but {} belong to a cluster: a new etcd would know nothing of it", joined.join(", "))]
    #[diagnostic(help(
        "nothing was changed: restore etcd from a snapshot (docs/operations.md); or, to give that cluster up, run \
         `kubeadm reset --force` on each of them and try again"
    ))]
    EtcdAbandons { joined: Vec<String> },
    #[error("etcd on {} holds a cluster, but no control plane lives: a new one would not have its keys", members.join(", "))]
    #[diagnostic(help(
        "nothing was changed: restore /etc/kubernetes/pki of a control plane from its backup; or, to give that cluster up, \
         empty etcd on one of its hosts with `etcdctl del '' --prefix`, and try again"
    ))]
    EtcdInUse { members: Vec<String> },
}

impl NoBeginning {
    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        match self {
            NoBeginning::MayLive { .. } | NoBeginning::EtcdMayLive { .. } => Exit::Unavailable,
            NoBeginning::EtcdInPart { .. } => Exit::Usage,
            NoBeginning::Abandons { .. }
            | NoBeginning::EtcdAbandons { .. }
            | NoBeginning::EtcdInUse { .. } => Exit::Failed,
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
    may_begin_etcd(inventory, facts, silent, changed)?;
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
    let joined = joined(facts);
    if !joined.is_empty() {
        return Err(NoBeginning::Abandons { joined });
    }
    // A run that was interrupted while it began the cluster has kept its keys, and goes on with them.
    let interrupted = facts.values().any(|facts| facts.kubernetes.interrupted);
    let used = |name: &&str| facts.get(*name).is_some_and(|facts| facts.etcd.used);
    let members: Vec<String> = etcd::living(inventory, facts).filter(used).map(String::from).collect();
    if members.is_empty() || interrupted { Ok(()) } else { Err(NoBeginning::EtcdInUse { members }) }
}

fn joined(facts: &Observed) -> Vec<String> {
    facts.iter().filter(|(_, facts)| facts.kubernetes.joined).map(|(name, _)| name.clone()).collect()
}

/// The same for etcd on hosts of its own.
fn may_begin_etcd(
    inventory: &Inventory,
    facts: &Observed,
    silent: &[&str],
    changed: &[&str],
) -> Result<(), NoBeginning> {
    let hosts: Vec<&str> = etcd::hosts(inventory).collect();
    if etcd::living(inventory, facts).next().is_some() || !hosts.iter().any(|name| changed.contains(name)) {
        return Ok(());
    }
    let those = |wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
        hosts.iter().filter(|name| wanted(name)).map(ToString::to_string).collect()
    };
    let silent = those(&|name| silent.contains(&name));
    if !silent.is_empty() {
        return Err(NoBeginning::EtcdMayLive { silent });
    }
    let joined = joined(facts);
    if !joined.is_empty() {
        return Err(NoBeginning::EtcdAbandons { joined });
    }
    let left_out = those(&|name| !changed.contains(&name));
    if left_out.is_empty() { Ok(()) } else { Err(NoBeginning::EtcdInPart { left_out }) }
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

    /// etcd1 to etcd3: `-` nothing, `m` a member, `u` one that Kubernetes has used, ` ` silent. Then cp1 and w1 as above,
    /// and `k` for a control plane that a run was killed at.
    fn with_etcd(hosts: &str) -> Observed {
        let state = |(name, what): (&str, char)| {
            let mut facts = Facts::default();
            facts.etcd.data = matches!(what, 'm' | 'u');
            facts.etcd.used = what == 'u';
            facts.kubernetes.joined = matches!(what, 'j' | 'c');
            facts.kubernetes.control_plane = what == 'c';
            facts.kubernetes.interrupted = what == 'k';
            (what != ' ').then(|| (name.to_string(), facts))
        };
        ["etcd1", "etcd2", "etcd3", "cp1", "w1"].into_iter().zip(hosts.chars()).filter_map(state).collect()
    }

    #[test]
    fn no_etcd_is_begun_beside_one_that_may_live_nor_under_a_cluster() {
        let text = include_str!("../../tests/fixtures/cluster/etcd.yaml");
        let inventory = inventory::parse("etcd.yaml", text).unwrap().inventory;
        let all: &[&str] = &["etcd1", "etcd2", "etcd3", "cp1", "w1"];
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (hosts, silent, changed, expected) in [
            ("-----", &[][..], all, Ok(())),
            ("mm-cj", &[], all, Ok(())),
            // Begun and not finished; and finished, but nobody has used it.
            ("mmm--", &[], all, Ok(())),
            // One that is silent may be a member.
            ("-- --", &["etcd3"], all, Err(NoBeginning::EtcdMayLive { silent: names(&["etcd3"]) })),
            ("m- --", &["etcd3"], all, Ok(())),
            ("-- --", &["etcd3"], &["w1"], Ok(())),
            ("---cj", &[], all, Err(NoBeginning::EtcdAbandons { joined: names(&["cp1", "w1"]) })),
            (
                "-----",
                &[],
                &["etcd1", "cp1"],
                Err(NoBeginning::EtcdInPart { left_out: names(&["etcd2", "etcd3"]) }),
            ),
            // A cluster is in etcd and nobody has its keys, except who was killed when it began it.
            ("uuu--", &[], all, Err(NoBeginning::EtcdInUse { members: names(&["etcd1", "etcd2", "etcd3"]) })),
            ("uuuk-", &[], all, Ok(())),
            ("uuucj", &[], all, Ok(())),
            ("uuu--", &[], &["etcd1"], Ok(())),
        ] {
            assert_eq!(
                may_begin(&inventory, &with_etcd(hosts), silent, changed),
                expected,
                "{hosts:?} {changed:?}"
            );
        }
    }

    #[test]
    fn certificates_are_those_of_control_planes_and_of_etcd() {
        let text = include_str!("../../tests/fixtures/cluster/etcd.yaml");
        let mut inventory = inventory::parse("etcd.yaml", text).unwrap().inventory;
        let living = |inventory: &Inventory, hosts: &str| {
            living_certified(inventory, &with_etcd(hosts)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(certified(&inventory).collect::<Vec<_>>(), ["etcd1", "etcd2", "etcd3", "cp1"]);
        assert_eq!(living(&inventory, "uuucj"), "etcd1 etcd2 etcd3 cp1");
        assert_eq!(living(&inventory, "u- -j"), "etcd1");
        // A host that is both has to be both.
        inventory.hosts["cp1"].roles = vec![Role::ControlPlane, Role::Etcd];
        assert_eq!(living(&inventory, "uuucj"), "etcd1 etcd2 etcd3");
        let lab = lab();
        assert_eq!(certified(&lab).collect::<Vec<_>>(), ["cp1"]);
        assert_eq!(living_certified(&lab, &facts("cjj")).collect::<Vec<_>>(), ["cp1"]);
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
