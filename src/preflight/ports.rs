//! Which ports hosts reach on one another, over the network that the cluster will use.

use std::{net::SocketAddr, time::Duration};

use futures::{Stream, StreamExt, stream};
use indexmap::IndexMap;
use tokio::time::{sleep, timeout};

use super::{
    finding::{Check, Finding},
    ways::{Way, is_service},
};
use crate::{
    inventory::{Host, Inventory, Role},
    transport::{self, Error},
};

const PORTS: Check = Check {
    name: "ports",
    checked: "whether hosts reach each other's ports that the cluster uses",
    expected: "connected or refused: the network lets the packets through",
};
const FORWARDING: Check = Check {
    name: "ssh-forwarding",
    checked: "whether the SSH server forwards TCP connections",
    expected: "it does: hoist reaches the API server that way",
};

/// Twice retransmitted, after 1 and 3 seconds: a packet that is only lost gets through by then.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many connections one host is asked to open at the same time.
const AT_ONCE: usize = 32;
/// From how many hosts connections to others are tried at the same time.
pub const WALKERS: usize = 64;

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// Connected, or refused by the host itself. A firewall that refuses in its name (a TCP reset) looks the same.
    Yes,
    /// Nobody answered.
    Silence,
    /// Somebody on the way said no, such as "No route to host".
    Refusal(String),
    /// The SSH server of the host may not open connections.
    Prohibited,
    /// It cannot be told.
    Unknown(String),
}

/// Tries these ways, which all begin at `host`.
pub async fn walk(host: &dyn transport::Host, ways: Vec<Way>) -> Vec<(Way, Reached)> {
    tries(host, ways).collect().await
}

/// The same as far as it gets in this time: what is not known by then is left out.
pub async fn walk_for(time: Duration, host: &dyn transport::Host, ways: Vec<Way>) -> Vec<(Way, Reached)> {
    tries(host, ways).take_until(sleep(time)).collect().await
}

fn tries(host: &dyn transport::Host, ways: Vec<Way>) -> impl Stream<Item = (Way, Reached)> {
    let tries = ways.into_iter().map(move |way| async move {
        let reached = attempt(host, way.address).await;
        (way, reached)
    });
    stream::iter(tries).buffered(AT_ONCE)
}

/// Opens one connection from a host, and closes it.
pub async fn attempt(host: &dyn transport::Host, to: SocketAddr) -> Reached {
    match timeout(PATIENCE, host.forward(to)).await {
        Err(_) => Reached::Silence,
        Ok(Ok(_)) => Reached::Yes,
        Ok(Err(Error::Forward { reason, .. })) => classify(&reason),
        Ok(Err(error)) => Reached::Unknown(error.to_string()),
    }
}

/// By the words of connect(2), which an SSH server passes on, and those of RFC 4254 for what it does not do.
fn classify(reason: &str) -> Reached {
    let lower = reason.to_lowercase();
    let says = |words: &str| lower.contains(words);
    if says("prohibited") {
        Reached::Prohibited
    } else if says("refused") || says("reset") {
        Reached::Yes
    } else if says("timed out") || says("does not answer") {
        Reached::Silence
    } else if says("unreachable") || says("no route") || says("is down") || says("not permitted") {
        Reached::Refusal(reason.to_owned())
    } else if lower == "open failed" {
        // OpenSSH's words when connect(2) fails at once, before anything was sent.
        Reached::Refusal("the host itself has no route there, or a rule against it".to_owned())
    } else {
        Reached::Unknown(format!("the SSH server says only {reason:?}"))
    }
}

