//! Prometheus and Grafana: nodes and the API server are measured, and Grafana shows the dashboards that it was given, with
//! measurements.
//!
//! Sources: Prometheus' HTTP API (`/api/v1/query`), Grafana's (`/api/health`, `/api/search`, `/api/datasources`,
//! `/api/ds/query`), and the names that the chart kube-prometheus-stack gives its jobs.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{
    Bench, Closed, Gate, Proof, from_node,
    http::{Answer, Question, basic, told},
    pods,
    retry::{Retry, once, seconds, text},
};
use crate::{kube::Kind, transport::Host};

const SERVICE: Kind = Kind::new("v1", "Service");
const SECRET: Kind = Kind::new("v1", "Secret");
const CONFIG_MAP: Kind = Kind::new("v1", "ConfigMap");
const DAEMON_SET: Kind = Kind::new("apps/v1", "DaemonSet");
/// Which targets answer: 1 where one did when it was asked last.
const QUERY: &str = "services/prometheus-operated:9090/proxy/api/v1/query?query=up";
/// The jobs of the chart that there must be, and what an exporter of nodes is called there.
const NODES: (&str, &str) = ("node-exporter", "app.kubernetes.io/name=prometheus-node-exporter");
const SERVER: &str = "apiserver";
const GRAFANA: &str = "app.kubernetes.io/name=grafana";
/// What it is called in questions.
const NAME: &str = "grafana";
const DASHBOARD: &str = "grafana_dashboard=1";
/// The Secret with Grafana's administrator.
const ADMINISTRATOR: &str = "grafana-admin";

/// The operator makes Prometheus, which makes targets, which are asked every 30 s.
const SCRAPED: Duration = Duration::from_secs(240);
const SHOWN: Duration = Duration::from_secs(180);

/// The gate `targets-scraped`.
pub(super) struct TargetsScraped;

#[async_trait]
impl Gate for TargetsScraped {
    fn name(&self) -> &'static str {
        "targets-scraped"
    }

    fn proves(&self) -> &'static str {
        "Prometheus measures every node and the API server, and Grafana has the cluster's dashboards and measurements for them"
    }

    fn each_node(&self) -> bool {
        true
    }

    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        let mut seen = scraped(bench).await?;
        seen.extend(shown(bench).await?);
        Ok(Proof { seen })
    }
}

/// A node that is ready.
struct Node {
    name: String,
    addresses: Vec<String>,
}

async fn scraped(bench: &Bench<'_>) -> Result<Vec<String>, Closed> {
    let nodes = bench.api.nodes().await?.into_iter().filter(|node| node.ready);
    let nodes: Vec<Node> = nodes.map(|node| Node { name: node.name, addresses: node.addresses }).collect();
    // Who has one already switches the chart's off.
    let exporters = bench.api.objects(DAEMON_SET, Some(bench.namespace), NODES.1).await?;
    let nodes = if exporters.is_empty() { &[][..] } else { &nodes };
    let path = format!("/api/v1/namespaces/{}/{QUERY}", bench.namespace);
    let api = once(bench.api);
    let mut retry = Retry::new(bench, "Prometheus", SCRAPED);
    loop {
        let (reason, help) = match api.get(&path).await {
            Ok(answer) => match missing(nodes, &targets(&answer)) {
                None => {
                    let mut seen = told_of(nodes, &targets(&answer), &seconds(retry.took()));
                    if exporters.is_empty() {
                        seen.push("the node exporter is switched off".to_owned());
                    }
                    return Ok(seen);
                }
                Some(missing) => missing,
            },
            // Another control plane may be asked.
            Err(error) if error.is_lost() => return Err(error.into()),
            Err(error) => (
                error.to_string(),
                "`kubectl -n prometheus get prometheus,pods` shows whether the operator has made it, and why its pod waits",
            ),
        };
        if !retry.again(&reason).await {
            let expected =
                "a node exporter on every node that is ready, and the API server, that answer Prometheus";
            return Err(Closed::observed(reason, expected, help));
        }
    }
}

/// What Prometheus asks: job, address, and whether it answered.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    job: String,
    address: String,
    up: bool,
}

fn targets(answer: &str) -> Vec<Target> {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let found = answer["data"]["result"].as_array().into_iter().flatten();
    let target = |it: &Value| Target {
        job: text(&it["metric"]["job"]).to_owned(),
        address: text(&it["metric"]["instance"]).to_owned(),
        up: it["value"][1] == "1",
    };
    found.map(target).collect()
}

