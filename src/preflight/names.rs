//! What hosts are called, and what names mean to them.

use std::net::IpAddr;

use super::{
    Subject,
    finding::{Check, Finding},
    survey::Survey,
};

const HOSTNAME: Check =
    Check { name: "hostname", checked: "the host name that is set", expected: "the name in the inventory" };
const OWN_NAME: Check = Check {
    name: "own-name",
    checked: "what the host's own name resolves to",
    expected: "an address of the host itself, or nothing",
};
const LOCALHOST: Check =
    Check { name: "localhost", checked: "what localhost resolves to", expected: "127.0.0.1" };

/// The host name, from facts.
pub fn hostname(host: &Subject) -> Finding {
    let set = host.facts.hostname.as_str();
    let fix = format!(
        "`hostnamectl set-hostname {}`; the node gets this name in any case, but logs and other tools show the host's",
        host.name
    );
    let short = set.split('.').next().unwrap_or(set);
    let finding = if set.is_empty() {
        HOSTNAME.skipped(host.name, "the host did not tell")
    } else if short == host.name {
        HOSTNAME.ok(host.name, set)
    } else if matches!(short, "localhost" | "localhost4" | "localhost6") {
        HOSTNAME.warning(host.name, format!("{set}: it was never given a name"), fix)
    } else if !is_rfc1123(set) {
        HOSTNAME.warning(host.name, format!("{set}: not a host name by RFC 1123"), fix)
    } else {
        HOSTNAME.warning(host.name, set, fix)
    };
    finding.expecting(host.name)
}

/// Lower-case labels of letters, digits and inner hyphens.
fn is_rfc1123(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// What names mean on one host.
pub fn from_survey(host: &Subject, survey: &Survey) -> Vec<Finding> {
    vec![own_name(host, survey), localhost(host, survey)]
}

/// Debian's own `127.0.1.1 NAME` in /etc/hosts is as good as nothing: the kubelet and the API server are given
/// their addresses.
fn own_name(host: &Subject, survey: &Survey) -> Finding {
    let own = |address: &IpAddr| {
        address.is_loopback()
            || *address == IpAddr::from(host.host.address)
            || host.facts.addresses.iter().any(|own| own.address == *address)
            || matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
    };
    match survey.own_name.iter().find(|address| !own(address)) {
        Some(address) => OWN_NAME.warning(
            host.name,
            format!("{address}, which is not an address of this host"),
            format!("correct the line for {} in /etc/hosts or in DNS", host.name),
        ),
        None if survey.own_name.is_empty() => OWN_NAME.ok(host.name, "nothing"),
        None => OWN_NAME.ok(host.name, "an address of its own"),
    }
}

/// kubeadm asks the kubelet by that name, and etcd's health probe did.
fn localhost(host: &Subject, survey: &Survey) -> Finding {
    const FIX: &str = "add the line `127.0.0.1 localhost` to /etc/hosts";
    match survey.localhost.first() {
        Some(address) if address.is_loopback() => LOCALHOST.ok(host.name, address.to_string()),
        Some(address) => LOCALHOST.error(host.name, address.to_string(), FIX),
        None if survey.wildcard.is_none() => LOCALHOST.skipped(host.name, "there is no getent"),
        None => LOCALHOST.error(host.name, "nothing", FIX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{
        Severity::{self, Error, Ok, Skipped, Warning},
        survey::Lookup,
        tests::Fleet,
    };

    fn say(fleet: &Fleet, check: &str) -> Severity {
        let hosts = fleet.subjects();
        let host = &hosts[1];
        let all = [vec![hostname(host)], from_survey(host, host.survey.unwrap())].concat();
        all.into_iter().find(|finding| finding.check == check).unwrap().severity
    }

    #[test]
    fn host_names() {
        for (set, severity) in [
            ("w1", Ok),
            ("w1.example.lan", Ok),
            ("w2", Warning),
            ("W1", Warning),
            ("w_1", Warning),
            ("localhost.localdomain", Warning),
            ("", Skipped),
        ] {
            let mut fleet = Fleet::three();
            fleet.facts("w1").hostname = set.into();
            assert_eq!(say(&fleet, "hostname"), severity, "{set}");
        }
        for (name, valid) in [
            ("w1", true),
            ("1-a.b", true),
            ("W1", false),
            ("a_b", false),
            ("-a", false),
            ("a-", false),
            ("a..b", false),
        ] {
            assert_eq!(is_rfc1123(name), valid, "{name}");
        }
    }

    #[test]
    fn what_names_resolve_to() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for (own, severity) in [
            (&[][..], Ok),
            (&["127.0.1.1"], Ok),
            (&["192.168.18.211"], Ok),
            (&["fe80::1", "192.168.18.211"], Ok),
            (&["192.168.18.201"], Warning),
            (&["127.0.1.1", "8.8.8.8"], Warning),
        ] {
            let mut fleet = Fleet::three();
            fleet.survey("w1").own_name = own.iter().map(|text| address(text)).collect();
            assert_eq!(say(&fleet, "own-name"), severity, "{own:?}");
        }
        for (localhost, getent, severity) in [
            (Some("127.0.0.1"), true, Ok),
            (Some("10.0.0.1"), true, Error),
            (None, true, Error),
            (None, false, Skipped),
        ] {
            let mut fleet = Fleet::three();
            fleet.survey("w1").localhost = localhost.map(address).into_iter().collect();
            fleet.survey("w1").wildcard = getent.then_some(Lookup::Nothing);
            assert_eq!(say(&fleet, "localhost"), severity, "{localhost:?}");
        }
    }
}
