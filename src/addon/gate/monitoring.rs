//! The monitoring of clients' networks: each client's database answers and has new points, and only who may reaches it.
//!
//! The database is asked from the node that it runs on, which policies let in for the sake of its probes; nobody else is let in
//! but the collector and Grafana. Sources: InfluxDB 2's `/health` and `/api/v2/query`.

use std::{net::Ipv4Addr, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::Value;

use super::{
    Bench, Closed, Gate, Proof, from_node,
    ground::Ground,
    http::{Answer, Question, told},
    inside::{self, Ask},
    pods::{self, Pod, Wish},
    retry::{Retry, condition, seconds, text},
};
use crate::{inventory::Plugin, kube::Kind};

const POD: Kind = Kind::new("v1", "Pod");
const SECRET: Kind = Kind::new("v1", "Secret");
const SERVICE: Kind = Kind::new("v1", "Service");
/// Where the database listens.
const PORT: u16 = 8086;
/// The Secret with its token.
const TOKEN: (&str, &str) = ("database", "token");

/// Images are pulled, and the database sets itself up.
const READY: Duration = Duration::from_secs(300);
/// Points are waited for so long at most, however seldom something is measured.
const POINTS: u64 = 300;
const POLICIES: Duration = Duration::from_secs(60);

/// The gate `clients-measured`.
pub(super) struct ClientsMeasured;

#[async_trait]
impl Gate for ClientsMeasured {
    fn name(&self) -> &'static str {
        "clients-measured"
    }

    fn proves(&self) -> &'static str {
        "each client's database answers and has new points, its collector reaches it, and nobody else's does"
    }

    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        let mut clients = Vec::new();
        let settings = bench.settings.get("clients").and_then(Value::as_object);
        for (name, settings) in settings.into_iter().flatten() {
            let interval = settings["interval"].as_u64().unwrap_or(60);
            let (database, _) = ready(bench, name, "database").await?;
            let (collector, started) = ready(bench, name, "collector").await?;
            clients.push(Client { name: name.clone(), interval, database, collector, started });
        }
        let mut seen = Vec::new();
        for client in &clients {
            healthy(client).await?;
            seen.push(measured(bench, client).await?);
        }
        // `hoist check` warns of it.
        if bench.inventory.cluster.network.plugin != Plugin::Cilium {
            seen.push("clients are not apart: the network plugin ignores policies".to_owned());
            return Ok(Proof { seen });
        }
        let ground = Ground::take(bench, self.name()).await?;
        let done = apart(bench, &ground, &clients).await;
        let proof = ground.leave(bench, done).await?;
        seen.extend(proof.seen);
        Ok(Proof { seen })
    }
}

/// A client, and the pods that work for it.
struct Client {
    name: String,
    /// Seconds from one measurement to the next.
    interval: u64,
    database: Pod,
    collector: Pod,
    /// When the collector was started.
    started: Option<Timestamp>,
}

/// Waits for a pod that is ready, of those with this label.
async fn ready(bench: &Bench<'_>, client: &str, app: &str) -> Result<(Pod, Option<Timestamp>), Closed> {
    let mut retry = Retry::new(bench, format!("{app} of {client}"), READY);
    loop {
        let found = bench.api.objects(POD, Some(client), &format!("app={app}")).await?;
        let (reason, help) = match found.iter().find(|pod| condition(pod, "Ready").0) {
            Some(pod) => match place(bench, pod) {
                Ok(found) => return Ok(found),
                Err(reason) => (reason, "`hoist status` shows which hosts answer".to_owned()),
            },
            None => {
                let said =
                    found.first().map_or_else(|| "there is none".to_owned(), |pod| condition(pod, "Ready").1);
                (
                    format!("no pod of it is ready: {said}"),
                    format!("`kubectl -n {client} describe pods -l app={app}`"),
                )
            }
        };
        if !retry.again(&reason).await {
            return Err(Closed::observed(
                format!("{app} of {client}: {reason}"),
                "a pod that is ready",
                help,
            ));
        }
    }
}

