//! Asking the hosts: everything here is about when and how often, nothing about what it means.

use std::sync::Arc;

use futures::{StreamExt, future::join_all};

use super::{
    Subject, alone,
    architecture::of_programs,
    clock,
    finding::{Check, Finding, merge},
    firewall, foreign, fsync,
    neighbours::Neighbours,
    occupied, overlay, ping, pools, ports, repair, storage,
    survey::{self, Depth, Survey},
    surveyed, surveyed_together, together, vip,
    ways::{self, Way, ways},
};
use crate::{
    facts::{self, Facts, Owners},
    inventory::Inventory,
    transport::{self, Host, Target},
};

const REACHED: Check = Check {
    name: "reached",
    checked: "whether the host can be connected to and gives a root shell",
    expected: "it answers, its key is known, the login and root are granted",
};
const ANSWERED: Check = Check {
    name: "answered",
    checked: "whether the host answered the questions of the checks",
    expected: "an answer to each in time",
};

/// How many hosts are connected to at the same time: a handshake is work for both sides.
const HANDSHAKES: usize = 64;

/// What was found, and what went wrong while looking.
pub struct Examination {
    /// The worst first; what is said of several hosts is said once.
    pub findings: Vec<Finding>,
    /// Why hosts could not be reached; each is a finding as well.
    pub unreached: Vec<transport::Error>,
    /// What hosts that were copied have of others and can be made their own.
    pub repairs: Vec<Copied>,
}

/// A host with identities that are another's.
pub struct Copied {
    pub host: Arc<dyn Host>,
    pub identities: Vec<repair::Identity>,
}

/// A host that answers.
struct Reachable {
    name: String,
    host: Arc<dyn Host>,
    facts: Facts,
    survey: Option<Survey>,
}

/// Connects to these hosts of the inventory and makes every check there is. Nothing is left on them. `programs` is the
/// architecture of the artifacts, where that is known.
pub async fn examine(inventory: &Inventory, targets: &[Target], programs: Option<&str>) -> Examination {
    let mut findings = Vec::new();
    let (mut hosts, unreached) = reach(targets, &mut findings).await;
    // While they are idle, so that the answers come at once.
    findings.extend(clocks(hosts.iter().map(|host| &*host.host)).await);
    let (surveys, (forwarding, walked)) =
        futures::join!(survey_all(inventory, &hosts), walk_all(inventory, &hosts));
    findings.extend(forwarding);
    for (host, survey) in hosts.iter_mut().zip(surveys) {
        match survey {
            Ok(survey) => host.survey = Some(survey),
            Err(error) => findings.push(unanswered(&host.name, &error)),
        }
    }
    let blocks = |name: &str, port| {
        let survey = hosts.iter().find(|host| host.name == name)?.survey.as_ref()?;
        firewall::blocks(survey, port)
    };
    findings.extend(ports::judge(&walked, blocks, Neighbours::new(inventory).sample().as_deref()));
    findings.extend(echoes(inventory, &hosts).await);
    let new = hosts.iter().filter(|host| !host.facts.kubernetes.joined);
    findings.extend(overlay::examine(inventory, &new.map(|host| &host.host).collect::<Vec<_>>()).await);
    findings.extend(disks(inventory, &hosts).await);
    findings.extend(virtual_address(inventory, &hosts).await);
    findings.extend(pool_addresses(inventory, &hosts).await);
    let facts = hosts.iter().map(|host| (host.name.clone(), host.facts.clone())).collect();
    findings.extend(of_programs(programs, &facts));
    findings.extend(foreign::of_etcd(inventory, &facts));
    let subjects = subjects(inventory, &hosts);
    findings.extend(judge(inventory, &subjects));
    let copied = repair::copied(&subjects).into_iter().filter_map(|(name, identities)| {
        let host = hosts.iter().find(|host| host.name == name)?.host.clone();
        Some(Copied { host, identities })
    });
    Examination { repairs: copied.collect(), findings: merge(findings), unreached }
}

