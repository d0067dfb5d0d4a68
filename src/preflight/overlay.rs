//! Whether full-size TCP passes between hosts the way that pods will take: through VXLAN, or as it is.
//!
//! Ping is not enough: its checksums are made by the kernel, those of TCP inside a tunnel by the network card, and some
//! cards (vmxnet3 on some versions of ESXi and NSX) make them wrong, or cut what they should cut in pieces wrongly.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use indexmap::IndexMap;

use super::{
    datagrams::{self, Heard},
    finding::{Check, Finding},
    is_node,
    neighbours::Neighbours,
    ways,
};
use crate::{
    inventory::{Inventory, Routing},
    transport::{Error, Host, Script, quote},
};

pub const OVERLAY: Check = Check {
    name: "overlay",
    checked: "whether full-size TCP passes between hosts through VXLAN (UDP port 8472)",
    expected: "256 KiB come back whole: pods reach the pods of other hosts that way",
};
const TCP: Check = Check {
    name: "tcp-full-size",
    checked: "whether full-size TCP passes between hosts",
    expected: "256 KiB come back whole",
};

/// The kubelet's, which nobody has on a host that is no node yet, and which the nodes' firewalls must let through.
const PORT: u16 = 10250;
/// How many tries one host makes at the same time, and how long each may take, in seconds.
const AT_ONCE: usize = 16;
const TRY: u64 = 8;

/// How data travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Vxlan,
    Plain,
}

/// How far a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    None,
    Connected,
    Small,
    Full,
}

/// One host tried another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tried {
    from: String,
    to: String,
    /// Whether ping was answered the same way; unknown where there is none.
    ping: Option<bool>,
    step: Step,
    /// How far it came when the network cards had nothing to do with it; unknown where that was not tried.
    software: Option<Step>,
}

/// A host whose servers run.
struct Ready<'a> {
    host: &'a dyn Host,
    mode: Mode,
    started: String,
    /// `PORT=PROCESS …`
    receivers: String,
}

/// Tries all pairs of these hosts, which must not be nodes yet, as [`Neighbours`] has them. What is needed on them is
/// gone when this ends, or by itself some seconds later.
pub async fn examine(inventory: &Inventory, hosts: &[&Arc<dyn Host>]) -> Vec<Finding> {
    let named = |host: &dyn Host| inventory.hosts.get(host.name()).is_some_and(is_node);
    let hosts: Vec<&dyn Host> = hosts.iter().map(|host| &***host).filter(|host| named(*host)).collect();
    if hosts.len() < 2 {
        return Vec::new();
    }
    let overlay = inventory.cilium().is_some_and(|cilium| cilium.routing == Routing::Vxlan);
    let (check, mode) = if overlay { (OVERLAY, Mode::Vxlan) } else { (TCP, Mode::Plain) };
    let bed = Bed::new(inventory, &hosts, overlay);
    let mut findings = Vec::new();
    let mut ready = Vec::new();
    for (host, begun) in hosts.iter().zip(join_all(hosts.iter().map(|host| bed.begin(*host, mode))).await) {
        match begun {
            Ok((begun, why)) => {
                findings.extend(why.map(|why| without_vxlan(host.name(), &why)));
                ready.push(begun);
            }
            Err(why) => findings.push(check.skipped(host.name(), why)),
        }
    }
    for mode in [Mode::Vxlan, Mode::Plain] {
        let alike: Vec<&Ready> = ready.iter().filter(|ready| ready.mode == mode).collect();
        let tried = bed.try_all(&alike).await;
        findings.extend(judge(mode, &tried));
    }
    let heard = join_all(ready.iter().map(|ready| bed.end(ready))).await;
    findings.extend(datagrams::judge(&heard, |from, to| bed.meet(from, to)));
    findings
}

/// What is the same for all scripts.
struct Bed<'a> {
    inventory: &'a Inventory,
    neighbours: Neighbours<'a>,
    names: Vec<&'a str>,
    overlay: bool,
    /// The other UDP ports that are tried.
    udp: Vec<u16>,
}

