//! The virtual address of the API server: whether the control planes can have it, who has it, and whether they would hear
//! from one another.
//!
//! Two clusters in one network with the same virtual router ID do each other no harm: adverts go to the control planes
//! alone, others' are not listened to, and no virtual MAC address is made of the ID. So that is not looked for.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use super::{
    Subject,
    finding::{Check, Finding},
};
use crate::{
    facts::Facts,
    inventory::{Host, Inventory, Role},
    transport::{self, Error, Script, quote},
};

const NETWORK: Check = Check {
    name: "vip-network",
    checked: "whether the virtual address is in the network of the control plane's address",
    expected: "in it, on every control plane: only so can each of them have it",
};
const FREE: Check = Check {
    name: "vip-free",
    checked: "who has the virtual address (ARP)",
    expected: "nobody, or one control plane whose keepalived hoist has set up",
};
const VRRP: Check = Check {
    name: "vrrp",
    checked: "whether VRRP (IP protocol 112) passes between the control planes",
    expected: "it does: otherwise several of them take the virtual address at once",
};

/// Three questions of the kernel's, and some seconds of VRRP beside them.
const TIMEOUT: Duration = Duration::from_secs(40);

/// Whether a host can have the virtual address.
pub fn can_hold(host: &Host) -> bool {
    host.has(Role::ControlPlane)
}

/// Whether the virtual address is in the network of a control plane.
pub fn network(inventory: &Inventory, host: &Subject) -> Option<Finding> {
    let vip = inventory.cluster.endpoint.vip.filter(|_| can_hold(host.host))?;
    let Some(own) = host.facts.addresses.iter().find(|own| own.address == host.host.address) else {
        return Some(NETWORK.skipped(host.name, "the host does not have the address in the inventory"));
    };
    let network = ipnet::Ipv4Net::new(host.host.address, own.prefix.min(32)).ok()?.trunc();
    let observed = format!("{network} on {}", own.interface);
    // Neither the network's own address nor its broadcast is anybody's; a network of two has neither.
    let usable = own.prefix >= 31 || (vip != network.network() && vip != network.broadcast());
    Some(match network.contains(&vip) && usable {
        true => NETWORK.ok(host.name, observed),
        false => NETWORK.error(
            host.name,
            format!("{vip} is no address for a host in {observed}"),
            "choose a free address of that network for `vip`; control planes in different networks cannot hand an address to \
             each other: use `local: true`, or a load balancer of your own at `address`",
        ),
    })
}

/// Hosts that are no control planes and have the virtual address.
pub fn held_by_others(inventory: &Inventory, hosts: &[Subject]) -> Vec<Finding> {
    let Some(vip) = inventory.cluster.endpoint.vip else { return Vec::new() };
    let has = |host: &&Subject| host.facts.addresses.iter().any(|own| own.address == vip);
    let others = hosts.iter().filter(|host| !can_hold(host.host)).filter(has);
    others.map(|host| FREE.error(host.name, format!("{} has {vip}", host.name), TAKEN)).collect()
}

const TAKEN: &str = "choose a free address for `vip`, or take it from that machine; an address that a DHCP server hands out \
                     comes back";

/// What a control plane answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub host: String,
    owner: Option<Owner>,
    /// Why it could not tell.
    unasked: Option<String>,
    /// Whether hoist's keepalived runs there.
    keeps: bool,
    /// The control planes whose VRRP packets arrived; `None` where nobody listened.
    hears: Option<Vec<String>>,
}

/// Who has the virtual address, as one control plane sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner {
    Nobody,
    Itself,
    /// In lower case.
    Mac(String),
}

/// Asks a control plane who has the address and whom it hears. `names` are all that are asked at the same time.
///
/// # Errors
/// When the host is lost, or the script does not end.
pub async fn ask(
    inventory: &Inventory,
    host: &dyn transport::Host,
    vip: Ipv4Addr,
    names: &[&str],
) -> Result<Answer, Error> {
    run(inventory, host, vip, names, "").await
}

/// Asks a control plane who has the address, and gives whoever that is a second to answer.
///
/// # Errors
/// As above.
pub async fn ask_owner(
    inventory: &Inventory,
    host: &dyn transport::Host,
    vip: Ipv4Addr,
) -> Result<Answer, Error> {
    run(inventory, host, vip, &[host.name()], "yes").await
}

