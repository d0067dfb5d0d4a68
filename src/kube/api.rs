//! Questions to the API server, each bounded in time and asked again while that may help.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use ::kube::{
    Client,
    api::{Api as Resources, ListParams},
};
use k8s_openapi::{
    api::core::v1::{Node, Pod},
    jiff::Timestamp,
};
use semver::Version;
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    error::Error,
    status::{NodeStatus, PodStatus},
};

/// How long the API server may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For one answer.
    pub request: Duration,
    /// For an answer worth having, when it is refused, cut off or "not ready" at first.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { request: Duration::from_secs(15), total: Duration::from_secs(60) }
    }
}

/// A cluster's API server, reached through one of its control planes.
#[derive(Clone)]
pub struct Api {
    pub(super) client: Client,
    host: String,
    server: String,
    patience: Patience,
}

impl Api {
    pub(super) fn new(client: Client, host: String, server: String) -> Self {
        Self { client, host, server, patience: Patience::default() }
    }

    /// The same API server, waited for as long as told.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    pub(super) fn with_total_patience(mut self, total: Duration) -> Self {
        self.patience.total = total;
        self
    }

    /// Host and port of the API server, as its kubeconfig writes them.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The version that the API server runs.
    pub async fn version(&self) -> Result<Version, Error> {
        let action = "ask for the version of Kubernetes";
        let info = self.ask(action, || self.client.apiserver_version()).await?;
        info.git_version.trim_start_matches('v').parse().map_err(|_| Error::Unexpected {
            action: action.to_owned(),
            reason: format!("{:?} is no version", info.git_version),
        })
    }

    /// All nodes, by name.
    pub async fn nodes(&self) -> Result<Vec<NodeStatus>, Error> {
        let nodes: Resources<Node> = Resources::all(self.client.clone());
        let all = ListParams::default();
        let list = self.ask("list the nodes", || nodes.list(&all)).await?;
        let now = Timestamp::now();
        let mut nodes: Vec<_> = list.items.iter().map(|node| NodeStatus::read(node, now)).collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    }

    /// The pods of a namespace, or of all of them, by namespace and name.
    pub async fn pods(&self, namespace: Option<&str>) -> Result<Vec<PodStatus>, Error> {
        let list = self.list_pods(namespace, &ListParams::default()).await?;
        let now = Timestamp::now();
        let mut pods: Vec<_> = list.iter().map(|pod| PodStatus::read(pod, now)).collect();
        pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        Ok(pods)
    }

    pub(super) async fn list_pods(
        &self,
        namespace: Option<&str>,
        which: &ListParams,
    ) -> Result<Vec<Pod>, Error> {
        let pods: Resources<Pod> = match namespace {
            Some(namespace) => Resources::namespaced(self.client.clone(), namespace),
            None => Resources::all(self.client.clone()),
        };
        Ok(self.ask("list the pods", || pods.list(which)).await?.items)
    }

    /// Asks until there is an answer, an error that asking again does not cure, or no patience left.
    pub(super) async fn ask<T, F>(&self, action: &str, question: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, ::kube::Error>>,
    {
        let deadline = Instant::now() + self.patience.total;
        loop {
            let error = match self.ask_once(action, &question).await {
                Err(error) if error.is_retryable() => error,
                done => return done,
            };
            let next = Instant::now() + pause();
            if next >= deadline {
                return Err(error);
            }
            sleep_until(next).await;
        }
    }

    /// Asks once.
    pub(super) async fn ask_once<T, F>(&self, action: &str, question: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, ::kube::Error>>,
    {
        match timeout(self.patience.request, question()).await {
            Ok(answer) => answer.map_err(|error| Error::classify(error, action, &self.host, &self.server)),
            Err(_) => Err(Error::Timeout { action: action.to_owned(), after: self.patience.request }),
        }
    }
}

/// The time between two looks: 250 to 500 ms, so that many waiters do not knock in step.
pub(super) fn pause() -> Duration {
    let random = RandomState::new().build_hasher().finish();
    Duration::from_millis(250 + random % 251)
}