impl<'a> Bed<'a> {
    fn new(inventory: &'a Inventory, hosts: &[&'a dyn Host], overlay: bool) -> Bed<'a> {
        let names = hosts.iter().map(|host| host.name()).collect();
        let mut udp = ways::udp(inventory);
        udp.retain(|port| *port != ways::VXLAN);
        Bed { inventory, neighbours: Neighbours::new(inventory), names, overlay, udp }
    }

    fn meet(&self, from: &str, to: &str) -> bool {
        self.neighbours.meet(from, to)
    }

    /// How long one round of tries may take.
    fn round(&self) -> Duration {
        Duration::from_secs(TRY * self.names.len().div_ceil(AT_ONCE) as u64)
    }

    async fn ask(
        &self,
        host: &dyn Host,
        stage: &str,
        peers: &[&str],
        ready: Option<&Ready<'_>>,
    ) -> Result<String, Error> {
        let number = |name: &str| self.names.iter().position(|own| *own == name).unwrap_or_default();
        let address = |name: &str| {
            self.inventory.hosts.get(name).map(|host| host.address.to_string()).unwrap_or_default()
        };
        let peers: Vec<String> =
            peers.iter().map(|peer| format!("{}={}", number(peer), address(peer))).collect();
        let (started, receivers) = ready.map_or(("", ""), |ready| (&ready.started, &ready.receivers));
        let mode = if self.overlay { "vxlan" } else { "plain" };
        let datagrams = if self.overlay { "yes" } else { "" };
        let udp: Vec<String> = self.udp.iter().map(u16::to_string).collect();
        // Long enough for two rounds, what comes before and after, and a busy host.
        let life = 60 + 2 * self.round().as_secs();
        let text = format!(
            "stage={stage} mode={mode} own={} number={} port={PORT} life={life} datagrams={datagrams} udp={} peers={} \
             started={} receivers={}\n{}",
            address(host.name()),
            number(host.name()),
            quote(&udp.join(" ")),
            quote(&peers.join(" ")),
            quote(started),
            quote(receivers),
            include_str!("overlay.sh")
        );
        let output = host.run(Script::new(text).timeout(self.round() + Duration::from_secs(30))).await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts the servers; with why there is no VXLAN where there should be.
    async fn begin<'h>(
        &self,
        host: &'h dyn Host,
        wanted: Mode,
    ) -> Result<(Ready<'h>, Option<String>), String> {
        let peers: Vec<&str> = self.names.iter().copied().filter(|name| *name != host.name()).collect();
        let answer = self.ask(host, "begin", &peers, None).await.map_err(|error| error.to_string())?;
        let said = |key: &str| {
            answer.lines().find_map(|line| line.strip_prefix(key)).map(|rest| rest.trim().to_owned())
        };
        if let Some(tool) = said("missing ") {
            return Err(format!("there is no {tool} on the host"));
        }
        let started = said("started ").ok_or_else(|| "its servers did not start".to_owned())?;
        let mode = if started.starts_with("vxlan") { Mode::Vxlan } else { Mode::Plain };
        let why = said("no-vxlan ").filter(|_| wanted == Mode::Vxlan);
        let receivers: Vec<&str> = answer.lines().filter_map(|line| line.strip_prefix("receiver ")).collect();
        Ok((Ready { host, mode, started, receivers: receivers.join(" ") }, why))
    }

    async fn try_all(&self, ready: &[&Ready<'_>]) -> Vec<Tried> {
        let all: Vec<&str> = ready.iter().map(|ready| ready.host.name()).collect();
        let mut tried = self.round_of(ready, |from, to| all.contains(&to) && self.meet(from, to)).await;
        let dead = |pair: &Tried| pair.step < Step::Full;
        let vxlan = ready.first().is_some_and(|ready| ready.mode == Mode::Vxlan);
        if !vxlan || !tried.iter().any(dead) {
            return tried;
        }
        let software =
            join_all(ready.iter().map(|ready| self.ask(ready.host, "software", &[], Some(ready)))).await;
        if !software.iter().all(|answer| matches!(answer, Ok(text) if text.starts_with("done"))) {
            return tried;
        }
        let again =
            |from: &str, to: &str| tried.iter().any(|pair| dead(pair) && pair.from == from && pair.to == to);
        for second in self.round_of(ready, again).await {
            let first = tried.iter_mut().find(|pair| pair.from == second.from && pair.to == second.to);
            first.into_iter().for_each(|pair| pair.software = Some(second.step));
        }
        tried
    }

    async fn round_of(&self, ready: &[&Ready<'_>], pairs: impl Fn(&str, &str) -> bool) -> Vec<Tried> {
        let answers = ready.iter().map(|ready| {
            let from = ready.host.name();
            let peers: Vec<&str> =
                self.names.iter().copied().filter(|name| *name != from && pairs(from, name)).collect();
            async move {
                let answer = if peers.is_empty() {
                    Ok(String::new())
                } else {
                    self.ask(ready.host, "try", &peers, Some(ready)).await
                };
                // A host that is lost is told of by its other checks.
                let mut tried: Vec<Tried> = answer
                    .unwrap_or_default()
                    .lines()
                    .filter_map(|line| parse(from, &self.names, line))
                    .collect();
                tried.sort_by_key(|pair| self.names.iter().position(|name| *name == pair.to));
                tried
            }
        });
        join_all(answers).await.into_iter().flatten().collect()
    }

    /// Ends the servers; which datagrams came.
    async fn end(&self, ready: &Ready<'_>) -> Heard {
        let answer = self.ask(ready.host, "end", &[], Some(ready)).await.unwrap_or_default();
        let ports =
            ready.receivers.split(' ').filter_map(|receiver| receiver.split('=').next()?.parse().ok());
        Heard::parse(ready.host.name(), ports, &self.names, &answer)
    }
}

/// Reads `tried INDEX PING STEP`.
fn parse(from: &str, names: &[&str], line: &str) -> Option<Tried> {
    let [_, index, ping, step] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let to = names.get(index.parse::<usize>().ok()?)?;
    let ping = match ping {
        "answered" => Some(true),
        "silent" => Some(false),
        _ => None,
    };
    let step = match step {
        "full" => Step::Full,
        "small" => Step::Small,
        "connected" => Step::Connected,
        _ => Step::None,
    };
    Some(Tried { from: from.to_owned(), to: (*to).to_owned(), ping, step, software: None })
}

fn judge(mode: Mode, tried: &[Tried]) -> Vec<Finding> {
    let check = match mode {
        Mode::Vxlan => OVERLAY,
        Mode::Plain => TCP,
    };
    // By what is wrong and by sender: one line for all of its ways that are alike.
    let mut alike: IndexMap<(&str, Verdict), Vec<&str>> = IndexMap::new();
    for pair in tried {
        alike.entry((&pair.from, verdict(mode, pair))).or_default().push(&pair.to);
    }
    let line = |((from, verdict), to): ((&str, Verdict), Vec<&str>)| {
        let to = to.join(", ");
        match verdict {
            Verdict::Fine => check.ok(from, format!("256 KiB came back from {to}")),
            Verdict::Unreached => {
                check.skipped(from, format!("nobody answers on TCP port {PORT} of {to}: see `ports`"))
            }
            Verdict::Wrong(what, fix) => check.error(from, format!("to {to}: {what}"), fix),
        }
    };
    alike.into_iter().map(line).collect()
}

/// What a try means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Verdict {
    Fine,
    Unreached,
    /// What is wrong, and what to do.
    Wrong(&'static str, &'static str),
}