async fn run(
    inventory: &Inventory,
    host: &dyn transport::Host,
    vip: Ipv4Addr,
    names: &[&str],
    quick: &str,
) -> Result<Answer, Error> {
    let own = names.iter().position(|name| *name == host.name()).unwrap_or_default();
    let others =
        names.iter().filter(|name| **name != host.name()).filter_map(|name| inventory.hosts.get(*name));
    let peers: Vec<String> = others.map(|peer| peer.address.to_string()).collect();
    // Somebody else's examination at the same time is none of ours.
    let token = std::process::id();
    let text = format!(
        "vip={vip} self={own} token={token} quick={quick} peers={}\n{}",
        quote(&peers.join(" ")),
        include_str!("vip.sh")
    );
    let output = host.run(Script::new(text).timeout(TIMEOUT)).await?;
    Ok(Answer::parse(host.name(), names, &String::from_utf8_lossy(&output.stdout)))
}

impl Answer {
    /// Reads the answer of the script. Lines it does not know are passed over.
    fn parse(host: &str, names: &[&str], answer: &str) -> Answer {
        let mut parsed = Answer { host: host.to_owned(), ..Answer::default() };
        for (key, value) in answer.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "owner" => {
                    parsed.owner = Some(match value {
                        "nobody" => Owner::Nobody,
                        "self" => Owner::Itself,
                        mac => Owner::Mac(mac.to_lowercase()),
                    });
                }
                "unasked" => parsed.unasked = Some(value.to_owned()),
                "keeps" => parsed.keeps = true,
                "listens" => _ = parsed.hears.get_or_insert_default(),
                "hears" => {
                    let name = value.parse().ok().and_then(|index: usize| names.get(index));
                    parsed.hears.get_or_insert_default().extend(name.map(|name| (*name).to_owned()));
                }
                _ => {}
            }
        }
        parsed
    }
}

/// Judges all answers together, with the facts of all hosts that were asked anything.
pub fn judge(inventory: &Inventory, facts: &BTreeMap<&str, &Facts>, answers: &[Answer]) -> Vec<Finding> {
    let mut findings = judge_owner(inventory, facts, answers);
    findings.extend(vrrp(answers));
    findings
}

/// Judges who has the address alone.
pub fn judge_owner(
    inventory: &Inventory,
    facts: &BTreeMap<&str, &Facts>,
    answers: &[Answer],
) -> Vec<Finding> {
    answers.iter().map(|answer| free(inventory, facts, answers, answer)).collect()
}

fn holders(answers: &[Answer]) -> Vec<&str> {
    let holders = answers.iter().filter(|answer| answer.owner == Some(Owner::Itself));
    holders.map(|answer| answer.host.as_str()).collect()
}

fn free(
    inventory: &Inventory,
    facts: &BTreeMap<&str, &Facts>,
    answers: &[Answer],
    answer: &Answer,
) -> Finding {
    let host = answer.host.as_str();
    let held = |holder: &str| match holders(answers).as_slice() {
        [_, _, ..] => FREE.error(
            host,
            format!("{} have it at the same time", holders(answers).join(", ")),
            "let VRRP (IP protocol 112) through between the control planes: they do not hear each other",
        ),
        _ if answers.iter().any(|other| other.host == holder && other.keeps) => {
            FREE.ok(host, format!("{holder} has it, by its keepalived"))
        }
        _ => FREE.error(
            host,
            format!("{holder} has it, but not by a keepalived of hoist's"),
            "remove it from the network configuration of that host: the control planes hand it to each other",
        ),
    };
    match &answer.owner {
        None => FREE.skipped(host, answer.unasked.clone().unwrap_or_else(|| "no answer".into())),
        Some(Owner::Nobody) => FREE.ok(host, "nobody"),
        Some(Owner::Itself) => held(host),
        Some(Owner::Mac(mac)) => {
            let has_mac = |facts: &Facts| facts.interfaces.iter().any(|interface| interface.mac == *mac);
            let known = facts.iter().find(|(_, facts)| has_mac(facts)).map(|(name, _)| *name);
            let control_planes = || inventory.with_role(Role::ControlPlane).map(|(name, _)| name);
            let unasked: Vec<&str> =
                control_planes().filter(|name| answers.iter().all(|answer| answer.host != *name)).collect();
            match known {
                Some(holder) if control_planes().any(|name| name == holder) => held(holder),
                Some(other) => FREE.error(host, format!("{other} has it ({mac})"), TAKEN),
                None if !unasked.is_empty() => FREE.skipped(
                    host,
                    format!("a machine with the MAC address {mac}, which may be {}", unasked.join(" or ")),
                ),
                None => FREE.error(host, format!("a machine with the MAC address {mac}"), TAKEN),
            }
        }
    }
}

