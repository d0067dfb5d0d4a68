//! How large packets may be between hosts, and how long they take.

use std::{net::Ipv4Addr, time::Duration};

use indexmap::IndexMap;

use super::finding::{Check, Finding};
use crate::{
    inventory::{Inventory, Role},
    transport::{Error, Host, Script, quote},
};

const SIZE: Check = Check {
    name: "path-mtu",
    checked: "whether packets as large as the interface allows reach the other hosts",
    expected: "they do: the smallest MTU on the way decides",
};
const LATENCY: Check = Check {
    name: "latency",
    checked: "how long packets take between control planes and members of etcd, there and back",
    expected: "at most 10 ms",
};

/// etcd's default heartbeat is 100 ms; each write waits for a majority, so that ten times less is wanted.
const SLOW: Duration = Duration::from_millis(10);

/// What one host told of the way to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    pub from: String,
    pub to: String,
    /// Bytes of the packets that the sending interface allows.
    pub mtu: u32,
    /// The largest packet that came back; 0 when not even a small one did.
    pub largest: u32,
    /// Whether somebody said that a packet was too large.
    pub told: bool,
    pub fastest: Option<Duration>,
}

/// Asks a host to ping these. `None` when it has no ping that could.
///
/// # Errors
/// When the host is lost, or the script does not end.
pub async fn ask(host: &dyn Host, peers: &[(&str, Ipv4Addr)]) -> Result<Option<Vec<Echo>>, Error> {
    let list: Vec<String> =
        peers.iter().enumerate().map(|(index, (_, address))| format!("{index}={address}")).collect();
    let text = format!("peers={}\n{}", quote(&list.join(" ")), include_str!("ping.sh"));
    // 32 at once; each takes at most half a minute, when everything large disappears.
    let patience = Duration::from_secs(60 + 40 * (peers.len() as u64).div_ceil(32));
    let output = host.run(Script::new(text).timeout(patience)).await?;
    let answer = String::from_utf8_lossy(&output.stdout);
    if answer.starts_with("no ping") {
        return Ok(None);
    }
    let mut echoes: Vec<Echo> = answer.lines().filter_map(|line| parse(host.name(), peers, line)).collect();
    // They come as they end.
    echoes.sort_by_key(|echo| peers.iter().position(|(name, _)| *name == echo.to));
    Ok(Some(echoes))
}

/// Reads `INDEX MTU LARGEST HOW MILLISECONDS`.
fn parse(from: &str, peers: &[(&str, Ipv4Addr)], line: &str) -> Option<Echo> {
    let [index, mtu, largest, how, fastest] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let (to, _) = peers.get(index.parse::<usize>().ok()?)?;
    let fastest = fastest.parse::<f64>().ok().and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
    Some(Echo {
        from: from.to_owned(),
        to: (*to).to_owned(),
        mtu: mtu.parse().ok()?,
        largest: largest.parse().ok()?,
        told: how == "told",
        fastest,
    })
}

/// What to say of hosts that could not ask.
pub fn without_ping(host: &str) -> Vec<Finding> {
    let why = "there is no ping (iputils-ping) on the host";
    vec![SIZE.skipped(host, why), LATENCY.skipped(host, why)]
}

/// Judges all of them.
pub fn judge(inventory: &Inventory, echoes: &[Echo]) -> Vec<Finding> {
    let mut findings = sizes(echoes);
    let etcd = inventory.etcd_role();
    let matters = |name: &str| {
        inventory.hosts.get(name).is_some_and(|host| host.has(Role::ControlPlane) || host.has(etcd))
    };
    let quorum = echoes.iter().filter(|echo| matters(&echo.from) && matters(&echo.to));
    findings.extend(quorum.filter_map(|echo| Some(latency(echo, echo.fastest?))));
    findings
}