/// What must be measured and is not, and what to do about it.
fn missing(nodes: &[Node], targets: &[Target]) -> Option<(String, &'static str)> {
    let of = |job: &'static str| targets.iter().filter(move |target| target.job == job);
    if of(SERVER).next().is_none() {
        let help = "`kubectl get servicemonitors -A` must name the API server's: the chart makes it with `kubeApiServer`";
        return Some(("Prometheus does not know the API server yet".to_owned(), help));
    }
    if let Some(down) = of(SERVER).find(|target| !target.up) {
        let help = "TCP 6443 from the node of Prometheus to that control plane, or its certificate";
        return Some((format!("the API server {} does not answer Prometheus", down.address), help));
    }
    let wrong = nodes.iter().find_map(|node| {
        let is_its = |target: &&Target| {
            node.addresses
                .iter()
                .any(|address| target.address.rsplit_once(':').is_some_and(|(host, _)| host == address))
        };
        match of(NODES.0).find(is_its) {
            None => Some(format!("Prometheus does not know the node exporter of {}", node.name)),
            Some(target) if target.up => None,
            Some(target) => Some(format!(
                "the node exporter of {} ({}) does not answer Prometheus",
                node.name, target.address
            )),
        }
    });
    let help = "TCP 9100 must be open between nodes; `kubectl -n prometheus get pods -o wide` shows where an exporter runs";
    wrong.map(|reason| (reason, help))
}

fn told_of(nodes: &[Node], targets: &[Target], took: &str) -> Vec<String> {
    let down: Vec<String> =
        targets.iter().filter(|it| !it.up).map(|it| format!("{} of {}", it.address, it.job)).collect();
    let exporters = if nodes.is_empty() { String::new() } else { format!("{} nodes and ", nodes.len()) };
    let mut seen = vec![format!(
        "Prometheus measured {exporters}the API server after {took}; {} of {} targets answered",
        targets.len() - down.len(),
        targets.len()
    )];
    // Whoever adds targets of his own does not close the gate with them.
    if !down.is_empty() {
        seen.push(format!("no answer of {}", down.join(", ")));
    }
    seen
}

/// Grafana is well, has the dashboards of the ConfigMaps in the add-on's namespace, and gets measurements for them.
async fn shown(bench: &Bench<'_>) -> Result<Vec<String>, Closed> {
    let (nodes, _) = pods::nodes(bench).await?;
    let services = bench.api.objects(SERVICE, Some(bench.namespace), GRAFANA).await?;
    let Some(address) = services.iter().find_map(address) else {
        return Ok(vec!["Grafana is switched off".to_owned()]);
    };
    let maps = bench.api.objects(CONFIG_MAP, Some(bench.namespace), DASHBOARD).await?;
    let wanted = dashboards(&maps);
    let secret = bench.api.object(SECRET, Some(bench.namespace), ADMINISTRATOR).await?.unwrap_or_default();
    let grafana = Grafana { host: &*bench.hosts[&nodes[0]], address, login: login(&secret) };
    let mut retry = Retry::new(bench, "Grafana", SHOWN);
    loop {
        let reason = match grafana.look(&wanted).await {
            Ok(seen) => return Ok(seen),
            Err(reason) => reason,
        };
        if !retry.again(&reason).await {
            let help = "`kubectl -n prometheus logs deploy/prometheus-grafana -c grafana` says why, and its container \
                        grafana-sc-dashboard which dashboards it found; `plugin not registered`: it has lost a plugin that it \
                        wanted to bring up to date, see `env` of its values";
            let expected = format!("Grafana with {} dashboards, and measurements for them", wanted.len());
            return Err(Closed::observed(reason, expected, help));
        }
    }
}

/// Grafana, as it is asked from a node.
struct Grafana<'a> {
    host: &'a dyn Host,
    address: SocketAddr,
    login: SecretString,
}