fn place(bench: &Bench<'_>, pod: &Value) -> Result<(Pod, Option<Timestamp>), String> {
    let (node, address) = (text(&pod["spec"]["nodeName"]), text(&pod["status"]["podIP"]));
    let host =
        bench.hosts.get(node).ok_or_else(|| format!("there is no connection to {node}, where it runs"))?;
    let found = Pod {
        name: text(&pod["metadata"]["name"]).to_owned(),
        node: node.to_owned(),
        uid: text(&pod["metadata"]["uid"]).to_owned(),
        address: address.parse().map_err(|_| "it has no address".to_owned())?,
        host: host.clone(),
    };
    Ok((found, text(&pod["status"]["startTime"]).parse().ok()))
}

async fn healthy(client: &Client) -> Result<(), Closed> {
    let pod = &client.database;
    let to = (pod.address, PORT).into();
    let came = from_node::ask(&*pod.host, to, &Question::new("database", "/health")).await;
    let passes = |answer: &Answer| {
        let health: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        answer.status == 200 && health["status"] == "pass"
    };
    if came.as_ref().is_ok_and(passes) {
        return Ok(());
    }
    let observed =
        format!("the database of {} ({to}), asked from {}: {}", client.name, pod.node, told(&came));
    let help = format!("`kubectl -n {} logs deploy/database`; a volume that is full stops it", client.name);
    Err(Closed::observed(observed, "InfluxDB that says `pass`", help))
}

/// Waits for a point that is new; what was seen.
async fn measured(bench: &Bench<'_>, client: &Client) -> Result<String, Closed> {
    let (name, pod) = (&client.name, &client.database);
    let window = 2 * client.interval + 60;
    let token = token(bench, name).await?;
    let query = format!(
        "from(bucket: \"measurements\") |> range(start: -{window}s) |> keep(columns: [\"_time\"]) |> group() \
         |> sort(columns: [\"_time\"], desc: true) |> limit(n: 1)"
    );
    let question = Question::new("database", format!("/api/v2/query?org={name}"))
        .method("POST")
        .header("Content-Type", "application/vnd.flux")
        .header("Accept", "application/csv")
        .login(&token)
        .body(query);
    let mut retry =
        Retry::new(bench, format!("the database of {name}"), Duration::from_secs(window.min(POINTS)));
    loop {
        let came = from_node::ask(&*pod.host, (pod.address, PORT).into(), &question).await;
        let reason = match newest(&came) {
            Ok(Some(time)) => {
                return Ok(format!("{name}: the database is well, and its newest point is of {time}"));
            }
            Ok(None) => format!("no point of the last {window} s"),
            Err(reason) => reason,
        };
        if retry.again(&reason).await {
            continue;
        }
        let first =
            SignedDuration::from_secs(i64::try_from(client.interval).unwrap_or(i64::MAX).saturating_add(60));
        let young = client.started.is_some_and(|at| Timestamp::now().duration_since(at) < first);
        if young && matches!(newest(&came), Ok(None)) {
            return Ok(format!(
                "{name}: the database is well; no point yet, for the collector is young and measures every {} s",
                client.interval
            ));
        }
        let help = format!(
            "`kubectl -n {name} logs deploy/collector` names what does not answer; where only the token is refused, the volume is \
             older than the Secret `database`"
        );
        return Err(Closed::observed(
            format!("the database of {name}: {reason}"),
            "a point that is new",
            help,
        ));
    }
}

/// What stands after `Authorization:`.
async fn token(bench: &Bench<'_>, client: &str) -> Result<SecretString, Closed> {
    let (name, key) = TOKEN;
    let secret = bench.api.object(SECRET, Some(client), name).await?.unwrap_or_default();
    let bytes = STANDARD.decode(text(&secret["data"][key])).unwrap_or_default();
    if bytes.is_empty() {
        let observed = format!("there is no `{key}` in the Secret `{name}` of {client}");
        return Err(Closed::observed(observed, "the database's token", "`hoist apply` makes it up"));
    }
    Ok(SecretString::from(format!("Token {}", String::from_utf8_lossy(&bytes))))
}