async fn reach(targets: &[Target], findings: &mut Vec<Finding>) -> (Vec<Reachable>, Vec<transport::Error>) {
    let attempts = targets.iter().map(|target| async move {
        let host = transport::connect(target).await?;
        let facts = facts::observe(&*host).await?;
        Ok::<_, transport::Error>(Reachable { name: target.name.clone(), host, facts, survey: None })
    });
    let answers: Vec<_> = transport::in_order(attempts, HANDSHAKES).collect().await;
    let (mut hosts, mut unreached) = (Vec::new(), Vec::new());
    for (target, answer) in targets.iter().zip(answers) {
        match answer {
            Ok(host) => {
                findings.push(REACHED.ok(&target.name, "it answers"));
                hosts.push(host);
            }
            Err(error) => {
                findings.push(REACHED.error(&target.name, error.to_string(), help(&error)));
                unreached.push(error);
            }
        }
    }
    (hosts, unreached)
}

fn help(error: &transport::Error) -> String {
    miette::Diagnostic::help(error).map(|help| help.to_string()).unwrap_or_default()
}

/// A host that was lost on the way is broken; one that took too long only leaves checks unmade.
fn unanswered(host: &str, error: &transport::Error) -> Finding {
    match error {
        transport::Error::Lost { .. } => ANSWERED.error(host, error.to_string(), help(error)),
        _ => ANSWERED.skipped(host, error.to_string()),
    }
}

pub(super) async fn clocks(hosts: impl IntoIterator<Item = &dyn Host>) -> Vec<Finding> {
    let hosts: Vec<&dyn Host> = hosts.into_iter().collect();
    let readings = join_all(hosts.iter().map(|host| clock::read(*host))).await;
    let mut findings = Vec::new();
    let mut offsets = Vec::new();
    for (host, reading) in hosts.iter().zip(readings) {
        match reading {
            Ok(offset) => offsets.push((host.name(), offset)),
            Err(error) => findings.push(unanswered(host.name(), &error)),
        }
    }
    findings.extend(clock::compare(&offsets));
    findings
}

async fn survey_all(inventory: &Inventory, hosts: &[Reachable]) -> Vec<Result<Survey, transport::Error>> {
    join_all(hosts.iter().map(|Reachable { name, host, .. }| async move {
        let own = inventory.hosts.get(name);
        let ports = own.map(|own| occupied::ports(inventory, own)).unwrap_or_default();
        let volumes = own.and_then(|own| storage::folder(inventory, own));
        survey::ask(&**host, name, &ports, volumes.as_deref(), Depth::Whole).await
    }))
    .await
}

/// The connections between hosts, which take none of the hosts' shells.
async fn walk_all(inventory: &Inventory, hosts: &[Reachable]) -> (Vec<Finding>, Vec<(Way, ports::Reached)>) {
    let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
    let by_host = ways::by_host(ways(inventory, &names));
    let walks = hosts.iter().map(|Reachable { name, host, .. }| {
        let ways = by_host.get(name).cloned().unwrap_or_default();
        async move { (ports::forwarding(inventory, &**host).await, ports::walk(&**host, ways).await) }
    });
    let (mut findings, mut walked) = (Vec::new(), Vec::new());
    let mut answers = transport::in_order(walks, ports::WALKERS);
    while let Some((forwarding, ways)) = answers.next().await {
        findings.extend(forwarding);
        walked.extend(ways);
    }
    (findings, walked)
}

async fn echoes(inventory: &Inventory, hosts: &[Reachable]) -> Vec<Finding> {
    let neighbours = &Neighbours::new(inventory);
    let answers = join_all(hosts.iter().map(|Reachable { name, host, .. }| async move {
        let others = inventory.hosts.iter().filter(|(other, _)| neighbours.meet(name, other));
        let peers: Vec<_> = others.map(|(other, host)| (other.as_str(), host.address)).collect();
        if peers.is_empty() { Ok(Some(Vec::new())) } else { ping::ask(&**host, &peers).await }
    }))
    .await;
    let (mut findings, mut all) = (Vec::new(), Vec::new());
    for (host, answer) in hosts.iter().zip(answers) {
        match answer {
            Ok(Some(echoes)) => all.extend(echoes),
            Ok(None) => findings.extend(ping::without_ping(&host.name)),
            Err(error) => findings.push(unanswered(&host.name, &error)),
        }
    }
    findings.extend(ping::judge(inventory, &all));
    findings
}

