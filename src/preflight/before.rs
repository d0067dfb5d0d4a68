//! What a run asks before its first change: everything that takes hosts a few seconds at most.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, future::join_all, stream};
use indexmap::IndexMap;

use super::{
    Finding, Subject,
    examine::clocks,
    firewall, foreign, from_facts, is_node, kernel, merge,
    neighbours::Neighbours,
    occupied, ports, services, sizes,
    survey::{self, Depth},
    vip,
    ways::{self, Way},
};
use crate::{
    facts::Facts,
    inventory::{self, Inventory},
    transport::Host,
};

/// How long ports are tried in all, once: as long as a single one, and those that had to wait for it.
const WALK: Duration = Duration::from_secs(8);

/// What [`from_facts`] tells, and where there are new hosts, what one more question to them tells: whether another program has
/// their ports or the virtual address, whether VRRP passes between those that will have it, what is left there of another
/// cluster, whether packages can be installed and the disks be written, what `base` and the network plugin need of the kernel,
/// which firewalls there are, and whether the clocks of all hosts agree; and meanwhile, whether new hosts and all that answer
/// reach each other's ports. Nobody is asked where no host is new: then a run repairs a cluster that works.
///
/// Only hosts `in_scope`, which the run may change, are new ones; what others are to become is no matter of this run's.
///
/// A host that does not answer is no finding: the run itself will tell.
pub async fn before(
    inventory: &Inventory,
    hosts: &IndexMap<String, Arc<dyn Host>>,
    facts: &IndexMap<String, Facts>,
    in_scope: &(dyn Fn(&str) -> bool + Sync),
) -> Vec<Finding> {
    let mut findings = from_facts(inventory, facts);
    let new: Vec<New> = hosts
        .iter()
        .filter_map(|(name, host)| {
            let (own, facts) = (inventory.hosts.get(name)?, facts.get(name)?);
            (in_scope(name) && is_new(own, facts)).then_some(New { name, host: &**host, own, facts })
        })
        .collect();
    if new.is_empty() {
        return findings;
    }
    // First, while they are idle, so that the answers come at once.
    findings.extend(clocks(hosts.values().map(|host| &**host)).await);
    let surveys = join_all(new.iter().map(|host| async move {
        let ports = occupied::ports(inventory, host.own);
        let survey = survey::ask(host.host, host.name, &ports, None, Depth::Quick).await.ok()?;
        Some((host, survey))
    }));
    // Nobody answers for an address that is free, which is a second in which the others need not wait.
    let owners = virtual_address(inventory, hosts, facts);
    let (owners, surveys, walked) = futures::join!(owners, surveys, walk(inventory, hosts, facts, &new));
    findings.extend(owners);
    let surveys: Vec<_> = surveys.into_iter().flatten().collect();
    for (New { name, own: host, facts, .. }, survey) in &surveys {
        let subject = Subject { name, host, facts, survey: Some(survey) };
        findings.push(occupied::taken(inventory, &subject, survey));
        findings.extend(foreign::from_survey(&subject, survey));
        findings.push(services::packages(&subject, survey));
        findings.push(sizes::options(&subject, survey));
        findings.push(kernel::base(&subject, survey));
        findings.extend(kernel::network(inventory, &subject, survey));
        findings.push(firewall::firewall(inventory, &subject, survey));
    }
    let blocks = |name: &str, port| {
        let (_, survey) = surveys.iter().find(|(host, _)| host.name == name)?;
        firewall::blocks(survey, port)
    };
    findings.extend(ports::judge(&walked, blocks, Neighbours::new(inventory).sample().as_deref()));
    merge(findings)
}

/// A host that is to become what it is not yet.
struct New<'a> {
    name: &'a str,
    host: &'a dyn Host,
    own: &'a inventory::Host,
    facts: &'a Facts,
}

fn is_new(host: &inventory::Host, facts: &Facts) -> bool {
    if is_node(host) { !facts.kubernetes.joined } else { !facts.etcd.is_member() }
}

