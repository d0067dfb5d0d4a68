//! What hosts are in the cluster, against what the inventory has them for: a node becomes no control plane, and a control
//! plane nothing else, while it lives.

use super::{Observed, first};
use crate::{
    facts::Kubernetes,
    inventory::{Host, Inventory, Role},
};

/// A living host would be thrown out of the cluster, or a part of the cluster be left with nobody to see to it.
#[derive(Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum OtherRole {
    #[error("{host} is a node of the cluster and no control plane, and the inventory has it for one")]
    #[diagnostic(help(
        "nothing was changed, for kubeadm makes a control plane of no node that lives: set its `roles` back; or run `kubectl \
         drain {host} --ignore-daemonsets`, then `kubeadm reset --force` on it, then `kubectl delete node {host}`, and try again"
    ))]
    NoControlPlane { host: String },
    #[error("{host} has an API server and no /etc/kubernetes/admin.conf")]
    #[diagnostic(help(
        "nothing was changed, for without that file it would be taken for a lost host and be made anew: make the file with \
         `kubeadm init phase kubeconfig admin --config /etc/kubernetes/kubeadm.yaml` on {host}, then try again"
    ))]
    NoCredentials { host: String },
    #[error("{host} has an API server, and the inventory does not have it for a control plane")]
    #[diagnostic(help(
        "nothing was changed, for its API server, its etcd and its keeper of the virtual address would go on with nobody to \
         see to them: set its `roles` back; or run `systemctl disable --now keepalived` on it first, then `kubectl drain {host} \
         --ignore-daemonsets`, then on it `kubeadm reset --force` and `systemctl disable --now haproxy`, then `kubectl delete \
         node {host}`, and try again"
    ))]
    StillControlPlane { host: String },
}

