//! What comes last of an install: its pods are ready, and it is used.

use std::{sync::Arc, time::Duration};

use indexmap::IndexMap;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    difference,
    gate::{Bench, Closed, Gate, gate},
    identity,
    install::Install,
    ready::{left, of_manifests},
    stop::Stop,
    watch::Watch,
};
use crate::{
    engine::Event,
    kube::{Api, Kind},
    transport::{self, Host},
};

/// How long nodes may take that are about to be ready.
const NODES: Duration = Duration::from_secs(60);

/// Between two looks at pods.
const LOOK: Duration = Duration::from_secs(1);

/// The hosts that proofs work with, by name.
type Hosts = IndexMap<String, Arc<dyn Host>>;

impl Install<'_> {
    /// Waits for the pods of manifests, passes the gates, and writes down what was proven, and with which nodes.
    pub(super) async fn prove(&self, api: &Api) -> Result<(), Stop> {
        let workloads = of_manifests(self.desired);
        if !workloads.is_empty() {
            self.step("wait until its pods are ready", self.pods(api, &workloads, None)).await?;
        }
        let mut hosts = self.crew.session.hosts.clone();
        hosts.retain(|name, _| !self.lost.contains(name));
        let mut nodes = self.nodes(api, &hosts).await?;
        for gate in self.desired.definition.gates.iter().filter_map(|name| gate(name)) {
            self.step(&format!("prove {}", gate.name()), self.pass(api, gate, &mut hosts)).await?;
        }
        nodes.retain(|node| hosts.contains_key(node));
        let proven = Some(identity::digest(self.desired));
        self.step("write down what was proven", self.write(api, proven, nodes)).await
    }

    /// Waits until workloads have the pods that they want, but for those of DaemonSets on `absent` nodes, as [`left`].
    pub(super) async fn pods(
        &self,
        api: &Api,
        workloads: &[(Kind, &Value)],
        absent: Option<&[String]>,
    ) -> Result<(), Stop> {
        let (watch, seconds) = (Watch::default(), self.desired.definition.timeout);
        let deadline = Instant::now() + Duration::from_secs(seconds.into());
        let mut said = String::new();
        loop {
            let left =
                left(api, self.namespace(), workloads, absent).await.map_err(|error| self.kube(error))?;
            if left.workloads.is_empty() {
                return Ok(());
            }
            watch.see(&left.pods);
            let news = [&left.workloads[..], &left.pods].concat().join("; ");
            if left.over {
                return Err(self.stop(left.workloads.join("; "), Vec::new(), watch.last(), NOT_READY));
            }
            if Instant::now() >= deadline {
                let what = format!("after {seconds} s {}", left.workloads.join("; "));
                return Err(self.stop(what, Vec::new(), watch.last(), NOT_READY));
            }
            if news != said {
                self.tell(Event::AddonWaits { addon: self.desired.name.clone(), reason: news.clone() });
                said = news;
            }
            sleep(LOOK).await;
        }
    }

    /// The nodes that gates can use. Where something is proven of each, those are waited for that are about to be ready:
    /// the network's pods run a moment before their nodes say so.
    async fn nodes(&self, api: &Api, hosts: &Hosts) -> Result<Vec<String>, Stop> {
        let deadline = Instant::now() + NODES;
        loop {
            let mut nodes = api.nodes().await.map_err(|error| self.kube(error))?;
            nodes.retain(|node| hosts.contains_key(&node.name));
            match nodes.iter().find(|node| !node.ready) {
                Some(node) if difference::is_of_each_node(self.desired) && Instant::now() < deadline => {
                    self.wait(format!("{} is not ready: {}", node.name, node.reason)).await;
                }
                _ => {
                    let ready = nodes.into_iter().filter(|node| node.ready);
                    return Ok(ready.map(|node| node.name).collect());
                }
            }
        }
    }

    /// Passes one gate. A node that is lost meanwhile is left out from then on, and the gate begins again; where it is the
    /// control plane that all goes through, another one goes on.
    pub(super) async fn pass(&self, api: &Api, gate: &dyn Gate, hosts: &mut Hosts) -> Result<(), Stop> {
        let addon = &self.desired.name;
        let say = |reason: &str| {
            self.tell(Event::AddonWaits { addon: addon.clone(), reason: reason.to_owned() });
        };
        loop {
            let bench = Bench {
                inventory: self.crew.inventory,
                api,
                hosts,
                namespace: self.namespace(),
                settings: &self.desired.settings,
                timeout: Duration::from_secs(self.desired.definition.timeout.into()),
                say: &say,
            };
            let closed = match gate.pass(&bench).await {
                Ok(proof) => {
                    let (addon, gate) = (addon.clone(), gate.name().to_owned());
                    self.tell(Event::AddonProved { addon, gate, seen: proof.seen });
                    return Ok(());
                }
                Err(closed) => closed,
            };
            let stop = match closed {
                Closed::Host(transport::Error::Lost { host, reason })
                    if host != self.way.host.name() && hosts.shift_remove(&host).is_some() =>
                {
                    self.wait(format!(
                        "{host} was lost ({reason}): {} is begun again without it",
                        gate.name()
                    ))
                    .await;
                    continue;
                }
                Closed::Api(error) => self.kube(error),
                Closed::Host(error) => self.host(error),
                Closed::Observed { .. } => {
                    let help = miette::Diagnostic::help(&closed).map(|help| help.to_string());
                    self.stop(closed.to_string(), Vec::new(), None, &help.unwrap_or_default())
                }
            };
            return Err(stop.during(gate.proves()));
        }
    }
}

const NOT_READY: &str = "mend the cause, then run the same again: what was applied stays, and its pods are waited for again; \
                         `hoist addon status` shows them";

#[cfg(test)]
#[path = "prove_tests.rs"]
mod tests;
