//! A chart while a node is absent. Helm would wait for the pods of DaemonSets there until its time is up, and roll back what
//! works everywhere else. So it does not wait: hoist does, and goes back in its place.

use super::{Status, helm::Helm, install::Install, observe, ready::workloads, stop::Stop};
use crate::{
    engine::{Event, Failure},
    kube::{Api, NodeStatus},
};

/// A release that is made without some nodes.
pub(super) struct Without {
    /// Those that were not ready before.
    nodes: Vec<String>,
    /// The revision that was in use before.
    good: Option<u32>,
}

/// The nodes that are not ready where another one is. Without a network none is, and what brings it is waited for on all.
fn absent(nodes: &[NodeStatus]) -> Vec<String> {
    let away = nodes.iter().filter(|node| !node.ready).map(|node| node.name.clone());
    if nodes.iter().any(|node| node.ready) { away.collect() } else { Vec::new() }
}

impl Install<'_> {
    /// Without which nodes the chart has to be made, if any, and where it goes back to when it fails.
    pub(super) async fn without(&self, api: &Api) -> Result<Option<Without>, Stop> {
        let nodes = absent(&api.nodes().await.map_err(|error| self.kube(error))?);
        if nodes.is_empty() {
            return Ok(None);
        }
        let observed = observe(api).await.map_err(|error| self.unknown(error))?;
        let newest = observed.release(self.namespace(), &self.desired.name);
        let good =
            newest.and_then(|it| if it.status == Status::Deployed { Some(it.revision) } else { it.good });
        let reason = format!("not for pods of DaemonSets on nodes that are not ready: {}", nodes.join(", "));
        self.tell(Event::AddonWaits { addon: self.desired.name.clone(), reason });
        Ok(Some(Without { nodes, good }))
    }

    /// Waits for the workloads of the release, if helm was `done`. What does not get ready goes back, where it may.
    pub(super) async fn wait_without(
        &self,
        api: &Api,
        helm: &Helm<'_>,
        without: &Without,
        done: Result<(), Stop>,
    ) -> Result<(), Stop> {
        let ready = match done {
            Ok(()) => self.ready_without(api, without).await,
            failed => failed,
        };
        match ready {
            Err(Stop::Failed(failure)) if self.desired.definition.rollback => {
                Err(self.go_back(helm, without, *failure).await)
            }
            other => other,
        }
    }

    async fn ready_without(&self, api: &Api, without: &Without) -> Result<(), Stop> {
        let observed = observe(api).await.map_err(|error| self.unknown(error))?;
        let installed = observed.release(self.namespace(), &self.desired.name);
        let workloads = workloads(installed.into_iter().flat_map(|release| &release.objects));
        match self.pods(api, &workloads, Some(&without.nodes)).await {
            Err(Stop::Failed(failure)) => {
                let next = without.next(self.desired.definition.rollback);
                Err(Stop::Failed(Box::new(Failure { next, ..*failure })))
            }
            other => other,
        }
    }

    /// The failure, with what helm says where it cannot go back.
    async fn go_back(&self, helm: &Helm<'_>, without: &Without, failure: Failure) -> Stop {
        let (desired, good) = (self.desired, without.good);
        let said = helm.go_back(&desired.name, self.namespace(), good, desired.definition.timeout).await;
        Stop::Failed(Box::new(match said {
            Err(error) => return self.host(error),
            Ok(said) if said.status == 0 => failure,
            Ok(said) => Failure {
                output: [failure.output, said.lines].concat(),
                next: String::from(
                    "mend the cause, then run the same again: Helm could not roll back either",
                ),
                ..failure
            },
        }))
    }
}

impl Without {
    /// What to do where something did not get ready.
    fn next(&self, rollback: bool) -> String {
        let back = if rollback { "; Helm has rolled back what it changed" } else { "" };
        format!(
            "mend the cause, then run the same again{back}. A DaemonSet with a pod on {} replaces none elsewhere while as many \
             are missing as its `maxUnavailable`: bring what is not ready back, or take it out with `kubectl delete node`",
            self.nodes.join(", ")
        )
    }
}

#[cfg(test)]
#[path = "absent_tests.rs"]
mod tests;
