//! Hosts that belong to another cluster already, or still have something of one.

use indexmap::IndexMap;

use super::{
    Subject,
    finding::{Check, Finding},
    survey::Survey,
};
use crate::{
    cluster::etcd::other_etcds,
    facts::Facts,
    inventory::{Inventory, Role},
};

const FOREIGN: Check = Check {
    name: "foreign-cluster",
    checked: "traces of a cluster that is not this one",
    expected: "none, or a node of this cluster",
};

/// Distributions of Kubernetes that bring everything along, and how one gets rid of them.
const DISTRIBUTIONS: [(&str, &[&str], &str, &str); 4] = [
    ("k3s", &["k3s", "k3s-agent"], "/etc/rancher/k3s", "`k3s-uninstall.sh` or `k3s-agent-uninstall.sh`"),
    ("RKE2", &["rke2-server", "rke2-agent"], "/etc/rancher/rke2", "`rke2-uninstall.sh`"),
    ("k0s", &["k0scontroller", "k0sworker"], "/var/lib/k0s", "`k0s reset`"),
    ("MicroK8s", &["snap.microk8s.daemon-kubelite"], "/var/snap/microk8s", "`snap remove --purge microk8s`"),
];

/// What hoist's own roles put on a host before it joins.
const OWN: [&str; 1] = ["/etc/cni/net.d/10-bridge.conflist"];

const RESET: &str = "if nobody needs that cluster any more, `kubeadm reset --force` on the host, then remove \
                     /etc/cni/net.d and reboot; otherwise take the host out of the inventory";

const OTHER_ETCD: &str = "mend its address, take it out of the inventory, or remove its data if nobody needs them: \
                          docs/operations.md, \"etcd on hosts of its own\", tells how to see which host is the wrong one";

/// Whether this is what a finding is about.
pub fn is(finding: &Finding) -> bool {
    finding.check == FOREIGN.name
}

/// What facts tell of the nodes among the hosts: whose cluster theirs is can be told only by comparing them.
pub fn from_facts(inventory: &Inventory, hosts: &[Subject]) -> Vec<Finding> {
    let planes = || hosts.iter().filter(|host| is_control_plane(host));
    // The cluster of this inventory is the one that its first living control plane has.
    let speaker =
        planes().find(|host| !misnamed(inventory, host) && !host.facts.kubernetes.authority.is_empty());
    let asked = |name: &str| hosts.iter().any(|host| host.name == name);
    let whose = match speaker {
        Some(speaker) => {
            Whose::Ours { speaker: speaker.name, authority: &speaker.facts.kubernetes.authority }
        }
        None if inventory.with_role(Role::ControlPlane).all(|(name, _)| asked(name)) => Whose::Nobodys,
        None => Whose::Unknown,
    };
    let nodes = hosts.iter().filter(|host| host.facts.kubernetes.joined);
    nodes.map(|host| node(inventory, host, whose)).collect()
}

/// Which cluster a node can belong to.
#[derive(Clone, Copy)]
enum Whose<'a> {
    /// The one whose certificate authority the control plane `speaker` has.
    Ours { speaker: &'a str, authority: &'a str },
    /// None of this inventory: all of its control planes were asked, and none lives.
    Nobodys,
    /// Not all control planes were asked.
    Unknown,
}

fn is_control_plane(host: &Subject) -> bool {
    host.host.has(Role::ControlPlane) && host.facts.kubernetes.control_plane
}

/// Whether a control plane says itself that its cluster is another one.
fn misnamed(inventory: &Inventory, host: &Subject) -> bool {
    let cluster = &host.facts.kubernetes.cluster;
    host.facts.kubernetes.control_plane && !cluster.is_empty() && *cluster != inventory.cluster.name
}