/// Says which ways are closed, once for all that are closed in the same manner. `blocks` tells what on a host is likely to
/// close a port there, `sample` how the ways were chosen when not all were tried.
pub fn judge(
    walked: &[(Way, Reached)],
    blocks: impl Fn(&str, u16) -> Option<String>,
    sample: Option<&str>,
) -> Vec<Finding> {
    let mut closed: IndexMap<(String, String), Vec<String>> = IndexMap::new();
    let mut services: IndexMap<(String, String), Vec<String>> = IndexMap::new();
    let mut unknown: IndexMap<(String, String), Vec<String>> = IndexMap::new();
    let mut open: Vec<String> = Vec::new();
    for (way, reached) in walked {
        let Way { from, to, address } = way;
        let target = format!("{to}:{}", address.port());
        let note = |kind: &mut IndexMap<(String, String), Vec<String>>, how: &str| {
            kind.entry((target.clone(), how.to_owned())).or_default().push(from.clone());
        };
        let closed = if is_service(address.port()) { &mut services } else { &mut closed };
        let because = |how: &str| match blocks(to, address.port()) {
            Some(rule) => format!("{how} (on {to}: {rule})"),
            None => how.to_owned(),
        };
        match reached {
            Reached::Yes => open.push(from.clone()),
            Reached::Silence => note(closed, &because("no answer")),
            Reached::Refusal(reason) => note(closed, &because(reason)),
            Reached::Prohibited => note(&mut unknown, "the SSH server does not forward there"),
            Reached::Unknown(why) => note(&mut unknown, why),
        }
    }
    let mut findings: Vec<Finding> = gather(closed)
        .into_iter()
        .map(|(hosts, how, targets)| {
            let fix = "open these ports between the hosts. The check `firewall` says what was found on the hosts themselves; \
                       otherwise it is the switch, the hypervisor or a cloud's security group";
            PORTS.error("", format!("{targets}: {how}"), fix).about(hosts)
        })
        .collect();
    findings.extend(gather(services).into_iter().map(|(hosts, how, targets)| {
        let fix = "where services of type NodePort are to be reached from the other hosts, open 30000-32767/tcp on these";
        PORTS.warning("", format!("{targets}, which stand for all node ports: {how}"), fix).about(hosts)
    }));
    findings.extend(
        gather(unknown)
            .into_iter()
            .map(|(hosts, why, targets)| PORTS.skipped("", format!("{targets}: {why}")).about(hosts)),
    );
    open.dedup();
    if findings.is_empty() && !open.is_empty() {
        let observed = match sample {
            None => format!("all {} ways are open", walked.len()),
            Some(how) => format!("all {} ways that were tried are open; {how}", walked.len()),
        };
        findings.push(PORTS.ok("", observed).about(open));
    }
    findings
}

/// Turns target → hosts around: what the same hosts see in the same manner becomes one line of targets.
fn gather(ways: IndexMap<(String, String), Vec<String>>) -> Vec<(Vec<String>, String, String)> {
    let mut lines: IndexMap<(Vec<String>, String), Vec<String>> = IndexMap::new();
    for ((target, how), hosts) in ways {
        lines.entry((hosts, how)).or_default().push(target);
    }
    lines.into_iter().map(|((hosts, how), targets)| (hosts, how, targets.join(", "))).collect()
}

/// Whether a host's SSH server forwards, by a connection to its own port of the API server.
pub async fn forwarding(inventory: &Inventory, host: &dyn transport::Host) -> Option<Finding> {
    let own = inventory.hosts.get(host.name())?;
    let to = (own.address, inventory.cluster.endpoint.port).into();
    Some(may_forward(own, host.name(), &attempt(host, to).await))
}

