//! Hosts that belong to somebody else already: another cluster, or another program on a port that is needed.

use super::{
    JOINED, Subject,
    finding::{Check, Finding},
    is_node,
    survey::{Listener, Survey},
};
use crate::{
    facts::Facts,
    inventory::{Host, Inventory, Role},
};

const FOREIGN: Check = Check {
    name: "foreign-cluster",
    checked: "traces of a cluster that is not this one",
    expected: "none, or a node of this cluster",
};
const PORTS: Check = Check {
    name: "ports-taken",
    checked: "who listens on the ports that Kubernetes will need",
    expected: "nobody",
};

/// What a kubelet and kube-proxy listen on.
const NODE_PORTS: [u16; 4] = [10248, 10249, 10250, 10256];
/// What the controller manager and the scheduler listen on.
const CONTROL_PLANE_PORTS: [u16; 2] = [10257, 10259];
/// What etcd listens on: for clients, for its other members, for its metrics.
const ETCD_PORTS: [u16; 3] = [2379, 2380, 2381];

/// Every port that a host of this inventory will listen on.
pub fn ports(inventory: &Inventory, host: &Host) -> Vec<u16> {
    let mut ports = Vec::new();
    if host.has(Role::ControlPlane) || inventory.balances(host) {
        ports.push(inventory.cluster.endpoint.port);
    }
    if host.has(Role::ControlPlane) {
        ports.extend(Some(inventory.api_port()).filter(|own| *own != inventory.cluster.endpoint.port));
        ports.extend(CONTROL_PLANE_PORTS);
    }
    if host.has(inventory.etcd_role()) {
        ports.extend(ETCD_PORTS);
    }
    if is_node(host) {
        ports.extend(NODE_PORTS);
    }
    ports
}

/// Distributions of Kubernetes that bring everything along, and how one gets rid of them.
const DISTRIBUTIONS: [(&str, &[&str], &str, &str); 4] = [
    ("k3s", &["k3s", "k3s-agent"], "/etc/rancher/k3s", "`k3s-uninstall.sh` or `k3s-agent-uninstall.sh`"),
    ("RKE2", &["rke2-server", "rke2-agent"], "/etc/rancher/rke2", "`rke2-uninstall.sh`"),
    ("k0s", &["k0scontroller", "k0sworker"], "/var/lib/k0s", "`k0s reset`"),
    ("MicroK8s", &["snap.microk8s.daemon-kubelite"], "/var/snap/microk8s", "`snap remove --purge microk8s`"),
];

/// What hoist's own roles put on a host before it joins.
const OWN: [&str; 1] = ["/etc/cni/net.d/10-bridge.conflist"];