fn node(inventory: &Inventory, host: &Subject, whose: Whose) -> Finding {
    let own = host.facts.kubernetes.authority.as_str();
    let short = |authority: &str| authority.get(..16).unwrap_or(authority).to_owned();
    if misnamed(inventory, host) {
        let cluster = &host.facts.kubernetes.cluster;
        let observed =
            format!("a control plane of the cluster `{cluster}`, not of `{}`", inventory.cluster.name);
        return FOREIGN.error(
            host.name,
            observed,
            format!("{RESET}; if it is meant, write `name: {cluster}` in the inventory"),
        );
    }
    match whose {
        _ if own.is_empty() => FOREIGN.warning(
            host.name,
            "a node of a cluster, but its certificate authority cannot be read",
            "look for /etc/kubernetes/pki/ca.crt there",
        ),
        Whose::Ours { authority, .. } if authority == own => FOREIGN.ok(host.name, "a node of this cluster"),
        Whose::Ours { speaker, authority } => FOREIGN.error(
            host.name,
            format!(
                "a node of another cluster than {speaker}: the fingerprint of its certificate authority begins with {}, \
                 not with {}",
                short(own),
                short(authority)
            ),
            RESET,
        ),
        Whose::Nobodys => {
            let observed = "a node of a cluster of which no control plane is in the inventory";
            FOREIGN.error(host.name, observed, RESET)
        }
        Whose::Unknown => {
            FOREIGN.skipped(host.name, "a node of a cluster; of which one only a control plane can tell")
        }
    }
}

/// What facts tell of etcd on hosts of its own: that it is one, and the one that API servers ask.
pub fn of_etcd(inventory: &Inventory, facts: &IndexMap<String, Facts>) -> Vec<Finding> {
    let others = other_etcds(inventory, facts).into_iter();
    others.map(|other| FOREIGN.error(other.host(), other.to_string(), OTHER_ETCD)).collect()
}

