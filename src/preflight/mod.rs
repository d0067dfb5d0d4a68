//! What is wrong with the hosts, before anything is installed on them.
//!
//! Every check is a pure function from what was observed to [`Finding`]s. [`from_facts`] is the part that costs
//! nothing, for every run; [`examine`] asks the hosts whatever else can be asked, alone and of one another. A check
//! that could not be made says so, and never counts as fine.

mod architecture;
mod balancer;
mod before;
mod clock;
mod clones;
mod conntrack;
mod datagrams;
mod examine;
mod finding;
mod firewall;
mod foreign;
mod fsync;
mod kernel;
mod logins;
mod names;
mod neighbours;
mod network;
mod occupied;
mod overlay;
mod ping;
mod pools;
mod ports;
mod recommended;
mod rented;
pub mod repair;
mod resolver;
mod services;
mod sizes;
mod storage;
mod survey;
mod swap;
#[cfg(test)]
mod tests;
mod vip;
mod ways;

use indexmap::IndexMap;

pub use architecture::of_programs;
pub use before::before;
pub use examine::{Copied, Examination, examine};
pub use finding::{Check, Finding, Severity, merge};

use crate::{
    facts::Facts,
    inventory::{self, Inventory, Role},
};
use survey::Survey;

/// Why a check is not made on a node of the cluster.
const JOINED: &str = "it is a node of a cluster already, whose own these may be";

const SYSTEM: Check = Check {
    name: "system",
    checked: "process 1 and the package manager",
    expected: "systemd, and apt or dnf",
};

/// One host, with everything that is known of it.
#[derive(Clone, Copy)]
struct Subject<'a> {
    name: &'a str,
    host: &'a inventory::Host,
    facts: &'a Facts,
    /// Absent when only facts are judged, or when it could not be had.
    survey: Option<&'a Survey>,
}

/// What the facts alone tell, for a run that is about to change hosts. Hosts that are nodes already are not judged
/// again, but new ones are compared with them, and a virtual address that they shall get is looked at.
///
/// An error among the findings would ruin the run, and should stop it: a node of another cluster; a host that is no Linux
/// with systemd; two hosts with one machine-id or MAC address; an address that is not the host's, or another's; networks
/// of the host inside those of pods or services; a virtual address that is not in the network of a control plane, or that
/// another host has; too few processors or too little memory for kubeadm; no space; a kernel or control groups that the
/// kubelet refuses; another architecture than the other hosts'; a distribution whose haproxy is too old to be the balancer.
pub fn from_facts(inventory: &Inventory, facts: &IndexMap<String, Facts>) -> Vec<Finding> {
    let subjects = subjects(inventory, facts);
    let new = |name: &str| facts.get(name).is_some_and(|facts| !facts.kubernetes.joined);
    let mut findings = Vec::new();
    for subject in subjects.iter().filter(|subject| new(subject.name)) {
        findings.extend(alone(inventory, subject));
    }
    findings.extend(
        together(inventory, &subjects)
            .into_iter()
            .filter(|finding| foreign::is(finding) || finding.hosts.iter().any(|host| new(host))),
    );
    findings.extend(vip::moved(inventory, &subjects));
    merge(findings)
}

/// Which nodes belong to another cluster than that of this inventory, as far as facts tell: for every run, also one that
/// would change nothing.
pub fn foreign(inventory: &Inventory, facts: &IndexMap<String, Facts>) -> Vec<Finding> {
    merge(foreign::from_facts(inventory, &subjects(inventory, facts)))
}

fn subjects<'a>(inventory: &'a Inventory, facts: &'a IndexMap<String, Facts>) -> Vec<Subject<'a>> {
    let known = facts.iter().filter_map(|(name, facts)| {
        Some(Subject { name, host: inventory.hosts.get(name)?, facts, survey: None })
    });
    known.collect()
}

/// What facts tell of one host.
fn alone(inventory: &Inventory, host: &Subject) -> Vec<Finding> {
    let mut findings = vec![system(host), names::hostname(host)];
    findings.extend(kernel::from_facts(inventory, host));
    findings.extend(sizes::from_facts(inventory, host));
    findings.extend(network::from_facts(inventory, host));
    findings.extend(network::pod_mtu(inventory, host));
    findings.extend(vip::network(inventory, host));
    findings.extend(balancer::haproxy(inventory, host));
    findings
}

/// What facts tell of all hosts together.
fn together(inventory: &Inventory, hosts: &[Subject]) -> Vec<Finding> {
    let mut findings = clones::from_facts(hosts);
    findings.extend(architecture::same(hosts));
    findings.extend(foreign::from_facts(inventory, hosts));
    findings.extend(network::taken(inventory, hosts));
    findings.extend(network::mtu(hosts));
    findings.extend(network::native(inventory, hosts));
    findings.extend(vip::held_by_others(inventory, hosts));
    findings
}

fn system(host: &Subject) -> Finding {
    match host.facts.fit() {
        Ok(()) => SYSTEM.ok(host.name, format!("{} with systemd", host.facts.os.name)),
        Err((reason, help)) => SYSTEM.error(host.name, reason, help),
    }
}

/// What a survey tells of one host.
fn surveyed(inventory: &Inventory, host: &Subject, survey: &Survey) -> Vec<Finding> {
    let mut findings = names::from_survey(host, survey);
    findings.extend(resolver::from_survey(inventory, host, survey));
    findings.extend(kernel::from_survey(inventory, host, survey));
    findings.push(swap::from_survey(host, survey));
    findings.extend(conntrack::from_survey(inventory, host, survey));
    findings.extend(sizes::from_survey(inventory, host, survey));
    findings.push(recommended::from_survey(inventory, host, survey));
    findings.extend(network::from_survey(inventory, host, survey));
    findings.extend(rented::from_survey(inventory, host, survey));
    findings.extend(logins::from_survey(host, survey));
    findings.extend(services::from_survey(host, survey));
    findings.extend(firewall::from_survey(inventory, host, survey));
    findings.extend(storage::from_survey(inventory, host, survey));
    findings.extend(foreign::from_survey(host, survey));
    findings.push(occupied::taken(inventory, host, survey));
    findings
}

/// What surveys tell of all hosts together.
fn surveyed_together(inventory: &Inventory, hosts: &[Subject]) -> Vec<Finding> {
    let mut findings = clones::from_surveys(hosts);
    findings.extend(resolver::mixed(inventory, hosts));
    findings
}

/// Whether a kubelet will run there: everywhere but on hosts that are only for etcd.
fn is_node(host: &inventory::Host) -> bool {
    host.roles.iter().any(|role| *role != Role::Etcd)
}
