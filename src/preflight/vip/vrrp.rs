//! Whether the control planes hear from one another.

use super::{
    super::finding::{Check, Finding, Severity},
    ask::{Answer, Owner},
};

const VRRP: Check = Check {
    name: "vrrp",
    checked: "whether VRRP (IP protocol 112) passes between the control planes",
    expected: "it does: otherwise several of them take the virtual address at once",
};

const OPEN: &str = "let IP protocol 112 through between the control planes, in their own firewalls \
                    (`firewall-cmd --permanent --add-protocol=vrrp`) and in those between them";

/// Whether it says that a control plane does not hear another one.
pub fn is_deaf(finding: &Finding) -> bool {
    finding.check == VRRP.name && finding.severity == Severity::Error
}

/// One finding for each host that does not hear another, and one for all the others.
pub fn judge(answers: &[Answer]) -> Vec<Finding> {
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
            findings.push(VRRP.skipped(host, "not tested: the host has neither socat nor perl nor python3"));
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
