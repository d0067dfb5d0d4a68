//! Ports that are needed and that another program has.

use super::{
    JOINED, Subject,
    finding::{Check, Finding},
    is_node,
    survey::{Listener, Survey},
};
use crate::inventory::{Host, Inventory, Role};

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
    if inventory.balances(host) {
        ports.push(inventory.cluster.endpoint.port);
    }
    if host.has(Role::ControlPlane) {
        ports.push(inventory.api_port());
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

/// Whether it is the program that hoist itself has put there before the host joined: a run that was cut off goes on.
fn is_own(inventory: &Inventory, host: &Host, survey: &Survey, listener: &Listener) -> bool {
    match listener.process.as_deref() {
        Some("haproxy") => {
            let port = inventory.cluster.endpoint.port;
            survey.balances && inventory.balances(host) && listener.port == port
        }
        Some("etcd") => host.has(Role::Etcd) && inventory.etcd_role() == Role::Etcd,
        _ => false,
    }
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
        let others = survey.listeners.iter().filter(|listener| {
            needed.contains(&listener.port) && !is_own(inventory, host.host, survey, listener)
        });
        let mut taken: Vec<String> = others.map(shown).collect();
        taken.sort();
        taken.dedup();
        match taken.is_empty() {
            true => PORTS.ok(host.name, "nobody else"),
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
            Severity::{Error, Ok, Skipped},
            tests::Fleet,
        },
    };

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
        for (process, port, severity) in
            [("haproxy", 6443, Ok), ("haproxy", 6444, Error), ("etcd", 2379, Ok), ("nginx", 6443, Error)]
        {
            let mut fleet = Fleet::three();
            fleet.inventory.cluster.endpoint.vip = Some([192, 168, 18, 200].into());
            fleet.inventory.cluster.etcd = crate::inventory::Etcd::External;
            fleet.inventory.hosts["cp1"].roles.push(Role::Etcd);
            let process = Some(process.to_owned());
            fleet.survey("cp1").balances = true;
            fleet.survey("cp1").listeners = vec![Listener { address: [0, 0, 0, 0].into(), port, process }];
            let hosts = fleet.subjects();
            let finding = taken(&fleet.inventory, &hosts[0], hosts[0].survey.unwrap());
            assert_eq!(finding.severity, severity, "what a run that was cut off has started is its own");
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