/// Only where etcd will be, and one after the other is not needed: they are different machines.
async fn disks(inventory: &Inventory, hosts: &[Reachable]) -> Vec<Finding> {
    let etcd = inventory.etcd_role();
    let members =
        hosts.iter().filter(|host| inventory.hosts.get(&host.name).is_some_and(|own| own.has(etcd)));
    let measured = members.map(|host| async move {
        fsync::measure(&*host.host, inventory.etcd_folder())
            .await
            .unwrap_or_else(|error| unanswered(&host.name, &error))
    });
    join_all(measured).await
}

/// All control planes at the same time, because they listen for one another.
async fn virtual_address(inventory: &Inventory, hosts: &[Reachable]) -> Vec<Finding> {
    let Some(vip) = inventory.cluster.endpoint.vip else { return Vec::new() };
    let control_planes = || {
        let has_role = |host: &&Reachable| inventory.hosts.get(&host.name).is_some_and(vip::can_hold);
        hosts.iter().filter(has_role)
    };
    let peers: Vec<&str> = control_planes().map(|host| host.name.as_str()).collect();
    let asked = control_planes().map(|host| vip::ask(inventory, &*host.host, vip, &peers));
    let (mut findings, mut answers) = (Vec::new(), Vec::new());
    for (host, answer) in control_planes().zip(join_all(asked).await) {
        match answer {
            Ok(answer) => answers.push(answer),
            Err(error) => findings.push(unanswered(&host.name, &error)),
        }
    }
    let facts = hosts.iter().map(|host| (host.name.as_str(), &host.facts)).collect();
    findings.extend(vip::judge(inventory, &facts, &answers));
    findings
}

/// Each address is asked for by one node of its network.
async fn pool_addresses(inventory: &Inventory, hosts: &[Reachable]) -> Vec<Finding> {
    let facts = hosts.iter().map(|host| (host.name.as_str(), &host.facts)).collect();
    let questions = pools::questions(inventory, &facts);
    let asked = questions.by_host.iter().filter_map(|(name, addresses)| {
        let host = hosts.iter().find(|host| host.name == *name)?;
        Some(async move { (name.as_str(), Owners::ask(&*host.host, addresses).await) })
    });
    let (mut findings, mut answers) = (Vec::new(), Vec::new());
    for (name, answer) in join_all(asked).await {
        match answer {
            Ok(answer) => answers.push((name, answer)),
            Err(error) => findings.push(unanswered(name, &error)),
        }
    }
    findings.extend(pools::judge(inventory, &facts, &questions, &answers));
    findings
}

fn subjects<'a>(inventory: &'a Inventory, hosts: &'a [Reachable]) -> Vec<Subject<'a>> {
    let known = hosts.iter().filter_map(|Reachable { name, facts, survey, .. }| {
        Some(Subject { name, host: inventory.hosts.get(name)?, facts, survey: survey.as_ref() })
    });
    known.collect()
}

fn judge(inventory: &Inventory, subjects: &[Subject]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for subject in subjects {
        findings.extend(alone(inventory, subject));
        findings.extend(subject.survey.into_iter().flat_map(|survey| surveyed(inventory, subject, survey)));
    }
    findings.extend(together(inventory, subjects));
    findings.extend(surveyed_together(inventory, subjects));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Severity;

    #[test]
    fn a_host_that_is_lost_is_an_error_and_a_slow_one_is_not_checked() {
        let (host, output) = ("w1".to_owned(), String::new());
        let lost = transport::Error::Lost { host: host.clone(), reason: "it rebooted".into() };
        let slow = transport::Error::Timeout { host, seconds: 90, output };
        assert_eq!(unanswered("w1", &lost).severity, Severity::Error);
        assert_eq!(unanswered("w1", &slow).severity, Severity::Skipped);
    }
}