fn sizes(echoes: &[Echo]) -> Vec<Finding> {
    let mut findings = Vec::new();
    // By sender: one line for all of its ways that are alike.
    let mut silent: IndexMap<&str, Vec<&str>> = IndexMap::new();
    let mut fine: IndexMap<(&str, u32), Vec<&str>> = IndexMap::new();
    for echo in echoes {
        let Echo { from, to, mtu, largest, told, .. } = echo;
        if *largest == 0 {
            silent.entry(from).or_default().push(to);
        } else if largest >= mtu {
            fine.entry((from, *mtu)).or_default().push(to);
        } else {
            let fix = format!(
                "set the MTU of the interfaces on the way to {largest} at most (a VPN or tunnel takes its part), or mend \
                 the switch that carries no larger packets"
            );
            let observed = format!("to {to}: {largest} bytes pass, {mtu} do not");
            findings.push(match told {
                // Then TCP finds out and sends smaller ones.
                true => SIZE.warning(from, observed + ", and the sender is told", fix),
                false => SIZE.error(from, observed + ", and nobody says so: connections hang", fix),
            });
        }
    }
    findings.extend(silent.into_iter().map(|(from, to)| {
        SIZE.skipped(from, format!("no answer to ping from {}: it may be filtered", to.join(", ")))
    }));
    findings.extend(
        fine.into_iter()
            .map(|((from, mtu), to)| SIZE.ok(from, format!("{mtu} bytes reach {}", to.join(", ")))),
    );
    findings
}

fn latency(echo: &Echo, fastest: Duration) -> Finding {
    let observed = format!("{:.1} ms to {}", fastest.as_secs_f64() * 1000.0, echo.to);
    if fastest > SLOW {
        let fix = "put control planes and etcd closer together, or give etcd a longer heartbeat and election time-out";
        LATENCY.warning(&echo.from, observed, fix)
    } else {
        LATENCY.ok(&echo.from, observed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{
        Severity::{self, Error, Ok, Skipped, Warning},
        tests::Fleet,
    };

    fn said(lines: &[&str]) -> Vec<(Severity, String)> {
        let peers = [("w1", Ipv4Addr::LOCALHOST), ("w2", Ipv4Addr::LOCALHOST)];
        let echoes: Vec<Echo> = lines.iter().filter_map(|line| parse("cp1", &peers, line)).collect();
        let findings = judge(&Fleet::three().inventory, &echoes);
        findings.into_iter().map(|finding| (finding.severity, finding.observed)).collect()
    }

    #[test]
    fn large_packets() {
        let all = said(&["0 1500 1500 - 0.123", "1 1500 1500 - 0.2"]);
        assert_eq!(all, [(Ok, "1500 bytes reach w1, w2".to_owned())]);
        let cut = said(&["0 9000 1500 told 0.123", "1 1500 1400 silent 0.2"]);
        assert_eq!(
            cut,
            [
                (Warning, "to w1: 1500 bytes pass, 9000 do not, and the sender is told".to_owned()),
                (
                    Error,
                    "to w2: 1400 bytes pass, 1500 do not, and nobody says so: connections hang".to_owned()
                ),
            ]
        );
        let none = said(&["0 1500 0 silent -", "1 1500 0 silent -"]);
        assert_eq!(none, [(Skipped, "no answer to ping from w1, w2: it may be filtered".to_owned())]);
        assert_eq!(said(&["ping: something else", "7 1500 1500 - 1", ""]), []);
    }

    #[test]
    fn slow_ways_between_those_that_vote() {
        let text = include_str!("../../inventory/ha.yaml");
        let inventory = crate::inventory::parse("ha.yaml", text).unwrap().inventory;
        let echo = |from: &str, to: &str, ms| Echo {
            from: from.into(),
            to: to.into(),
            mtu: 1500,
            largest: 1500,
            told: false,
            fastest: Some(Duration::from_millis(ms)),
        };
        let echoes = [
            echo("cp1", "cp2", 10),
            echo("cp1", "witness", 11),
            echo("w1", "cp1", 50),
            echo("cp1", "w1", 50),
        ];
        let findings = judge(&inventory, &echoes);
        let latencies = findings.iter().filter(|finding| finding.check == "latency");
        let said: Vec<_> = latencies.map(|finding| (finding.severity, finding.observed.as_str())).collect();
        assert_eq!(said, [(Ok, "10.0 ms to cp2"), (Warning, "11.0 ms to witness")]);
    }
}