fn verdict(mode: Mode, pair: &Tried) -> Verdict {
    const OFFLOAD: &str = "turn the card's offload for tunnels off, now and at every boot: `ethtool -K DEVICE \
                           tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off` (hoist's role `vmware` does it for \
                           vmxnet3); or update the hypervisor and the driver";
    const BLOCKED: &str = "open UDP port 8472 between all hosts; where the network itself takes that port for its own \
                           tunnels (NSX), let Cilium use another one (`tunnelPort`)";
    const SIZE: &str = "set the MTU of the interfaces to what really passes, or mend what loses the large packets and what \
                        drops ICMP, by which the sender would be told; see `path-mtu`";
    match (mode, pair.step, pair.ping, pair.software) {
        (_, Step::Full, ..) => Verdict::Fine,
        (Mode::Plain, Step::None, ..) => Verdict::Unreached,
        (Mode::Plain, ..) => Verdict::Wrong("a connection is made, but large packets are lost", SIZE),
        (Mode::Vxlan, _, _, Some(Step::Full)) => Verdict::Wrong(
            "TCP dies, but not when the kernel does what is left to the network card: its offload spoils tunnelled packets",
            OFFLOAD,
        ),
        (Mode::Vxlan, Step::None, Some(true), _) => {
            Verdict::Wrong("ping passes and TCP does not: tunnelled packets are spoiled on the way", OFFLOAD)
        }
        (Mode::Vxlan, Step::None, ..) => Verdict::Wrong("nothing comes through", BLOCKED),
        (Mode::Vxlan, ..) => Verdict::Wrong("small packets come through and large ones do not", SIZE),
    }
}

fn without_vxlan(host: &str, why: &str) -> Finding {
    OVERLAY.skipped(
        host,
        format!(
            "no VXLAN interface can be made ({why}); TCP was tried without one, and datagrams to its port"
        ),
    )
}

#[cfg(test)]
#[path = "overlay_tests.rs"]
mod tests;
