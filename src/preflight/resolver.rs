//! Name servers: those that hosts have, and what becomes of them in pods.

use std::net::IpAddr;

use super::{
    Subject,
    finding::{Check, Finding},
    survey::{Lookup, Survey},
};
use crate::inventory::Inventory;

const RESOLVER: Check = Check {
    name: "resolver",
    checked: "the name servers that pods would be given",
    expected: "name servers that can be reached from pods",
};
const LIMITS: Check = Check {
    name: "resolver-limits",
    checked: "how many name servers and search domains there are",
    expected: "no more than pods can be given",
};
const WILDCARD: Check = Check {
    name: "dns-wildcard",
    checked: "whether a name resolves that exists nowhere",
    expected: "no: every name inside the cluster would first mean that address",
};
const MIXED: Check = Check {
    name: "resolver-mixed",
    checked: "whether systemd-resolved runs on all hosts or on none",
    expected: "the same everywhere: before 1.31 kubeadm decides for all nodes by the first",
};

/// The most name servers in a resolv.conf, of glibc and so of the kubelet.
const NAME_SERVERS: usize = 3;

/// How many search domains the kubelet takes from a host: of 6, or of 32 since 1.26, the cluster needs 3 itself
/// (`CheckLimitsForResolvConf` in the kubelet; KEP-2595).
fn search_domains(inventory: &Inventory) -> usize {
    if inventory.cluster.kubernetes.minor < 26 { 6 - 3 } else { 32 - 3 }
}

/// How many characters these may have together, with spaces between them (the same function).
fn search_length(inventory: &Inventory) -> usize {
    if inventory.cluster.kubernetes.minor < 26 { 256 } else { 2048 }
}