/// The time in an answer, which is a table of one row or none; in words, why it is no such answer.
fn newest(came: &Result<Answer, String>) -> Result<Option<String>, String> {
    let answer = match came {
        Ok(answer) if answer.status == 200 => answer,
        other => return Err(told(other)),
    };
    let mut lines =
        answer.body.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(column) = lines.next().map(|head| head.split(',').position(|name| name == "_time")) else {
        return Ok(None);
    };
    let time = lines.next().and_then(|row| row.split(',').nth(column?));
    time.map(|time| time.to_owned()).map_or_else(|| Err(told(came)), |time| Ok(Some(time)))
}

/// A pod of nobody's, every collector, and every database: who reaches whom.
async fn apart(bench: &Bench<'_>, ground: &Ground, clients: &[Client]) -> Result<Proof, Closed> {
    let (nodes, _) = pods::nodes(bench).await?;
    let wish = Wish { name: "stranger".to_owned(), node: &nodes[0], ..Wish::default() };
    let stranger = pods::start(bench, ground, &[wish]).await?.remove(0);
    let service = bench.api.object(SERVICE, Some("default"), "kubernetes").await?.unwrap_or_default();
    let server: Option<Ipv4Addr> = text(&service["spec"]["clusterIP"]).parse().ok();
    let mut retry = Retry::new(bench, "policies", POLICIES);
    while let Some(closed) = reached(clients, &stranger, server).await? {
        if !retry.again(&closed.to_string()).await {
            return Err(closed);
        }
    }
    let others = if clients.len() > 1 { ", nor did another client's collector" } else { "" };
    let seen = format!(
        "each collector reached its database, a pod of another namespace none of {}{others} ({})",
        clients.len(),
        seconds(retry.took())
    );
    Ok(Proof { seen: vec![seen] })
}

/// What is not as the policies say.
async fn reached(
    clients: &[Client],
    stranger: &Pod,
    server: Option<Ipv4Addr>,
) -> Result<Option<Closed>, Closed> {
    let health = |client: &Client| Ask {
        to: client.database.address,
        port: PORT,
        question: Question::new("database", "/health"),
    };
    let mut asks: Vec<Ask> = clients.iter().map(health).collect();
    // Who reaches nothing at all proves nothing; this one answers everybody, if only that TLS is spoken there.
    asks.extend(server.map(|to| Ask { to, port: 443, question: Question::new("kubernetes", "/") }));
    let came = inside::ask(stranger, &asks).await?;
    if server.is_some()
        && let Some(Err(reason)) = came.last()
    {
        let observed = format!("{} asked the API server: {reason}", stranger.place());
        let help = "the pod network does not carry this: `hoist addon status cilium --prove`";
        return Ok(Some(Closed::observed(observed, "an answer", help)));
    }
    for (client, came) in clients.iter().zip(&came) {
        if came.is_ok() {
            return Ok(Some(open(client, &stranger.place())));
        }
    }
    for (index, client) in clients.iter().enumerate() {
        let other = &clients[(index + 1) % clients.len()];
        let came = inside::ask(&client.collector, &[health(client), health(other)]).await?;
        if let Err(reason) = &came[0] {
            let observed = format!("the collector of {} asked its database: {reason}", client.name);
            let help = format!(
                "`kubectl -n {0} get networkpolicies` must have collector-to-database and collector-out; `hubble observe \
                 --verdict DROPPED --namespace {0}` shows what drops it",
                client.name
            );
            return Ok(Some(Closed::observed(observed, "an answer", help)));
        }
        if clients.len() > 1 && came[1].is_ok() {
            return Ok(Some(open(other, &format!("the collector of {}", client.name))));
        }
    }
    Ok(None)
}

fn open(client: &Client, from: &str) -> Closed {
    let help = format!(
        "`kubectl get networkpolicies,ciliumnetworkpolicies -n {0}` and `kubectl get ciliumclusterwidenetworkpolicies`: one of them \
         lets more in than collector-to-database and grafana-to-database do",
        client.name
    );
    Closed::observed(format!("{from} gets an answer of the database of {}", client.name), "no answer", help)
}

#[cfg(test)]
#[path = "monitoring_tests.rs"]
mod tests;
