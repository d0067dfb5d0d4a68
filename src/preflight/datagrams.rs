//! Whether datagrams as large as the interface allows, which nobody may cut in pieces, came to the UDP ports that nodes use on
//! each other. They prove that the port is open and the size passes, and nothing about what is inside a tunnel.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    finding::{Check, Finding},
    overlay::OVERLAY,
    ways::VXLAN,
};

const PORTS: Check = Check {
    name: "udp-ports",
    checked: "whether full-size datagrams pass between hosts on the other UDP ports that nodes will use",
    expected: "they arrive: Cilium encrypts by 51871 (WireGuard), MetalLB's speakers find each other by 7946",
};

/// What one host heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    host: String,
    /// From which hosts something came, by port; each port that was listened on.
    came: BTreeMap<u16, BTreeSet<String>>,
    /// Ports that another program has.
    deaf: BTreeSet<u16>,
}

impl Heard {
    /// Reads `came PORT INDEX` and `deaf PORT`; an index is that of a host among `names`.
    pub fn parse(host: &str, ports: impl Iterator<Item = u16>, names: &[&str], answer: &str) -> Heard {
        let came = ports.map(|port| (port, BTreeSet::new())).collect();
        let mut heard = Heard { host: host.to_owned(), came, deaf: BTreeSet::new() };
        for line in answer.lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["came", port, index] => {
                    let name = index.parse().ok().and_then(|index: usize| names.get(index));
                    let came = port.parse().ok().and_then(|port: u16| heard.came.get_mut(&port));
                    if let (Some(name), Some(came)) = (name, came) {
                        came.insert((*name).to_owned());
                    }
                }
                ["deaf", port] => heard.deaf.extend(port.parse::<u16>()),
                _ => {}
            }
        }
        heard
    }
}

/// Says for each port which ways are closed. `meet` says who tried whom. VXLAN's is listened on where no tunnel could be
/// made, and sent to from there.
pub fn judge(hosts: &[Heard], meet: impl Fn(&str, &str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for to in hosts {
        for (port, came) in &to.came {
            let check = if *port == VXLAN { OVERLAY } else { PORTS };
            let name = to.host.as_str();
            if to.deaf.contains(port) {
                findings.push(check.skipped(name, format!("UDP port {port} could not be listened on")));
                continue;
            }
            let senders = hosts.iter().filter(|from| from.came.contains_key(port));
            let senders = senders.map(|from| from.host.as_str());
            let senders = senders.filter(|from| *from != name && meet(from, name));
            let (arrived, lost): (Vec<&str>, Vec<&str>) = senders.partition(|from| came.contains(*from));
            if !lost.is_empty() {
                let observed =
                    format!("no full-size datagram came to UDP port {port} from {}", lost.join(", "));
                let fix = format!("open UDP port {port} between all hosts, and see `path-mtu` for the size");
                findings.push(check.error(name, observed, fix));
            } else if !arrived.is_empty() {
                let observed =
                    format!("full-size datagrams came to UDP port {port} from {}", arrived.join(", "));
                findings.push(check.ok(name, observed));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Severity::{Error, Ok, Skipped};

    #[test]
    fn datagrams_that_came_and_those_that_did_not() {
        let names = ["cp1", "w1", "w2"];
        let heard =
            |host, ports: &[u16], answer: &str| Heard::parse(host, ports.iter().copied(), &names, answer);
        let hosts = [
            heard("cp1", &[8472, 7946], "came 8472 1\ncame 7946 1\ncame 7946 2\ncame 7946 9\nnonsense"),
            heard("w1", &[8472, 7946], "came 8472 0\ncame 8472 2\ncame 51871 0\ndeaf 7946"),
            heard("w2", &[8472, 7946], "came 7946 0"),
        ];
        let findings = judge(&hosts, |from, to| from != "w2" || to == "w1");
        let said: Vec<_> = findings
            .into_iter()
            .map(|finding| (finding.check, finding.severity, finding.hosts.join(","), finding.observed))
            .collect();
        let came = |port, from| format!("full-size datagrams came to UDP port {port} from {from}");
        let none = |port, from| format!("no full-size datagram came to UDP port {port} from {from}");
        let line = |check, severity, host: &str, observed| (check, severity, host.to_owned(), observed);
        assert_eq!(
            said,
            [
                line("udp-ports", Ok, "cp1", came(7946, "w1")),
                line("overlay", Ok, "cp1", came(8472, "w1")),
                line("udp-ports", Skipped, "w1", "UDP port 7946 could not be listened on".into()),
                line("overlay", Ok, "w1", came(8472, "cp1, w2")),
                line("udp-ports", Error, "w2", none(7946, "w1")),
                line("overlay", Error, "w2", none(8472, "cp1, w1")),
            ]
        );
    }
}