/// One finding for each host that does not hear another, and one for all the others.
fn vrrp(answers: &[Answer]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if answers.len() < 2 {
        return findings;
    }
    let keepers: Vec<&Answer> = answers.iter().filter(|answer| answer.keeps).collect();
    if keepers.len() > 1 {
        let names = keepers.iter().map(|answer| answer.host.clone()).collect();
        let holding = keepers.iter().filter(|answer| answer.owner == Some(Owner::Itself)).count();
        findings.push(match holding {
            0 => VRRP.skipped("", "keepalived runs, but none of these has the address"),
            1 => VRRP.ok("", "one has the address, and the others hear it"),
            _ => VRRP.error("", "several have the address: they do not hear each other", OPEN),
        });
        findings.iter_mut().for_each(|finding| finding.hosts = Vec::clone(&names));
    }
    for answer in answers.iter().filter(|answer| !answer.keeps) {
        let host = answer.host.as_str();
        let Some(heard) = &answer.hears else {
            findings.push(
                VRRP.skipped(host, "not tested: there is no socat on the host, or another one at work"),
            );
            continue;
        };
        // Only those that tried can be missed.
        let senders = answers.iter().filter(|other| other.host != host && other.hears.is_some());
        let (heard, missed): (Vec<&Answer>, Vec<&Answer>) =
            senders.partition(|other| heard.contains(&other.host));
        let names =
            |list: &[&Answer]| list.iter().map(|other| other.host.as_str()).collect::<Vec<_>>().join(", ");
        findings.push(match (missed.is_empty(), heard.is_empty()) {
            (false, _) => VRRP.error(host, format!("nothing arrives from {}", names(&missed)), OPEN),
            (true, false) => VRRP.ok(host, "packets of the others arrive"),
            (true, true) => VRRP.skipped(host, "not tested: no other control plane could send"),
        });
    }
    findings
}