/// Compares the hosts that a run changes with what they are. What is silent is passed over, and so is what kubeadm was killed
/// at, which is made anew anyway, and a node of another cluster, of which preflight tells.
///
/// # Errors
/// The first host that is something else.
pub fn same_roles(inventory: &Inventory, facts: &Observed, changed: &[&str]) -> Result<(), OtherRole> {
    let speaker = first(inventory, facts).and_then(|name| Some(&facts.get(name)?.kubernetes));
    for (name, host) in inventory.hosts.iter().filter(|(name, _)| changed.contains(&name.as_str())) {
        let Some(own) = facts.get(name).map(|facts| &facts.kubernetes) else { continue };
        if is_foreign(inventory, own, speaker) {
            continue;
        }
        let (wanted, host) = (host.has(Role::ControlPlane), name.clone());
        match own {
            Kubernetes { api_server: true, .. } if !wanted => {
                return Err(OtherRole::StillControlPlane { host });
            }
            Kubernetes { api_server: true, joined: true, control_plane: false, .. } => {
                return Err(OtherRole::NoCredentials { host });
            }
            // Where no control plane lives, whose node it is cannot be told; nor is any cluster begun then.
            Kubernetes { joined: true, control_plane: false, .. } if wanted && speaker.is_some() => {
                return Err(OtherRole::NoControlPlane { host });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether a host says that it is in another cluster, or has another authority than the control plane that speaks.
fn is_foreign(inventory: &Inventory, own: &Kubernetes, speaker: Option<&Kubernetes>) -> bool {
    let differ = |one: &str, other: &str| !one.is_empty() && !other.is_empty() && one != other;
    differ(&own.cluster, &inventory.cluster.name)
        || speaker.is_some_and(|speaker| differ(&own.authority, &speaker.authority))
}

/// Of the nodes that the cluster has for control planes, those that the inventory has not. In the order of the nodes.
pub fn unlisted<'a>(inventory: &Inventory, control_planes: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let is_listed =
        |name: &str| inventory.hosts.get(name).is_some_and(|host: &Host| host.has(Role::ControlPlane));
    control_planes.into_iter().filter(|name| !is_listed(name)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use miette::Diagnostic;

    use super::*;
    use crate::{facts::Facts, inventory};

    const TEXT: &str = "cluster: {name: office, kubernetes: \"1.20.2\", etcd: external}\nhosts:\n  \
         cp1: {address: 10.0.0.1, roles: [control-plane]}\n  cp2: {address: 10.0.0.2, roles: [control-plane, worker]}\n  \
         w1: {address: 10.0.0.3, roles: [worker, etcd]}\n";

    /// A host by letters: `k` has a kubelet's credentials, `a` an administrator's, `s` an API server; `x` is what kubeadm was
    /// killed at, `f` has another authority, `n` another cluster's name.
    fn host(letters: &str) -> Kubernetes {
        let has = |letter| letters.contains(letter);
        Kubernetes {
            joined: has('k'),
            control_plane: has('a'),
            api_server: has('s'),
            interrupted: has('x'),
            authority: if has('f') { "bb" } else { "aa" }.to_owned(),
            cluster: if has('n') { "theirs" } else { "office" }.to_owned(),
            ..Kubernetes::default()
        }
    }

    /// What is said of cp1, cp2 and w1; one that is silent is `-`.
    fn answer(hosts: [&str; 3], changed: &[&str]) -> Result<(), OtherRole> {
        let inventory = inventory::parse("t.yaml", TEXT).unwrap().inventory;
        let facts = ["cp1", "cp2", "w1"].into_iter().zip(hosts).filter(|(_, letters)| *letters != "-");
        let facts = facts.map(|(name, letters)| {
            (name.to_owned(), Facts { kubernetes: host(letters), ..Facts::default() })
        });
        same_roles(&inventory, &facts.collect(), changed)
    }

    #[test]
    fn a_living_host_keeps_what_it_is() {
        const ALL: &[&str] = &["cp1", "cp2", "w1"];
        let node = |host: &str| Err(OtherRole::NoControlPlane { host: host.to_owned() });
        let bare = |host: &str| Err(OtherRole::NoCredentials { host: host.to_owned() });
        let still = |host: &str| Err(OtherRole::StillControlPlane { host: host.to_owned() });
        for (hosts, changed, expected) in [
            // All as it should be, begun, and not begun.
            (["kas", "kas", "k"], ALL, Ok(())),
            (["", "", ""], ALL, Ok(())),
            (["kas", "", ""], ALL, Ok(())),
            (["kas", "", "k"], &["cp2"], Ok(())),
            // A worker that shall be a control plane.
            (["kas", "k", "k"], ALL, node("cp2")),
            (["kas", "k", "k"], &["cp2"], node("cp2")),
            (["kas", "k", "k"], &["cp1", "w1"], Ok(())),
            (["", "k", "k"], ALL, Ok(())),
            // A living control plane without its administrator's credentials, be it the only one that answers.
            (["kas", "ks", "k"], ALL, bare("cp2")),
            (["ks", "-", "k"], ALL, bare("cp1")),
            (["kas", "ks", "k"], &["w1"], Ok(())),
            // A control plane that shall be none any more.
            (["kas", "kas", "kas"], ALL, still("w1")),
            (["kas", "kas", "ks"], ALL, still("w1")),
            (["-", "-", "kas"], &["w1"], still("w1")),
            (["kas", "kas", "kas"], &["cp1"], Ok(())),
            // A copy of the credentials is no API server.
            (["kas", "kas", "ka"], ALL, Ok(())),
            // What a run was killed at is undone by the next one.
            (["kas", "x", "x"], ALL, Ok(())),
            // Nobody knows what a silent host is.
            (["kas", "-", "-"], ALL, Ok(())),
            // Another cluster's.
            (["kas", "kf", "kasf"], ALL, Ok(())),
            (["kas", "kn", "kasn"], ALL, Ok(())),
        ] {
            assert_eq!(answer(hosts, changed), expected, "{hosts:?} {changed:?}");
        }
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        for (hosts, help) in [
            (
                ["kas", "k", "k"],
                "then `kubeadm reset --force` on it, then `kubectl delete node cp2`, and try again",
            ),
            (
                ["kas", "ks", "k"],
                "`kubeadm init phase kubeconfig admin --config /etc/kubernetes/kubeadm.yaml` on cp2",
            ),
            (
                ["kas", "kas", "kas"],
                "run `systemctl disable --now keepalived` on it first, then `kubectl drain w1",
            ),
        ] {
            let said = answer(hosts, &["cp1", "cp2", "w1"]).unwrap_err().help().unwrap().to_string();
            assert!(said.starts_with("nothing was changed, for ") && said.contains(help), "{said}");
        }
    }

    #[test]
    fn control_planes_of_the_cluster_that_the_inventory_lacks() {
        let inventory = inventory::parse("t.yaml", TEXT).unwrap().inventory;
        assert_eq!(unlisted(&inventory, ["cp1", "cp2"]), [] as [&str; 0]);
        assert_eq!(unlisted(&inventory, ["cp1", "cp9", "w1"]), ["cp9", "w1"]);
    }
}