impl Grafana<'_> {
    async fn ask(&self, question: Question) -> Result<Answer, String> {
        from_node::ask(self.host, self.address, &question.login(&self.login)).await
    }

    /// One look: what was seen of it, or what it lacks.
    async fn look(&self, wanted: &[(String, String)]) -> Result<Vec<String>, String> {
        let health = from_node::ask(self.host, self.address, &Question::new(NAME, "/api/health")).await;
        if !health.as_ref().is_ok_and(|answer| answer.status == 200 && read(answer)["database"] == "ok") {
            return Err(format!("Grafana is not well: {}", told(&health)));
        }
        let found = self.ask(Question::new(NAME, "/api/search?type=dash-db&limit=5000")).await;
        // It keeps a password that was changed there, if it has a volume.
        if found.as_ref().is_ok_and(|answer| answer.status == 401) {
            return Ok(vec![format!(
                "Grafana is well; its administrator has another password than the Secret {ADMINISTRATOR}, so nobody could \
                 look at its dashboards"
            )]);
        }
        let mut seen = vec![lacks(&found, wanted)?];
        let (uid, name) = source(&self.ask(Question::new(NAME, "/api/datasources")).await)?;
        let question = Question::new(NAME, "/api/ds/query").method("POST");
        let question = question.header("Content-Type", "application/json").body(query(&uid));
        measured(&self.ask(question).await, &name)?;
        seen.push(format!("Grafana gets measurements through its data source {name}"));
        Ok(seen)
    }
}

fn address(service: &Value) -> Option<SocketAddr> {
    let address: IpAddr = text(&service["spec"]["clusterIP"]).parse().ok()?;
    let port = service["spec"]["ports"][0]["port"].as_u64()?;
    Some(SocketAddr::new(address, u16::try_from(port).ok()?))
}

fn login(secret: &Value) -> SecretString {
    let value = |key: &str| {
        let bytes = STANDARD.decode(text(&secret["data"][key])).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    basic(&value("admin-user"), &SecretString::from(value("admin-password")))
}

/// Uid and title of each dashboard that is given as a ConfigMap.
fn dashboards(maps: &[Value]) -> Vec<(String, String)> {
    let files = maps.iter().filter_map(|map| map["data"].as_object()).flat_map(|data| data.values());
    let read = files.filter_map(|file| serde_json::from_str::<Value>(text(file)).ok());
    let named = read.map(|it| (text(&it["uid"]).to_owned(), text(&it["title"]).to_owned()));
    named.filter(|(uid, _)| !uid.is_empty()).collect()
}

fn read(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_default()
}

/// What was seen of Grafana's dashboards, or which it lacks.
fn lacks(found: &Result<Answer, String>, wanted: &[(String, String)]) -> Result<String, String> {
    let list = match found {
        Ok(answer) if answer.status == 200 => read(answer),
        other => return Err(format!("Grafana does not list its dashboards: {}", told(other))),
    };
    let there = |uid: &str| list.as_array().into_iter().flatten().any(|it| it["uid"] == uid);
    match wanted.iter().find(|(uid, _)| !there(uid)) {
        None => Ok(format!("Grafana is well, and has all {} dashboards", wanted.len())),
        Some((_, title)) => Err(format!("Grafana has no dashboard `{title}`")),
    }
}

/// Uid and name of the data source that the dashboards have: the default one, where there are several of Prometheus.
fn source(found: &Result<Answer, String>) -> Result<(String, String), String> {
    let list = match found {
        Ok(answer) if answer.status == 200 => read(answer),
        other => return Err(format!("Grafana does not list its data sources: {}", told(other))),
    };
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut of_prometheus = list.iter().filter(|it| it["type"] == "prometheus");
    let default = of_prometheus.clone().find(|it| it["isDefault"] == true);
    let source = default.or_else(|| of_prometheus.next());
    let source = source.ok_or("Grafana has no data source of the type `prometheus`")?;
    Ok((text(&source["uid"]).to_owned(), text(&source["name"]).to_owned()))
}

/// Asks how many targets there are: one row, however large the cluster.
fn query(uid: &str) -> String {
    let source = json!({"type": "prometheus", "uid": uid});
    let query =
        json!({"refId": "A", "datasource": source, "expr": "count(up)", "instant": true, "range": false});
    json!({"queries": [query], "from": "now-5m", "to": "now"}).to_string()
}

/// Grafana may list a data source whose plugin it has lost: only rows are a proof.
fn measured(came: &Result<Answer, String>, name: &str) -> Result<(), String> {
    let has_rows = |answer: &Answer| {
        let answer = read(answer);
        let frames = answer["results"]["A"]["frames"].as_array().into_iter().flatten();
        let mut columns = frames.flat_map(|frame| frame["data"]["values"].as_array().into_iter().flatten());
        columns.any(|column| column.as_array().is_some_and(|rows| !rows.is_empty()))
    };
    match came {
        Ok(answer) if answer.status == 200 && has_rows(answer) => Ok(()),
        other => Err(format!("Grafana gets no measurements through its data source {name}: {}", told(other))),
    }
}

#[cfg(test)]
#[path = "prometheus_tests.rs"]
mod tests;
