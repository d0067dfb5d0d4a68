//! What a run asks before its first change: everything that needs no traffic between hosts and takes them no time.

use std::sync::Arc;

use futures::future::join_all;
use indexmap::IndexMap;

use super::{
    Finding, Subject,
    examine::clocks,
    foreign, from_facts, kernel, merge, occupied, services, sizes,
    survey::{self, Depth},
    vip,
};
use crate::{facts::Facts, inventory::Inventory, transport::Host};

/// What [`from_facts`] tells, and where there are hosts that are no nodes yet, what one more question to them tells:
/// whether another program has their ports or the virtual address, what is left there of another cluster, whether packages can be installed and
/// the disks be written, what the network plugin needs of the kernel, and whether the clocks of all hosts agree. Nobody is asked where all hosts are nodes: then a
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
    findings.extend(virtual_address(inventory, hosts, facts).await);
    let surveys = join_all(new.into_iter().map(|(name, host, facts)| async move {
        let own = inventory.hosts.get(name)?;
        let survey =
            survey::ask(host, name, &occupied::ports(inventory, own), None, Depth::Quick).await.ok()?;
        Some((name, own, facts, survey))
    }));
    for (name, host, facts, survey) in surveys.await.into_iter().flatten() {
        let subject = Subject { name, host, facts, survey: Some(&survey) };
        findings.push(occupied::taken(inventory, &subject, &survey));
        findings.extend(foreign::from_survey(&subject, &survey));
        findings.push(services::packages(&subject, &survey));
        findings.push(sizes::options(&subject, &survey));
        findings.extend(kernel::network(inventory, &subject, &survey));
    }
    merge(findings)
}

/// Whether somebody else has the virtual address. Not where a control plane lives: it may well be one of them.
async fn virtual_address(
    inventory: &Inventory,
    hosts: &IndexMap<String, Arc<dyn Host>>,
    facts: &IndexMap<String, Facts>,
) -> Vec<Finding> {
    let Some(vip) = inventory.cluster.endpoint.vip else { return Vec::new() };
    if facts.values().any(|facts| facts.kubernetes.control_plane) {
        return Vec::new();
    }
    let can_hold = |name: &str| inventory.hosts.get(name).is_some_and(vip::can_hold);
    let asked = hosts.iter().filter(|(name, _)| can_hold(name));
    let answers = join_all(asked.map(|(_, host)| vip::ask_owner(inventory, &**host, vip))).await;
    let answers: Vec<vip::Answer> = answers.into_iter().flatten().collect();
    let facts = facts.iter().map(|(name, facts)| (name.as_str(), facts)).collect();
    vip::judge_owner(inventory, &facts, &answers)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use async_trait::async_trait;

    use super::*;
    use crate::{
        preflight::{Severity, tests::Fleet},
        transport::{Destination, Error, Local, Output, Script, Stream, Transfer},
    };

    /// A shell of this machine under another name, whose clock shows another time.
    struct Shifted {
        shell: Local,
        minutes: i32,
    }

    #[async_trait]
    impl Host for Shifted {
        fn name(&self) -> &str {
            self.shell.name()
        }

        async fn run(&self, script: Script) -> Result<Output, Error> {
            let date = format!("date() {{ command date -d '{} minutes' \"$@\"; }}\n", self.minutes);
            self.shell.run(Script { text: date + &script.text, ..script }).await
        }

        async fn send(&self, transfer: &Transfer, progress: &(dyn Fn(u64) + Sync)) -> Result<(), Error> {
            self.shell.send(transfer, progress).await
        }

        async fn forward(&self, to: Destination) -> Result<Box<dyn Stream>, Error> {
            self.shell.forward(to).await
        }
    }

    async fn shells(minutes: i32) -> IndexMap<String, Arc<dyn Host>> {
        let mut hosts: IndexMap<String, Arc<dyn Host>> = IndexMap::new();
        for (name, minutes) in [("cp1", 0), ("w1", 0), ("w2", minutes)] {
            let shell = Local::open(name).await.unwrap();
            hosts.insert(name.to_owned(), Arc::new(Shifted { shell, minutes }));
        }
        hosts
    }

    fn errors(findings: &[Finding], check: &str) -> Vec<String> {
        let errors =
            findings.iter().filter(|finding| finding.severity == Severity::Error && finding.check == check);
        errors.map(|finding| format!("{}: {}", finding.hosts.join(","), finding.observed)).collect()
    }

    #[tokio::test]
    async fn a_clock_that_is_ten_minutes_off_stops_a_run_before_its_first_change() {
        let mut fleet = Fleet::three();
        let found = before(&fleet.inventory, &shells(0).await, &fleet.all_facts()).await;
        assert_eq!(errors(&found, "clock"), [] as [&str; 0]);
        let late = shells(-10).await;
        let found = before(&fleet.inventory, &late, &fleet.all_facts()).await;
        let [error] = &errors(&found, "clock")[..] else { panic!("{found:#?}") };
        assert!(
            error.starts_with("w2: 600.") && error.contains(" s behind") || error.starts_with("w2: 599."),
            "{error}"
        );
        // Where all are nodes, a run may be what mends it.
        for name in ["cp1", "w1", "w2"] {
            fleet.facts(name).kubernetes.joined = true;
        }
        let found = before(&fleet.inventory, &late, &fleet.all_facts()).await;
        assert_eq!(errors(&found, "clock"), [] as [&str; 0]);
    }

    #[tokio::test]
    async fn a_virtual_address_that_somebody_has_stops_the_first_run() {
        let mut fleet = Fleet::three();
        fleet.inventory.cluster.endpoint.vip = Some([127, 0, 0, 1].into());
        let hosts = shells(0).await;
        let found = before(&fleet.inventory, &hosts, &fleet.all_facts()).await;
        assert_eq!(errors(&found, "vip-free"), ["cp1: cp1 has it, but not by a keepalived of hoist's"]);
        // Later it is one of them that has it.
        fleet.facts("cp1").kubernetes.control_plane = true;
        let found = before(&fleet.inventory, &hosts, &fleet.all_facts()).await;
        assert_eq!(errors(&found, "vip-free"), [] as [&str; 0]);
    }

    #[tokio::test]
    async fn what_the_network_plugin_needs_of_the_kernel_is_asked_before() {
        let mut fleet = Fleet::three();
        let asked = |found: &[Finding]| found.iter().any(|finding| finding.check == "cilium");
        assert!(!asked(&before(&fleet.inventory, &shells(0).await, &fleet.all_facts()).await));
        fleet.inventory.cluster.network.plugin = crate::inventory::Plugin::Cilium;
        assert!(asked(&before(&fleet.inventory, &shells(0).await, &fleet.all_facts()).await));
    }

    #[tokio::test]
    async fn a_port_that_is_taken_stops_it_and_only_new_hosts_are_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut fleet = Fleet::three();
        fleet.inventory.cluster.endpoint.port = port;
        let hosts = shells(0).await;
        let found = before(&fleet.inventory, &hosts, &fleet.all_facts()).await;
        let taken = errors(&found, "ports-taken");
        assert!(taken.len() == 1 && taken[0].starts_with(&format!("cp1: {port} by ")), "{taken:?}");
        fleet.facts("cp1").kubernetes.joined = true;
        let found = before(&fleet.inventory, &hosts, &fleet.all_facts()).await;
        assert_eq!(errors(&found, "ports-taken"), [] as [&str; 0]);
    }
}