/// All hosts; whose cluster it is can be told only by comparing them.
pub fn from_surveys(inventory: &Inventory, hosts: &[Subject]) -> Vec<Finding> {
    // The cluster of this inventory is the one that its first living control plane has.
    let ours = hosts.iter().find_map(|host| {
        let survey = host.survey.filter(|_| is_control_plane(host))?;
        Some((host.name, survey.authority.as_deref()?))
    });
    let surveyed = |name: &str| hosts.iter().any(|host| host.name == name && host.survey.is_some());
    let whose = match ours {
        Some((speaker, authority)) => Whose::Ours { speaker, authority },
        None if inventory.with_role(Role::ControlPlane).all(|(name, _)| surveyed(name)) => Whose::Nobodys,
        None => Whose::Unknown,
    };
    hosts.iter().filter_map(|host| Some(foreign(host, host.survey?, whose))).collect()
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

fn foreign(host: &Subject, survey: &Survey, whose: Whose) -> Finding {
    const RESET: &str = "if nobody needs that cluster any more, `kubeadm reset --force` on the host, then remove \
                         /etc/cni/net.d and reboot; otherwise take the host out of the inventory";
    let has = |path: &str| survey.traces.iter().any(|trace| trace == path);
    for (name, units, folder, removal) in DISTRIBUTIONS {
        if units.iter().any(|unit| survey.is_active(unit)) || has(folder) {
            let fix = format!("remove it with {removal}, or take the host out of the inventory");
            return FOREIGN.error(host.name, format!("{name} is installed"), fix);
        }
    }
    let Facts { kubernetes, .. } = host.facts;
    if kubernetes.interrupted {
        return FOREIGN.skipped(host.name, "kubeadm is at work there for hoist, or was killed at it");
    }
    if kubernetes.joined {
        return match (whose, &survey.authority) {
            (Whose::Ours { authority, .. }, Some(own)) if authority == own => {
                FOREIGN.ok(host.name, "a node of this cluster")
            }
            (Whose::Ours { speaker, .. }, Some(_)) => FOREIGN.error(
                host.name,
                format!("a node of another cluster than {speaker}: their certificate authorities differ"),
                RESET,
            ),
            (Whose::Nobodys, Some(_)) => FOREIGN.error(
                host.name,
                "a node of a cluster of which no control plane is in the inventory",
                RESET,
            ),
            (Whose::Unknown, Some(_)) => {
                FOREIGN.skipped(host.name, "a node of a cluster; of which one only a control plane can tell")
            }
            (_, None) => FOREIGN.warning(
                host.name,
                "a node of a cluster, but its certificate authority cannot be read",
                "look for /etc/kubernetes/pki/ca.crt there",
            ),
        };
    }
    let left: Vec<&str> =
        survey.traces.iter().map(String::as_str).filter(|trace| !OWN.contains(trace)).collect();
    let (network, cluster): (Vec<&str>, Vec<&str>) = left.iter().partition(|trace| trace.contains("/cni/"));
    if !cluster.is_empty() {
        return FOREIGN.error(host.name, format!("left behind: {}", cluster.join(", ")), RESET);
    }
    if !network.is_empty() {
        return FOREIGN.warning(
            host.name,
            format!("left behind: {}", network.join(", ")),
            "remove it unless you know why it is there: the first of these files, by name, is what containerd takes",
        );
    }
    FOREIGN.ok(host.name, "none")
}

/// Who is in the way on one host.
pub fn taken(inventory: &Inventory, host: &Subject, survey: &Survey) -> Finding {
    let needed = ports(inventory, host.host);
    let expected = format!("nobody on {}", needed.iter().map(u16::to_string).collect::<Vec<_>>().join(", "));
    let finding = if host.facts.kubernetes.joined {
        PORTS.skipped(host.name, JOINED)
    } else if host.facts.kubernetes.interrupted {
        PORTS.skipped(host.name, "kubeadm is at work there for hoist, or was killed at it")
    } else {
        // A run that went no further has left its balancer.
        let own = |listener: &&Listener| {
            let port = inventory.cluster.endpoint.port;
            survey.balances && listener.port == port && listener.process.as_deref() == Some("haproxy")
        };
        let foreign = survey.listeners.iter().filter(|listener| !own(listener));
        let mut taken: Vec<String> =
            foreign.filter(|listener| needed.contains(&listener.port)).map(shown).collect();
        taken.sort();
        taken.dedup();
        match taken.is_empty() {
            true => PORTS.ok(host.name, "nobody"),
            false => PORTS.error(
                host.name,
                taken.join("; "),
                "stop that program or move it to another port: the component of Kubernetes that needs it will not start",
            ),
        }
    };
    finding.expecting(expected)
}

fn shown(listener: &Listener) -> String {
    let process = listener.process.as_deref().unwrap_or("an unknown process");
    format!("{} by {process} ({})", listener.port, listener.address)
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

    fn say(fleet: &Fleet, host: usize) -> Severity {
        from_surveys(&fleet.inventory, &fleet.subjects())[host].severity
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
            assert_eq!(say(&fleet, 1), severity, "{paths:?}");
        }
        let mut fleet = Fleet::three();
        fleet.survey("w1").active = Some(vec!["rke2-agent".into()]);
        assert_eq!(say(&fleet, 1), Error);
    }

    #[test]
    fn whose_node_it_is() {
        let joined = |control_plane| Kubernetes { joined: true, control_plane, ..Kubernetes::default() };
        let mut fleet = Fleet::three();
        trace(&mut fleet, "w1", &["/etc/kubernetes/kubelet.conf"]);
        fleet.facts("w1").kubernetes = joined(false);
        fleet.survey("w1").authority = Some("aa".into());
        assert_eq!(say(&fleet, 1), Error, "no control plane of it lives");
        let workers = from_surveys(&fleet.inventory, &fleet.subjects()[1..]);
        assert_eq!(workers[0].severity, Skipped, "no control plane was asked");
        fleet.facts("cp1").kubernetes = joined(true);
        fleet.survey("cp1").authority = Some("aa".into());
        assert_eq!((say(&fleet, 0), say(&fleet, 1)), (Ok, Ok));
        fleet.survey("cp1").authority = Some("bb".into());
        assert_eq!((say(&fleet, 0), say(&fleet, 1)), (Ok, Error));
        fleet.survey("w1").authority = None;
        assert_eq!(say(&fleet, 1), Warning);
        // What hoist itself has begun is not foreign.
        fleet.facts("w1").kubernetes = Kubernetes { interrupted: true, ..Kubernetes::default() };
        assert_eq!(say(&fleet, 1), Skipped);
    }

    #[test]
    fn ports_that_are_needed() {
        for (host, port, severity) in
            [(0, 6443, Error), (1, 6443, Ok), (1, 10250, Error), (0, 2380, Error), (1, 2380, Ok), (0, 22, Ok)]
        {
            let mut fleet = Fleet::three();
            let listener = Listener { address: [127, 0, 0, 1].into(), port, process: Some("nginx".into()) };
            fleet.survey(["cp1", "w1"][host]).listeners = vec![listener.clone(), listener];
            let hosts = fleet.subjects();
            let finding = taken(&fleet.inventory, &hosts[host], hosts[host].survey.unwrap());
            assert_eq!(finding.severity, severity, "{host} {port}");
            if severity == Error {
                assert_eq!(finding.observed, format!("{port} by nginx (127.0.0.1)"));
            }
        }
        // A balancer of hoist's own may stay where one shall be.
        for (host, port, process, ours, local, severity) in [
            ("w1", 6443, "haproxy", true, true, Ok),
            ("w1", 6443, "haproxy", false, true, Error),
            ("w1", 6443, "nginx", true, true, Error),
            ("w1", 6443, "nginx", false, false, Ok),
            ("cp1", 6443, "haproxy", true, true, Ok),
            ("cp1", 6444, "haproxy", true, true, Error),
            ("cp1", 6444, "nginx", true, false, Ok),
        ] {
            let mut fleet = Fleet::three();
            fleet.inventory.cluster.endpoint.local = local;
            fleet.survey(host).balances = ours;
            fleet.survey(host).listeners =
                vec![Listener { address: [0, 0, 0, 0].into(), port, process: Some(process.into()) }];
            let hosts = fleet.subjects();
            let subject = hosts.iter().find(|subject| subject.name == host).unwrap();
            let finding = taken(&fleet.inventory, subject, subject.survey.unwrap());
            assert_eq!(finding.severity, severity, "{host} {port} {process} {ours} {local}");
        }
        for kubernetes in [
            Kubernetes { joined: true, ..Kubernetes::default() },
            Kubernetes { interrupted: true, ..Kubernetes::default() },
        ] {
            let mut fleet = Fleet::three();
            fleet.facts("w1").kubernetes = kubernetes;
            let hosts = fleet.subjects();
            assert_eq!(taken(&fleet.inventory, &hosts[1], hosts[1].survey.unwrap()).severity, Skipped);
        }
    }
}