/// Whether a name server is the host itself, which in a pod is the pod.
fn loopback(server: &str) -> bool {
    server.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether kubeadm gives the kubelet the file of systemd-resolved: it does where that runs.
fn behind_resolved(survey: &Survey) -> bool {
    survey.is_active("systemd-resolved") && survey.resolved.iter().any(|server| !loopback(server))
}

/// What name servers mean on one host.
pub fn from_survey(inventory: &Inventory, host: &Subject, survey: &Survey) -> Vec<Finding> {
    vec![servers(inventory, host, survey), limits(inventory, host, survey), wildcard(host, survey)]
}

fn servers(inventory: &Inventory, host: &Subject, survey: &Survey) -> Finding {
    if let Some(file) = inventory.cluster.kubelet.get("resolvConf") {
        return RESOLVER.ok(host.name, format!("the inventory names the file: {file}"));
    }
    if survey.nameservers.is_empty() {
        return RESOLVER.warning(
            host.name,
            "none in /etc/resolv.conf",
            "without a name server, names outside of the cluster mean nothing to pods, and no image can be pulled by name",
        );
    }
    let Some(local) = survey.nameservers.iter().find(|server| loopback(server)) else {
        return RESOLVER.ok(host.name, survey.nameservers.join(", "));
    };
    if behind_resolved(survey) {
        let real: Vec<&str> =
            survey.resolved.iter().map(String::as_str).filter(|server| !loopback(server)).collect();
        let why = format!(
            "{local} is systemd-resolved, so kubeadm gives the kubelet the file with the servers behind it: {}",
            real.join(", ")
        );
        return RESOLVER.ok(host.name, why);
    }
    let author = author(survey).map(|author| format!(" ({author})")).unwrap_or_default();
    let manager = match survey.resolv_author.contains("NetworkManager") {
        true => {
            "; NetworkManager writes the real ones itself without `dns=` in /etc/NetworkManager/conf.d, after `systemctl \
                 reload NetworkManager`"
        }
        false => "",
    };
    RESOLVER.error(
        host.name,
        format!("{local}, which in a pod is the pod itself: CoreDNS would ask itself and stop{author}"),
        format!(
            "write a file with the real name servers on every host and name it in the inventory: `cluster: {{kubelet: \
             {{resolvConf: /etc/kubernetes/resolv.conf}}}}`; or use systemd-resolved, which kubeadm knows{manager}"
        ),
    )
}

/// Who writes /etc/resolv.conf, as its own comment has it.
fn author(survey: &Survey) -> Option<&str> {
    let said = survey.resolv_author.trim_start_matches(['#', ';', ' ']);
    (!said.is_empty()).then_some(said)
}

/// Of the file that the kubelet is given, which may not be /etc/resolv.conf.
fn limits(inventory: &Inventory, host: &Subject, survey: &Survey) -> Finding {
    let (most, longest) = (search_domains(inventory), search_length(inventory));
    let expected = format!(
        "at most {NAME_SERVERS} name servers, and {most} search domains of {longest} characters together"
    );
    if let Some(file) = inventory.cluster.kubelet.get("resolvConf") {
        let why = format!("the inventory names another file for pods, which was not read: {file}");
        return LIMITS.skipped(host.name, why).expecting(expected);
    }
    let (file, servers, search) = match behind_resolved(survey) {
        true => ("/run/systemd/resolve/resolv.conf", &survey.resolved, &survey.resolved_search),
        false => ("/etc/resolv.conf", &survey.nameservers, &survey.search),
    };
    let length = search.join(" ").len();
    let observed =
        format!("name servers: {}, search domains: {} ({length} characters)", servers.len(), search.len());
    let finding = if servers.len() > NAME_SERVERS || search.len() > most || length > longest {
        let author = author(survey).map(|author| format!("; it says: {author}")).unwrap_or_default();
        let fix = format!("shorten {file}, or what writes it: pods silently lose what is too much{author}");
        LIMITS.warning(host.name, observed, fix)
    } else {
        LIMITS.ok(host.name, observed)
    };
    finding.expecting(expected)
}

fn wildcard(host: &Subject, survey: &Survey) -> Finding {
    match survey.wildcard {
        Some(Lookup::Nothing) => WILDCARD.ok(host.name, "no"),
        Some(Lookup::Address(address)) => WILDCARD.warning(
            host.name,
            format!("it resolves to {address}; search domains: {}", survey.search.join(", ")),
            "take the search domain with the wildcard out of /etc/resolv.conf (or of DHCP), or the wildcard out of DNS",
        ),
        Some(Lookup::TimedOut) => WILDCARD.warning(
            host.name,
            "the name servers did not answer within 6 s",
            "mend or remove the name servers in /etc/resolv.conf: every lookup waits for them, logins too",
        ),
        None => WILDCARD.skipped(host.name, "there is no getent"),
    }
}

/// Nodes whose `resolvConf` is written by another node that has systemd-resolved, or has not, fail to start pods
/// (https://github.com/kubernetes/kubeadm/issues/3034, mended in 1.31).
pub fn mixed(inventory: &Inventory, hosts: &[Subject]) -> Option<Finding> {
    if inventory.cluster.kubernetes.minor >= 31 || inventory.cluster.kubelet.contains_key("resolvConf") {
        return None;
    }
    let surveys = hosts.iter().filter_map(|host| Some((host.name, host.survey?)));
    let (with, without): (Vec<_>, Vec<_>) = surveys
        .filter(|(_, survey)| survey.active.is_some())
        .partition(|(_, survey)| survey.is_active("systemd-resolved"));
    let names =
        |hosts: &[(&str, &Survey)]| hosts.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    let (with, without) = (names(&with), names(&without));
    if with.is_empty() && without.is_empty() {
        return None;
    }
    if with.is_empty() || without.is_empty() {
        return Some(MIXED.ok("", "the same everywhere").about([with, without].concat()));
    }
    let observed = format!("it runs on {}, but not on {}", with.join(", "), without.join(", "));
    let fix = "enable it everywhere or nowhere, or name one file for all in the inventory: `cluster: {kubelet: \
               {resolvConf: …}}`";
    Some(MIXED.error("", observed, fix).about([with, without].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{
        Severity::{self, Error, Ok, Skipped, Warning},
        tests::Fleet,
    };

    fn say(fleet: &Fleet, check: &str) -> Severity {
        let hosts = fleet.subjects();
        let all = from_survey(&fleet.inventory, &hosts[1], hosts[1].survey.unwrap());
        all.into_iter().find(|finding| finding.check == check).unwrap().severity
    }

    #[test]
    fn name_servers_that_pods_cannot_use() {
        for (servers, resolved, active, severity) in [
            (&["192.168.18.1"][..], &[][..], false, Ok),
            (&["127.0.0.53"], &["192.168.18.1"], true, Ok),
            (&["127.0.0.53"], &["192.168.18.1"], false, Error),
            (&["127.0.0.53"], &[], true, Error),
            (&["127.0.0.53"], &["127.0.0.1"], true, Error),
            (&["192.168.18.1", "127.0.0.1"], &[], false, Error),
            (&["::1"], &[], false, Error),
            (&[], &[], false, Warning),
        ] {
            let mut fleet = Fleet::three();
            let survey = fleet.survey("w1");
            survey.nameservers = servers.iter().map(|text| text.to_string()).collect();
            survey.resolved = resolved.iter().map(|text| text.to_string()).collect();
            survey.active = Some(if active { vec!["systemd-resolved".into()] } else { vec![] });
            assert_eq!(say(&fleet, "resolver"), severity, "{servers:?} {resolved:?} {active}");
            fleet.inventory.cluster.kubelet.insert("resolvConf".into(), "/etc/own.conf".into());
            assert_eq!(say(&fleet, "resolver"), Ok);
        }
    }

    #[test]
    fn limits_depend_on_the_version() {
        for (servers, domains, version, severity) in [
            (3, 3, "1.20.2", Ok),
            (4, 0, "1.20.2", Warning),
            (1, 4, "1.20.2", Warning),
            (1, 4, "1.26.0", Ok),
            (1, 30, "1.26.0", Warning),
        ] {
            let mut fleet = Fleet::three();
            fleet.survey("w1").nameservers = vec!["192.168.18.1".into(); servers];
            fleet.survey("w1").search = vec!["example.lan".into(); domains];
            fleet.inventory.cluster.kubernetes = version.parse().unwrap();
            assert_eq!(say(&fleet, "resolver-limits"), severity, "{servers} {domains} {version}");
            // What is in a file that the kubelet is not given does not count.
            fleet.survey("w1").active = Some(vec!["systemd-resolved".into()]);
            fleet.survey("w1").resolved = vec!["192.168.18.1".into()];
            assert_eq!(say(&fleet, "resolver-limits"), Ok, "{servers} {domains} {version}");
            let Survey { nameservers, search, .. } = fleet.survey("w1").clone();
            let survey = fleet.survey("w1");
            (survey.resolved, survey.resolved_search) = (nameservers, search);
            survey.nameservers = vec!["127.0.0.53".into()];
            assert_eq!(say(&fleet, "resolver-limits"), severity, "{servers} {domains} {version}");
            fleet.inventory.cluster.kubelet.insert("resolvConf".into(), "/etc/own.conf".into());
            assert_eq!(say(&fleet, "resolver-limits"), Skipped);
        }
        // 3 domains of 90 characters: few enough, and too long for the old kubelet.
        for (version, severity) in [("1.20.2", Warning), ("1.26.0", Ok)] {
            let mut fleet = Fleet::three();
            fleet.survey("w1").search = vec!["a".repeat(90); 3];
            fleet.inventory.cluster.kubernetes = version.parse().unwrap();
            assert_eq!(say(&fleet, "resolver-limits"), severity, "{version}");
        }
    }

    #[test]
    fn who_writes_the_file_is_told() {
        let mut fleet = Fleet::three();
        fleet.survey("w1").nameservers = vec!["127.0.0.1".into()];
        let said = |fleet: &Fleet| {
            let hosts = fleet.subjects();
            let finding = servers(&fleet.inventory, &hosts[1], hosts[1].survey.unwrap());
            (finding.observed, finding.fix)
        };
        assert!(!said(&fleet).0.contains('(') && !said(&fleet).1.contains("NetworkManager"));
        fleet.survey("w1").resolv_author = "# Generated by NetworkManager".into();
        let (observed, fix) = said(&fleet);
        assert!(observed.ends_with("(Generated by NetworkManager)"), "{observed}");
        assert!(fix.contains("NetworkManager writes the real ones itself"), "{fix}");
        fleet.survey("w1").search = vec!["lan".into(); 40];
        let hosts = fleet.subjects();
        let finding = limits(&fleet.inventory, &hosts[1], hosts[1].survey.unwrap());
        assert!(finding.fix.ends_with("; it says: Generated by NetworkManager"), "{}", finding.fix);
    }

    #[test]
    fn systemd_resolved_on_some_hosts_only() {
        let mut fleet = Fleet::three();
        let severity =
            |fleet: &Fleet| mixed(&fleet.inventory, &fleet.subjects()).map(|finding| finding.severity);
        assert_eq!(severity(&fleet), Some(Ok));
        fleet.survey("cp1").active = Some(vec!["systemd-resolved".into()]);
        assert_eq!(severity(&fleet), Some(Error));
        fleet.inventory.cluster.kubernetes = "1.31.0".parse().unwrap();
        assert_eq!(severity(&fleet), None);
    }

    #[test]
    fn names_that_exist_nowhere() {
        for (answer, severity) in [
            (Some(Lookup::Nothing), Ok),
            (Some(Lookup::Address([203, 0, 113, 9].into())), Warning),
            (Some(Lookup::TimedOut), Warning),
            (None, Skipped),
        ] {
            let mut fleet = Fleet::three();
            fleet.survey("w1").wildcard = answer;
            assert_eq!(say(&fleet, "dns-wildcard"), severity, "{answer:?}");
        }
    }
}