/// Tries the ports that hosts will use on each other, where one of the two is new and the other is, too, or is what it shall be
/// already. Not those of services, which may be closed, and not the way to a host that does not answer: its ports say nothing
/// of the network.
async fn walk(
    inventory: &Inventory,
    hosts: &IndexMap<String, Arc<dyn Host>>,
    facts: &IndexMap<String, Facts>,
    new: &[New<'_>],
) -> Vec<(Way, ports::Reached)> {
    let names: Vec<&str> = hosts.keys().map(String::as_str).collect();
    let is_new = |name: &str| new.iter().any(|host| host.name == name);
    let counts = |name: &str| {
        let known = inventory.hosts.get(name).zip(facts.get(name));
        is_new(name) || known.is_some_and(|(own, facts)| !self::is_new(own, facts))
    };
    let ways = ways::ways(inventory, &names).into_iter().filter(|way| {
        hosts.contains_key(&way.to)
            && counts(&way.from)
            && counts(&way.to)
            && !ways::is_service(way.address.port())
            && (is_new(&way.from) || is_new(&way.to))
    });
    let walks = ways::by_host(ways).into_iter().filter_map(|(from, ways)| {
        let host = hosts.get(&from)?;
        Some(walk_from(&**host, ways))
    });
    stream::iter(walks).buffered(ports::WALKERS).concat().await
}

/// What is silent is tried twice: a machine that is just busy must not stop a run.
async fn walk_from(host: &dyn Host, ways: Vec<Way>) -> Vec<(Way, ports::Reached)> {
    let walked = ports::walk_for(WALK, host, ways).await;
    let (silent, mut walked): (Vec<_>, Vec<_>) =
        walked.into_iter().partition(|(_, reached)| *reached == ports::Reached::Silence);
    if !silent.is_empty() {
        let ways = silent.into_iter().map(|(way, _)| way).collect();
        walked.extend(ports::walk_for(WALK, host, ways).await);
    }
    walked
}

/// Whether somebody else has the virtual address, and whether VRRP passes between those that will hand it to each other. Not
/// where a control plane lives: it may well be one of them, and its keepalived is at work. Who heard nothing is asked again,
/// with all others: a machine that is just busy must not stop a run.
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
    let asked: Vec<_> = hosts.iter().filter(|(name, _)| can_hold(name)).collect();
    let names: Vec<&str> = asked.iter().map(|(name, _)| name.as_str()).collect();
    let facts = facts.iter().map(|(name, facts)| (name.as_str(), facts)).collect();
    let look = async || {
        let answers = asked.iter().map(|(_, host)| vip::ask_quickly(inventory, &***host, vip, &names));
        let answers: Vec<vip::Answer> = join_all(answers).await.into_iter().flatten().collect();
        vip::judge(inventory, &facts, &answers)
    };
    let found = look().await;
    if found.iter().any(vip::is_deaf) { look().await } else { found }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::Mutex};

    use async_trait::async_trait;

    use super::*;
    use crate::{
        preflight::{Severity, tests::Fleet},
        transport::{Destination, Error, Local, Output, Script, Stream, Transfer},
    };

    /// The clock of a host that does not get to open a connection at the first try.
    const BUSY: i32 = 1;

    /// A shell of this machine under another name, whose clock shows another time and whose packets to some addresses are
    /// sent back. It reaches all others, where nothing listens.
    struct Shifted {
        shell: Local,
        minutes: i32,
        blocked: Vec<Destination>,
        tried: Arc<Mutex<Vec<String>>>,
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
            let way = format!("{} {to}", self.name());
            let mut tried = self.tried.lock().unwrap();
            let reason = match (self.blocked.contains(&to), tried.contains(&way)) {
                (true, _) => "No route to host",
                (false, false) if self.minutes == BUSY => "Connection timed out",
                (false, _) => "Connection refused",
            };
            tried.push(way);
            Err(Error::Forward { host: self.name().into(), to: to.to_string(), reason: reason.into() })
        }
    }

    async fn shells(minutes: i32) -> IndexMap<String, Arc<dyn Host>> {
        network(minutes, &[], &Arc::default()).await
    }

    /// Nobody reaches these addresses; what is tried is written down.
    async fn network(
        minutes: i32,
        blocked: &[&str],
        tried: &Arc<Mutex<Vec<String>>>,
    ) -> IndexMap<String, Arc<dyn Host>> {
        let mut hosts: IndexMap<String, Arc<dyn Host>> = IndexMap::new();
        for (name, minutes) in [("cp1", 0), ("w1", 0), ("w2", minutes)] {
            let shell = Local::open(name).await.unwrap();
            let blocked = blocked.iter().map(|address| address.parse().unwrap()).collect();
            let host = Shifted { shell, minutes, blocked, tried: tried.clone() };
            hosts.insert(name.to_owned(), Arc::new(host));
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
        let found = before(&fleet.inventory, &shells(0).await, &fleet.all_facts(), &|_| true).await;
        assert_eq!(errors(&found, "clock"), [] as [&str; 0]);
        let late = shells(-10).await;
        let found = before(&fleet.inventory, &late, &fleet.all_facts(), &|_| true).await;
        let [error] = &errors(&found, "clock")[..] else { panic!("{found:#?}") };
        assert!(
            error.starts_with("w2: 600.") && error.contains(" s behind") || error.starts_with("w2: 599."),
            "{error}"
        );
        // Where all are nodes, a run may be what mends it.
        for name in ["cp1", "w1", "w2"] {
            fleet.facts(name).kubernetes.joined = true;
        }
        let found = before(&fleet.inventory, &late, &fleet.all_facts(), &|_| true).await;
        assert_eq!(errors(&found, "clock"), [] as [&str; 0]);
    }

    #[tokio::test]
    async fn a_virtual_address_that_somebody_has_stops_the_first_run() {
        let mut fleet = Fleet::three();
        fleet.inventory.cluster.endpoint.vip = Some([127, 0, 0, 1].into());
        let hosts = shells(0).await;
        let found = before(&fleet.inventory, &hosts, &fleet.all_facts(), &|_| true).await;
        assert_eq!(errors(&found, "vip-free"), ["cp1: cp1 has it, but not by a keepalived of hoist's"]);
        // Later it is one of them that has it.
        fleet.facts("cp1").kubernetes.control_plane = true;
        let found = before(&fleet.inventory, &hosts, &fleet.all_facts(), &|_| true).await;
        assert_eq!(errors(&found, "vip-free"), [] as [&str; 0]);
    }

    #[tokio::test]
    async fn what_base_and_the_network_plugin_need_of_the_kernel_is_asked_before() {
        let mut fleet = Fleet::three();
        let asked = |found: &[Finding], check: &str| found.iter().any(|finding| finding.check == check);
        let found = before(&fleet.inventory, &shells(0).await, &fleet.all_facts(), &|_| true).await;
        assert!(asked(&found, "kernel-modules") && !asked(&found, "cilium"));
        fleet.inventory.cluster.network.plugin = crate::inventory::Plugin::Cilium;
        let found = before(&fleet.inventory, &shells(0).await, &fleet.all_facts(), &|_| true).await;
        assert!(asked(&found, "cilium"));
    }

    #[tokio::test]
    async fn a_port_that_is_taken_stops_it_and_only_new_hosts_are_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut fleet = Fleet::three();
        fleet.inventory.cluster.endpoint.port = port;
        let hosts = shells(0).await;
        let found = before(&fleet.inventory, &hosts, &fleet.all_facts(), &|_| true).await;
        let taken = errors(&found, "ports-taken");
        assert!(taken.len() == 1 && taken[0].starts_with(&format!("cp1: {port} by ")), "{taken:?}");
        fleet.facts("cp1").kubernetes.joined = true;
        let found = before(&fleet.inventory, &hosts, &fleet.all_facts(), &|_| true).await;
        assert_eq!(errors(&found, "ports-taken"), [] as [&str; 0]);
    }

    #[tokio::test]
    async fn a_port_that_new_hosts_do_not_reach_stops_it_and_nodes_are_not_tried_among_themselves() {
        let mut fleet = Fleet::three();
        let tried = Arc::default();
        let hosts = network(0, &["192.168.18.211:10250"], &tried).await;
        let found = before(&fleet.inventory, &hosts, &fleet.all_facts(), &|_| true).await;
        let [error] = &errors(&found, "ports")[..] else { panic!("{found:#?}") };
        assert!(error.starts_with("cp1,w2: w1:10250: No route to host"), "{error}");
        assert_eq!(tried.lock().unwrap().len(), 8, "no ports of services: {tried:?}");
        assert!(found.iter().any(|finding| finding.check == "firewall"));

        // One more host for a cluster: what is tried begins or ends there.
        for name in ["cp1", "w1"] {
            fleet.facts(name).kubernetes.joined = true;
        }
        tried.lock().unwrap().clear();
        let mut hosts = hosts;
        let found = before(&fleet.inventory, &hosts, &fleet.all_facts(), &|_| true).await;
        assert_eq!(errors(&found, "ports").len(), 1);
        let expected = [
            "cp1 192.168.18.212:10250",
            "w1 192.168.18.212:10250",
            "w2 192.168.18.201:6443",
            "w2 192.168.18.201:10250",
            "w2 192.168.18.211:10250",
        ];
        assert_eq!(*tried.lock().unwrap(), expected);

        // A node that does not answer says nothing of the network.
        hosts.shift_remove("w1");
        tried.lock().unwrap().clear();
        let found = before(&fleet.inventory, &hosts, &fleet.all_facts(), &|_| true).await;
        assert_eq!(errors(&found, "ports"), [] as [&str; 0]);
        assert_eq!(tried.lock().unwrap().len(), 3);

        fleet.facts("w2").kubernetes.joined = true;
        tried.lock().unwrap().clear();
        let found = before(&fleet.inventory, &hosts, &fleet.all_facts(), &|_| true).await;
        assert!(tried.lock().unwrap().is_empty() && errors(&found, "ports").is_empty());
    }

    #[tokio::test]
    async fn a_host_that_is_only_busy_stops_nobody() {
        let fleet = Fleet::three();
        let tried = Arc::default();
        let hosts = network(BUSY, &[], &tried).await;
        let found = before(&fleet.inventory, &hosts, &fleet.all_facts(), &|_| true).await;
        assert_eq!(errors(&found, "ports"), [] as [&str; 0]);
        assert_eq!(tried.lock().unwrap().len(), 8 + 3, "w2 tries its three ways twice: {tried:?}");
    }

    #[test]
    fn members_of_etcd_are_as_little_new_as_nodes() {
        let text = include_str!("../../inventory/ha.yaml");
        let inventory = inventory::parse("ha.yaml", text).unwrap().inventory;
        let mut facts = Facts::default();
        let new = |name: &str, facts: &Facts| is_new(&inventory.hosts[name], facts);
        assert!(new("witness", &facts) && new("cp1", &facts));
        facts.etcd.data = true;
        assert!(!new("witness", &facts) && new("cp1", &facts));
        facts.kubernetes.joined = true;
        assert!(!new("cp1", &facts));
        facts.etcd.interrupted = true;
        assert!(new("witness", &facts));
    }
}
