//! Waiting for what is meant to become true, and saying why it did not.
//!
//! A wait looks every 250 to 500 ms and ends with the condition. Polling rather than watching: a wait lasts
//! for seconds, and a look survives a restarted API server without a resume protocol.

use std::time::Duration;

use ::kube::api::{Api as Resources, ListParams};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Event, Pod},
};
use tokio::time::{Instant, sleep_until};

use super::{
    api::{Api, pause},
    error::Error,
    explain,
    status::NodeStatus,
};

/// How far a Deployment has come, in pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rollout {
    pub wanted: u32,
    /// Of the newest revision.
    pub updated: u32,
    /// Ready for long enough to be counted on.
    pub available: u32,
    /// Of older revisions, still to go.
    pub old: u32,
    /// Whether the controller has seen the newest specification; the other numbers are old news until then.
    pub observed: bool,
}

impl Rollout {
    /// Reads how far a Deployment has come.
    pub fn read(deployment: &Deployment) -> Self {
        let count = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
        let status = deployment.status.clone().unwrap_or_default();
        let all = count(status.replicas).unwrap_or(0);
        let updated = count(status.updated_replicas).unwrap_or(0);
        Self {
            wanted: count(deployment.spec.as_ref().and_then(|spec| spec.replicas)).unwrap_or(1),
            updated,
            available: count(status.available_replicas).unwrap_or(0),
            old: all.saturating_sub(updated),
            observed: status.observed_generation >= deployment.metadata.generation,
        }
    }

    /// Whether every wanted pod is of the newest revision and serves, and no other is left.
    pub fn is_complete(&self) -> bool {
        self.observed && self.updated == self.wanted && self.available == self.wanted && self.old == 0
    }
}

impl std::fmt::Display for Rollout {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} of {} pods available", self.available.min(self.updated), self.wanted)
    }
}

impl Api {
    /// Waits until the API server says that it is ready to serve (`/readyz`), as after `kubeadm init`.
    ///
    /// # Errors
    /// The last refusal when `timeout` has passed; at once, one that waiting does not cure.
    pub async fn wait_until_serving(&self, timeout: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + timeout;
        let action = "ask whether the API server is ready";
        loop {
            let ready = || async {
                let request =
                    http::Request::get("/readyz").body(Vec::new()).map_err(::kube::Error::HttpError)?;
                self.client.request_text(request).await
            };
            match self.ask_once(action, ready).await {
                Ok(_) => return Ok(()),
                Err(error) if !error.is_retryable() || Instant::now() >= deadline => return Err(error),
                Err(_) => sleep_until(deadline.min(Instant::now() + pause())).await,
            }
        }
    }

    /// Waits until all the named nodes have joined and are ready; returns them, in the order of `names`.
    /// `on_change` is told of them whenever one of them has changed.
    ///
    /// # Errors
    /// [`Error::NotReady`] with a reason for each node that is missing or not ready after `timeout`.
    pub async fn wait_for_nodes_ready(
        &self,
        names: &[String],
        timeout: Duration,
        on_change: &mut (dyn FnMut(&[NodeStatus]) + Send),
    ) -> Result<Vec<NodeStatus>, Error> {
        let deadline = Instant::now() + timeout;
        let mut last: Option<Vec<NodeStatus>> = None;
        loop {
            let all = self.until(deadline).nodes().await?;
            let named = |name: &String| all.iter().find(|node| node.name == *name).cloned();
            let nodes: Vec<_> = names.iter().filter_map(named).collect();
            let timeless = |nodes: &[NodeStatus]| -> Vec<_> {
                nodes.iter().map(|node| NodeStatus { age: Duration::ZERO, ..node.clone() }).collect()
            };
            if last.as_deref() != Some(&timeless(&nodes)[..]) {
                on_change(&nodes);
                last = Some(timeless(&nodes));
            }
            if nodes.len() == names.len() && nodes.iter().all(|node| node.ready) {
                return Ok(nodes);
            }
            if Instant::now() >= deadline {
                return Err(explain::nodes(names, &nodes, timeout));
            }
            sleep_until(deadline.min(Instant::now() + pause())).await;
        }
    }

    /// Waits until every replica of a Deployment is of its newest revision and available. `on_change` is told
    /// how far it has come whenever that has changed.
    ///
    /// # Errors
    /// [`Error::NotReady`] after `timeout`, with what holds it up: the Deployment's own complaints, why pods
    /// are not placed or not ready, and the last warnings about them.
    pub async fn wait_deployment_available(
        &self,
        namespace: &str,
        name: &str,
        timeout: Duration,
        on_change: &mut (dyn FnMut(&Rollout) + Send),
    ) -> Result<Rollout, Error> {
        let deployments: Resources<Deployment> = Resources::namespaced(self.client.clone(), namespace);
        let deadline = Instant::now() + timeout;
        let action = format!("read Deployment {namespace}/{name}");
        let mut last = None;
        loop {
            let deployment = self.until(deadline).ask(&action, || deployments.get(name)).await?;
            let rollout = Rollout::read(&deployment);
            if last != Some(rollout) {
                on_change(&rollout);
                last = Some(rollout);
            }
            if rollout.is_complete() {
                return Ok(rollout);
            }
            if Instant::now() >= deadline {
                let (pods, events) = self.circumstances(namespace, &deployment).await?;
                return Err(explain::deployment(&deployment, &rollout, &pods, &events, timeout));
            }
            sleep_until(deadline.min(Instant::now() + pause())).await;
        }
    }

    /// The same API server with patience until the end of a wait, however short or long that is: one that
    /// restarts meanwhile does not end the wait.
    fn until(&self, deadline: Instant) -> Self {
        self.clone().with_total_patience(deadline.saturating_duration_since(Instant::now()))
    }

    async fn circumstances(
        &self,
        namespace: &str,
        deployment: &Deployment,
    ) -> Result<(Vec<Pod>, Vec<Event>), Error> {
        let labels = deployment.spec.as_ref().and_then(|spec| spec.selector.match_labels.as_ref());
        let selector: Vec<_> =
            labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
        let which = ListParams::default().labels(&selector.join(","));
        let pods = self.list_pods(Some(namespace), &which).await?;
        let events: Resources<Event> = Resources::namespaced(self.client.clone(), namespace);
        let warnings = ListParams::default().fields("type=Warning");
        let events = self.ask("list the events", || events.list(&warnings)).await?;
        Ok((pods, events.items))
    }
}
