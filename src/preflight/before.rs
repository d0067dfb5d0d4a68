//! What a run asks before its first change: everything that needs no traffic between hosts and takes them no time.

use std::sync::Arc;

use futures::future::join_all;
use indexmap::IndexMap;

use super::{
    Finding, Subject,
    examine::clocks,
    foreign, from_facts, merge, occupied, services, sizes,
    survey::{self, Depth},
};
use crate::{facts::Facts, inventory::Inventory, transport::Host};

/// What [`from_facts`] tells, and where there are hosts that are no nodes yet, what one more question to them tells:
/// whether another program has their ports, what is left there of another cluster, whether packages can be installed and
/// the disks be written, and whether the clocks of all hosts agree. Nobody is asked where all hosts are nodes: then a
/// run repairs a cluster that works.
///
/// A host that does not answer is no finding: the run itself will tell.
pub async fn before(
    inventory: &Inventory,
    hosts: &IndexMap<String, Arc<dyn Host>>,
    facts: &IndexMap<String, Facts>,
) -> Vec<Finding> {
    let mut findings = from_facts(inventory, facts);
    let new: Vec<(&str, &dyn Host, &Facts)> = hosts
        .iter()
        .filter_map(|(name, host)| Some((name.as_str(), &**host, facts.get(name)?)))
        .filter(|(.., facts)| !facts.kubernetes.joined)
        .collect();
    if new.is_empty() {
        return findings;
    }
    // First, while they are idle, so that the answers come at once.
    findings.extend(clocks(hosts.values().map(|host| &**host)).await);
    let surveys = join_all(new.into_iter().map(|(name, host, facts)| async move {
        let own = inventory.hosts.get(name)?;
        let survey = survey::ask(host, name, &occupied::ports(inventory, own), Depth::Quick).await.ok()?;
        Some((name, own, facts, survey))
    }));
    for (name, host, facts, survey) in surveys.await.into_iter().flatten() {
        let subject = Subject { name, host, facts, survey: Some(&survey) };
        findings.push(occupied::taken(inventory, &subject, &survey));
        findings.extend(foreign::from_survey(inventory, &subject, &survey));
        findings.push(services::packages(&subject, &survey));
        findings.push(sizes::options(&subject, &survey));
    }
    merge(findings)
}