fn may_forward(host: &Host, name: &str, reached: &Reached) -> Finding {
    const FIX: &str = "`AllowTcpForwarding yes` (and no `DisableForwarding`, no `PermitOpen` that excludes it) in \
                       /etc/ssh/sshd_config, for hoist's user at least; then `systemctl reload ssh` (or sshd)";
    match reached {
        Reached::Prohibited if host.has(Role::ControlPlane) => FORWARDING.error(name, "it does not", FIX),
        Reached::Prohibited => FORWARDING.warning(name, "it does not, so its ports cannot be tested", FIX),
        Reached::Yes | Reached::Silence | Reached::Refusal(_) => FORWARDING.ok(name, "it does"),
        Reached::Unknown(why) => FORWARDING.skipped(name, why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        preflight::{
            Severity::{Error, Ok, Skipped, Warning},
            tests::Fleet,
            ways::ways,
        },
        transport::Local,
    };

    #[test]
    fn what_servers_say() {
        for (reason, reached) in [
            ("Connection refused", Reached::Yes),
            ("connect failed: Connection refused (os error 111)", Reached::Yes),
            ("Connection timed out", Reached::Silence),
            ("it does not answer", Reached::Silence),
            ("No route to host", Reached::Refusal("No route to host".into())),
            ("Network is unreachable", Reached::Refusal("Network is unreachable".into())),
            ("Operation not permitted", Reached::Refusal("Operation not permitted".into())),
            (
                "open failed",
                Reached::Refusal("the host itself has no route there, or a rule against it".into()),
            ),
            ("AdministrativelyProhibited", Reached::Prohibited),
            ("administratively prohibited: open failed", Reached::Prohibited),
            ("ConnectFailed", Reached::Unknown("the SSH server says only \"ConnectFailed\"".into())),
        ] {
            assert_eq!(classify(reason), reached, "{reason}");
        }
    }

    fn said(closed: &[(&str, &str, u16, Reached)]) -> Vec<String> {
        let inventory = Fleet::three().inventory;
        let walked: Vec<_> = ways(&inventory, &["cp1", "w1", "w2"])
            .into_iter()
            .map(|way| {
                let found = closed.iter().find(|(from, to, port, _)| {
                    (way.from == *from || *from == "*") && way.to == *to && way.address.port() == *port
                });
                let reached = found.map_or(Reached::Yes, |(.., reached)| reached.clone());
                (way, reached)
            })
            .collect();
        let line = |finding: Finding| {
            format!("{:?} {}: {}", finding.severity, finding.hosts.join(","), finding.observed)
        };
        judge(&walked, |_, _| None, None).into_iter().map(line).collect()
    }

    #[test]
    fn what_is_closed_is_said_once() {
        assert_eq!(said(&[]), ["Ok cp1,w1,w2: all 16 ways are open"]);
        let closed = [
            ("*", "cp1", 6443, Reached::Silence),
            ("*", "cp1", 10250, Reached::Silence),
            ("w1", "w2", 10250, Reached::Refusal("No route to host".into())),
        ];
        assert_eq!(
            said(&closed),
            ["Error w1,w2: cp1:6443, cp1:10250: no answer", "Error w1: w2:10250: No route to host"]
        );
        let unknown = [("w1", "w2", 10250, Reached::Prohibited)];
        assert_eq!(said(&unknown), ["Skipped w1: w2:10250: the SSH server does not forward there"]);
    }

    #[test]
    fn the_firewall_that_closes_it_is_named() {
        let walked: Vec<_> = ways(&Fleet::three().inventory, &["cp1"])
            .into_iter()
            .map(|way| if way.to == "w1" { (way, Reached::Silence) } else { (way, Reached::Yes) })
            .collect();
        let blocks =
            |host: &str, port: u16| (host == "w1" && port == 10250).then(|| "-A INPUT -j DROP".to_owned());
        let said: Vec<_> =
            judge(&walked, blocks, None).into_iter().map(|own| (own.severity, own.observed)).collect();
        assert_eq!(
            said,
            [
                (Error, "w1:10250: no answer (on w1: -A INPUT -j DROP)".into()),
                (Warning, "w1:30000, w1:32767, which stand for all node ports: no answer".into())
            ]
        );
    }

    #[test]
    fn forwarding_matters_most_where_the_api_server_is() {
        let inventory = Fleet::three().inventory;
        for (name, reached, severity) in [
            ("cp1", Reached::Prohibited, Error),
            ("w1", Reached::Prohibited, Warning),
            ("cp1", Reached::Yes, Ok),
            ("cp1", Reached::Silence, Ok),
            ("cp1", Reached::Unknown("lost".into()), Skipped),
        ] {
            let finding = may_forward(&inventory.hosts[name], name, &reached);
            assert_eq!(finding.severity, severity, "{name} {reached:?}");
        }
    }

    #[tokio::test]
    async fn connections_that_are_opened_for_real() {
        let host = Local::open("here").await.unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(attempt(&host, address).await, Reached::Yes);
        drop(listener);
        assert_eq!(attempt(&host, address).await, Reached::Yes);
    }
}