const OPEN: &str = "let IP protocol 112 through between the control planes, in their own firewalls \
                    (`firewall-cmd --permanent --add-protocol=vrrp`) and in those between them";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::{Interface, InterfaceAddress},
        inventory,
        preflight::{
            Severity::{self, Error, Ok, Skipped},
            tests::Fleet,
        },
    };

    fn inventory() -> Inventory {
        let text = "cluster: {name: a, kubernetes: \"1.20.2\", etcd: external, endpoint: {vip: 10.0.0.9}}\nhosts:\n  \
                    cp1: {address: 10.0.0.1, roles: [control-plane]}\n  cp2: {address: 10.0.0.2, roles: [control-plane]}\n  \
                    w1: {address: 10.0.0.3, roles: [worker, etcd]}\n";
        inventory::parse("test", text).unwrap().inventory
    }

    fn facts(last: u8, prefix: u8) -> Facts {
        let interface = "eth0".to_owned();
        Facts {
            addresses: vec![InterfaceAddress {
                interface: interface.clone(),
                address: [10, 0, 0, last].into(),
                prefix,
            }],
            interfaces: vec![Interface {
                name: interface,
                mac: format!("00:00:00:00:00:0{last}"),
                mtu: 1500,
                hardware: true,
            }],
            ..Facts::default()
        }
    }

    /// What is said when cp1 and cp2 answer so, of a check.
    fn said(check: &str, answers: &[&str]) -> Vec<(Severity, String)> {
        let names = ["cp1", "cp2"];
        let answers: Vec<Answer> =
            names.iter().zip(answers).map(|(name, answer)| Answer::parse(name, &names, answer)).collect();
        let facts: Vec<(&str, Facts)> = [("cp1", 1), ("cp2", 2), ("w1", 3)]
            .into_iter()
            .map(|(name, last)| (name, facts(last, 24)))
            .collect();
        let facts = facts.iter().map(|(name, facts)| (*name, facts)).collect();
        let findings = judge(&inventory(), &facts, &answers);
        let of_check = findings.into_iter().filter(|finding| finding.check == check);
        of_check
            .map(|finding| (finding.severity, format!("{}: {}", finding.hosts.join(","), finding.observed)))
            .collect()
    }

    #[test]
    fn who_has_the_address() {
        let first = |answers: &[&str]| said("vip-free", answers).swap_remove(0);
        for (answers, severity, observed) in [
            (&["owner=nobody", "owner=nobody"][..], Ok, "nobody"),
            (&["owner=00:00:00:00:00:02", "owner=self\nkeeps=yes"], Ok, "cp2 has it, by its keepalived"),
            (&["owner=self\nkeeps=yes", "owner=00:00:00:00:00:01"], Ok, "cp1 has it, by its keepalived"),
            (
                &["owner=00:00:00:00:00:02", "owner=self"],
                Error,
                "cp2 has it, but not by a keepalived of hoist's",
            ),
            (&["owner=self\nkeeps=yes", "owner=self\nkeeps=yes"], Error, "cp1, cp2 have it at the same time"),
            (&["owner=00:00:00:00:00:03", "owner=nobody"], Error, "w1 has it (00:00:00:00:00:03)"),
            (&["owner=AA:00:00:00:00:03", ""], Error, "a machine with the MAC address aa:00:00:00:00:03"),
            (
                &["owner=aa:00:00:00:00:03"],
                Skipped,
                "a machine with the MAC address aa:00:00:00:00:03, which may be cp2",
            ),
            (&["unasked=no ip", ""], Skipped, "no ip"),
            (&["", ""], Skipped, "no answer"),
        ] {
            assert_eq!(first(answers), (severity, format!("cp1: {observed}")), "{answers:?}");
        }
    }

    #[test]
    fn who_hears_whom() {
        let all = |answers: &[&str]| said("vrrp", answers);
        let fine = |host: &str| (Ok, format!("{host}: packets of the others arrive"));
        assert_eq!(all(&["listens=yes\nhears=1", "listens=yes\nhears=0"]), [fine("cp1"), fine("cp2")]);
        let deaf = (Error, "cp2: nothing arrives from cp1".to_owned());
        assert_eq!(all(&["listens=yes\nhears=1", "listens=yes"]), [fine("cp1"), deaf]);
        let alone = all(&["listens=yes", ""]);
        assert!(alone.iter().all(|(severity, _)| *severity == Skipped), "{alone:?}");
        let at_work = (Ok, "cp1,cp2: one has the address, and the others hear it".to_owned());
        assert_eq!(all(&["keeps=yes\nowner=self", "keeps=yes"]), [at_work]);
        assert_eq!(all(&["keeps=yes\nowner=self", "keeps=yes\nowner=self"])[0].0, Error);
        assert_eq!(all(&["keeps=yes", "keeps=yes"])[0].0, Skipped);
        assert_eq!(all(&["listens=yes"]), [], "one has nobody to hear");
    }

    #[test]
    fn the_address_is_one_of_the_control_planes_network() {
        let inventory = inventory();
        let say = |name: &str, last, prefix| {
            let facts = facts(last, prefix);
            let subject = Subject { name, host: &inventory.hosts[name], facts: &facts, survey: None };
            network(&inventory, &subject).map(|finding| finding.severity)
        };
        assert_eq!(say("cp1", 1, 24), Some(Ok));
        assert_eq!(say("cp1", 1, 29), Some(Error), "10.0.0.8 begins another one");
        assert_eq!(say("cp2", 1, 24), Some(Skipped));
        assert_eq!(say("w1", 3, 32), None, "only control planes can have it");
        let mut broadcast = inventory.clone();
        broadcast.cluster.endpoint.vip = Some([10, 0, 0, 255].into());
        let facts = facts(1, 24);
        let subject = Subject { name: "cp1", host: &inventory.hosts["cp1"], facts: &facts, survey: None };
        assert_eq!(network(&broadcast, &subject).unwrap().severity, Error);
    }

    #[test]
    fn a_worker_that_has_the_address_is_known_from_facts() {
        let mut fleet = Fleet::three();
        let vip = [192, 168, 18, 200].into();
        fleet.inventory.cluster.endpoint.vip = Some(vip);
        assert_eq!(held_by_others(&fleet.inventory, &fleet.subjects()), []);
        for host in ["cp1", "w1"] {
            fleet.facts(host).addresses.push(InterfaceAddress {
                interface: "eth0".into(),
                address: vip.into(),
                prefix: 32,
            });
        }
        let hosts: Vec<Vec<String>> = held_by_others(&fleet.inventory, &fleet.subjects())
            .into_iter()
            .map(|finding| finding.hosts)
            .collect();
        assert_eq!(hosts, [["w1"]]);
    }
}