/// What the survey tells of one host: other distributions, and what a host that is no node has of a cluster.
pub fn from_survey(host: &Subject, survey: &Survey) -> Option<Finding> {
    let has = |path: &str| survey.traces.iter().any(|trace| trace == path);
    for (name, units, folder, removal) in DISTRIBUTIONS {
        if units.iter().any(|unit| survey.is_active(unit)) || has(folder) {
            let fix = format!("remove it with {removal}, or take the host out of the inventory");
            return Some(FOREIGN.error(host.name, format!("{name} is installed"), fix));
        }
    }
    if host.facts.kubernetes.joined {
        return None;
    }
    if host.facts.kubernetes.interrupted {
        return Some(FOREIGN.skipped(host.name, "kubeadm is at work there for hoist, or was killed at it"));
    }
    let ours = |trace: &&str| OWN.contains(trace);
    let left = survey.traces.iter().map(String::as_str).filter(|trace| !ours(trace));
    let (network, cluster): (Vec<&str>, Vec<&str>) = left.partition(|trace| trace.contains("/cni/"));
    Some(if !cluster.is_empty() {
        FOREIGN.error(host.name, format!("left behind: {}", cluster.join(", ")), RESET)
    } else if !network.is_empty() {
        FOREIGN.warning(
            host.name,
            format!("left behind: {}", network.join(", ")),
            "remove it unless you know why it is there: the first of these files, by name, is what containerd takes",
        )
    } else {
        FOREIGN.ok(host.name, "none")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::Kubernetes,
        preflight::{
            Severity::{self, Error, Ok, Skipped, Warning},
            tests::Fleet,
        },
    };

    fn left(fleet: &Fleet, host: usize) -> Option<Severity> {
        let hosts = fleet.subjects();
        from_survey(&hosts[host], hosts[host].survey.unwrap()).map(|finding| finding.severity)
    }

    fn trace(fleet: &mut Fleet, host: &str, paths: &[&str]) {
        fleet.survey(host).traces = paths.iter().map(|path| path.to_string()).collect();
    }

    #[test]
    fn what_others_left() {
        for (paths, severity) in [
            (&[][..], Ok),
            (&["/etc/cni/net.d/10-bridge.conflist"], Ok),
            (&["/etc/cni/net.d/05-cilium.conflist"], Warning),
            (&["/etc/cni/net.d/05-cilium.conflist", "/var/lib/etcd/member"], Error),
            (&["/etc/kubernetes/manifests/kube-apiserver.yaml"], Error),
            (&["/etc/rancher/k3s"], Error),
        ] {
            let mut fleet = Fleet::three();
            trace(&mut fleet, "w1", paths);
            assert_eq!(left(&fleet, 1), Some(severity), "{paths:?}");
        }
        let mut fleet = Fleet::three();
        fleet.survey("w1").active = Some(vec!["rke2-agent".into()]);
        assert_eq!(left(&fleet, 1), Some(Error));
        // Where etcd is a role of its own its data is elsewhere, and this is another's.
        let mut fleet = Fleet::three();
        fleet.inventory.cluster.etcd = crate::inventory::Etcd::External;
        fleet.inventory.hosts["w1"].roles = vec![Role::Etcd];
        trace(&mut fleet, "w1", &["/var/lib/etcd/member"]);
        assert_eq!(left(&fleet, 1), Some(Error));
        // What hoist itself has begun is not foreign, and nodes are told by their facts.
        fleet.facts("w1").kubernetes = Kubernetes { interrupted: true, ..Kubernetes::default() };
        assert_eq!(left(&fleet, 1), Some(Skipped));
        fleet.facts("w1").kubernetes = Kubernetes { joined: true, ..Kubernetes::default() };
        assert_eq!(left(&fleet, 1), None);
    }

    fn said(fleet: &Fleet) -> Vec<(Severity, String)> {
        let findings = from_facts(&fleet.inventory, &fleet.subjects());
        findings.into_iter().map(|finding| (finding.severity, finding.observed)).collect()
    }

    fn joined(authority: &str, cluster: &str) -> Kubernetes {
        Kubernetes {
            joined: true,
            control_plane: !cluster.is_empty(),
            authority: authority.into(),
            cluster: cluster.into(),
            ..Kubernetes::default()
        }
    }

    #[test]
    fn whose_node_it_is() {
        let mut fleet = Fleet::three();
        assert_eq!(said(&fleet), [], "no node, nothing to tell");
        fleet.facts("w1").kubernetes = joined("aa", "");
        let nobodys = "a node of a cluster of which no control plane is in the inventory";
        assert_eq!(said(&fleet), [(Error, nobodys.into())]);
        let workers = from_facts(&fleet.inventory, &fleet.subjects()[1..]);
        assert_eq!(workers[0].severity, Skipped, "no control plane was asked");
        let name = fleet.inventory.cluster.name.clone();
        let ours = || (Ok, "a node of this cluster".to_owned());
        fleet.facts("cp1").kubernetes = joined("aa", &name);
        assert_eq!(said(&fleet), [ours(), ours()]);
        fleet.facts("cp1").kubernetes = joined("bb", &name);
        let other = "a node of another cluster than cp1: the fingerprint of its certificate authority begins with aa, \
                     not with bb";
        assert_eq!(said(&fleet), [ours(), (Error, other.into())]);
        fleet.facts("w1").kubernetes.authority.clear();
        assert_eq!(said(&fleet)[1].0, Warning);
    }

    #[test]
    fn another_etcd_is_told() {
        let text = include_str!("../../tests/fixtures/cluster/etcd.yaml");
        let inventory = crate::inventory::parse("etcd.yaml", text).unwrap().inventory;
        let mut facts: IndexMap<String, Facts> =
            ["cp1", "etcd1"].map(|name| (name.to_owned(), Facts::default())).into_iter().collect();
        (facts["etcd1"].etcd.data, facts["etcd1"].etcd.ca) = (true, "aa".to_owned());
        facts["cp1"].kubernetes.etcd_servers = vec!["https://10.77.0.31:2379".to_owned()];
        facts["cp1"].kubernetes.etcd_authority = "aa".to_owned();
        assert_eq!(of_etcd(&inventory, &facts), []);
        facts["cp1"].kubernetes.etcd_authority = "bb".to_owned();
        let found = of_etcd(&inventory, &facts);
        assert_eq!(
            (found.len(), found[0].severity, found[0].hosts.as_slice()),
            (1, Error, &["etcd1".to_owned()][..])
        );
        assert!(found[0].observed.starts_with("etcd1 has data of etcd, and not of the etcd that the API"));
    }

    #[test]
    fn a_control_plane_of_a_cluster_with_another_name_does_not_speak_for_this_one() {
        let mut fleet = Fleet::three();
        fleet.facts("cp1").kubernetes = joined("aa", "theirs");
        fleet.facts("w1").kubernetes = joined("aa", "");
        let said = said(&fleet);
        let expected =
            format!("a control plane of the cluster `theirs`, not of `{}`", fleet.inventory.cluster.name);
        assert_eq!(said[0], (Error, expected));
        assert_eq!(said[1].0, Error);
    }
}
