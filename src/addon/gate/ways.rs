//! Names and paths that lead to backends of a gate's own, asked from outside of the cluster.

use std::{net::SocketAddr, time::Duration};

use futures::future::try_join_all;
use serde_json::json;

use super::{
    Bench, Closed,
    ground::Ground,
    http::{self, Answer, Question},
    inside::{self, PORT, Server},
    outside::{self, Asked, Miss},
    pods::{self, Wish},
    reach::page,
    retry::{Retry, make, seconds},
};

/// How long what leads there may take to know them.
const ANSWERS: Duration = Duration::from_secs(60);
/// How long a webhook may take until it admits an object.
pub(super) const WEBHOOK: Duration = Duration::from_secs(120);
/// The Services of the backends, at port 80.
pub(super) const BACKENDS: [&str; 2] = ["one", "two"];

/// Two pods that answer, each behind a Service, for as long as this is kept.
pub(super) struct Backends {
    /// What each answers.
    pub pages: Vec<String>,
    _servers: Vec<Server>,
}

impl Backends {
    /// Starts them, on two nodes where there are two.
    pub async fn start(bench: &Bench<'_>, ground: &Ground) -> Result<Backends, Closed> {
        let (nodes, _) = pods::nodes(bench).await?;
        let wish = |name: &str, node| Wish {
            name: name.to_owned(),
            node,
            labels: json!({"app": name}),
            claim: None,
        };
        let wishes =
            [wish(BACKENDS[0], nodes[0].as_str()), wish(BACKENDS[1], nodes[nodes.len() - 1].as_str())];
        let pods = pods::start(bench, ground, &wishes).await?;
        let pages: Vec<String> = pods.iter().map(|pod| page(ground, pod)).collect();
        let servers =
            try_join_all(pods.iter().zip(&pages).map(|(pod, page)| inside::serve(pod, page))).await?;
        for name in BACKENDS {
            let service = json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": name, "namespace": ground.namespace, "labels": ground.labels()},
                "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": PORT}]},
            });
            make(bench, service, WEBHOOK).await?;
        }
        Ok(Backends { pages, _servers: servers })
    }
}

/// A name, a path, and the backend that they lead to; none where they lead to neither.
pub(super) type Way = (&'static str, &'static str, Option<usize>);

/// What is asked, and what shall come.
pub(super) struct Ways {
    /// What leads there.
    pub what: &'static str,
    pub all: &'static [Way],
    /// What was seen when all is well: of those that lead to a backend, and of those that do not.
    pub led: &'static str,
    pub astray: &'static str,
    /// How a question is put.
    pub question: fn(&str, &str) -> Question,
    /// Whether an answer may be that of a way to neither, beside that it is none of theirs; and that in words.
    pub other: (fn(&Answer) -> bool, &'static str),
    /// What it may be when something else comes.
    pub help: &'static str,
}

impl Ways {
    /// Asks all of them at one address, again until each leads where it shall; `pages` are those of the backends.
    pub async fn ask(&self, bench: &Bench<'_>, to: SocketAddr, pages: &[String]) -> Result<String, Closed> {
        let mut retry = Retry::new(bench, self.what, ANSWERS);
        loop {
            let (mut wrong, mut other) = (None, String::new());
            for (host, path, backend) in self.all {
                let came = outside::ask(bench, to, &(self.question)(host, path)).await;
                if let Err(Miss::Unasked { why }) = came {
                    return Ok(format!("{to} was not asked from outside: {why}"));
                }
                if let (Ok((_, answer)), None) = (&came, backend) {
                    other = format!("status {}", answer.status);
                }
                if let Some(expected) = self.wrongly(&came, *backend, pages) {
                    let observed = outside::told(&came, &format!("{to} for http://{host}{path}"));
                    wrong = Some(Closed::observed(observed, expected, self.help));
                    break;
                }
            }
            let Some(closed) = wrong else {
                let Ways { led, astray, .. } = self;
                return Ok(format!(
                    "{led} through {to}, {astray} ({other}), after {}",
                    seconds(retry.took())
                ));
            };
            if !retry.again(&closed.to_string()).await {
                return Err(closed);
            }
        }
    }

    /// What should have come, when something else did: the page of the backend, or else that of none.
    pub fn wrongly(&self, came: &Asked<Answer>, backend: Option<usize>, pages: &[String]) -> Option<String> {
        let (is_other, others) = self.other;
        match (came, backend.and_then(|index| pages.get(index))) {
            (Ok((_, answer)), Some(page)) if answer.status == 200 && answer.body == *page => None,
            (Ok((_, answer)), None) if is_other(answer) && !pages.contains(&answer.body) => None,
            (_, Some(page)) => Some(format!("status 200 and {:?}", http::clip(page))),
            (_, None) => Some(others.to_owned()),
        }
    }
}
