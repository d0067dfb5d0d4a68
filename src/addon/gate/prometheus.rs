//! Prometheus and Grafana: nodes and the API server are measured, and Grafana shows the dashboards that it was given.
//!
//! Sources: Prometheus' HTTP API (`/api/v1/query`), Grafana's (`/api/health`, `/api/search`), and the names that the chart
//! kube-prometheus-stack gives its jobs.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;
use serde_json::Value;

use super::{
    Bench, Closed, Gate, Proof, from_node,
    http::{Answer, Question, basic, told},
    pods,
    retry::{Retry, once, seconds, text},
};
use crate::kube::Kind;

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
        "Prometheus measures every node and the API server, and Grafana has the cluster's dashboards"
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

/// Grafana is well, and has the dashboards of the ConfigMaps in the add-on's namespace.
async fn shown(bench: &Bench<'_>) -> Result<Vec<String>, Closed> {
    let (nodes, _) = pods::nodes(bench).await?;
    let host = &bench.hosts[&nodes[0]];
    let services = bench.api.objects(SERVICE, Some(bench.namespace), GRAFANA).await?;
    let Some(address) = services.iter().find_map(address) else {
        return Ok(vec!["Grafana is switched off".to_owned()]);
    };
    let maps = bench.api.objects(CONFIG_MAP, Some(bench.namespace), DASHBOARD).await?;
    let wanted = dashboards(&maps);
    let secret = bench.api.object(SECRET, Some(bench.namespace), ADMINISTRATOR).await?.unwrap_or_default();
    let login = login(&secret);
    let mut retry = Retry::new(bench, "Grafana", SHOWN);
    loop {
        let health = from_node::ask(&**host, address, &Question::new("grafana", "/api/health")).await;
        let search = Question::new("grafana", "/api/search?type=dash-db&limit=5000").login(&login);
        let found = from_node::ask(&**host, address, &search).await;
        let reason = match lacks(&health, &found, &wanted) {
            Ok(seen) => return Ok(vec![seen]),
            Err(reason) => reason,
        };
        if !retry.again(&reason).await {
            let help = "`kubectl -n prometheus logs deploy/prometheus-grafana -c grafana` says why, and its container \
                        grafana-sc-dashboard which dashboards it found";
            return Err(Closed::observed(reason, format!("Grafana with {} dashboards", wanted.len()), help));
        }
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

/// What was seen of Grafana, or what it lacks.
fn lacks(
    health: &Result<Answer, String>,
    found: &Result<Answer, String>,
    wanted: &[(String, String)],
) -> Result<String, String> {
    let read = |answer: &Answer| serde_json::from_str::<Value>(&answer.body).unwrap_or_default();
    if !health.as_ref().is_ok_and(|answer| answer.status == 200 && read(answer)["database"] == "ok") {
        return Err(format!("Grafana is not well: {}", told(health)));
    }
    match found {
        Ok(answer) if answer.status == 200 => {
            let list = read(answer);
            let there = |uid: &str| list.as_array().into_iter().flatten().any(|it| it["uid"] == uid);
            match wanted.iter().find(|(uid, _)| !there(uid)) {
                None => Ok(format!("Grafana is well, and has all {} dashboards", wanted.len())),
                Some((_, title)) => Err(format!("Grafana has no dashboard `{title}`")),
            }
        }
        // It keeps a password that was changed there, if it has a volume.
        Ok(answer) if answer.status == 401 => Ok(format!(
            "Grafana is well; its administrator has another password than the Secret {ADMINISTRATOR}, so nobody could look \
             at its dashboards"
        )),
        other => Err(format!("Grafana does not list its dashboards: {}", told(other))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::addon::gate::testing::Cluster;

    fn answer(targets: &[(&str, &str, &str)]) -> String {
        let target = |(job, address, up): &(&str, &str, &str)| json!({"metric": {"__name__": "up", "job": job, "instance": address}, "value": [1.5, up]});
        let result: Vec<Value> = targets.iter().map(target).collect();
        json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string()
    }

    fn node(name: &str, address: &str) -> Node {
        Node { name: name.to_owned(), addresses: vec![address.to_owned()] }
    }

    #[test]
    fn who_is_not_measured_is_named() {
        let nodes = [node("cp1", "10.0.0.1"), node("w1", "10.0.0.2")];
        let says = |all: &[(&str, &str, &str)]| {
            missing(&nodes, &targets(&answer(all))).map(|(reason, _)| reason).unwrap_or_default()
        };
        let (server, one, two) = (
            ("apiserver", "10.0.0.1:6443", "1"),
            ("node-exporter", "10.0.0.1:9100", "1"),
            ("node-exporter", "10.0.0.2:9100", "1"),
        );
        assert_eq!(says(&[server, one, two, ("shop", "10.1.0.1:80", "0")]), "");
        assert_eq!(says(&[one, two]), "Prometheus does not know the API server yet");
        assert_eq!(
            says(&[("apiserver", "10.0.0.1:6443", "0"), one, two]),
            "the API server 10.0.0.1:6443 does not answer Prometheus"
        );
        assert_eq!(says(&[server, one]), "Prometheus does not know the node exporter of w1");
        assert_eq!(
            says(&[server, one, ("node-exporter", "10.0.0.2:9100", "0")]),
            "the node exporter of w1 (10.0.0.2:9100) does not answer Prometheus"
        );
        // Not one whose address only begins alike.
        assert!(says(&[server, one, ("node-exporter", "10.0.0.21:9100", "1")]).contains("of w1"));
        assert_eq!(targets("no JSON"), []);
    }

    const QUERIED: &str =
        "/api/v1/namespaces/prometheus/services/prometheus-operated:9090/proxy/api/v1/query";

    async fn cluster(found: &'static str, health: &'static str) -> Cluster {
        let mut cluster = Cluster::new(&["w1"]).await;
        let metadata = |name: &str, label: (&str, &str)| json!({"name": name, "namespace": "prometheus", "labels": {label.0: label.1}});
        cluster.put(json!({"apiVersion": "v1", "kind": "Service", "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}]},
                           "metadata": metadata("grafana", ("app.kubernetes.io/name", "grafana"))}));
        cluster.put(
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata("grafana-admin", ("a", "b")),
                           "data": {"admin-user": "YWRtaW4=", "admin-password": "aHVudGVyMg=="}}),
        );
        let board = json!({"uid": "hoist-etcd", "title": "etcd behind the API server"}).to_string();
        cluster.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"etcd.json": board},
                           "metadata": metadata("dashboard-etcd", ("grafana_dashboard", "1"))}));
        cluster.answers(&format!("{QUERIED}?query=up"), |turn| match turn {
            0 => (200, answer(&[])),
            _ => (200, answer(&[("apiserver", "10.0.0.1:6443", "1"), ("shop", "10.1.0.1:80", "0")])),
        });
        cluster.on_question(move |to, question| {
            assert_eq!(to.to_string(), "10.96.0.9:80");
            if question.starts_with("GET /api/health ") {
                return (200, format!("\r\n{health}"));
            }
            assert!(question.contains("\r\nAuthorization: Basic YWRtaW46aHVudGVyMg==\r\n"), "{question}");
            match found {
                "" => (401, "\r\n".to_owned()),
                found => (200, format!("\r\n{found}")),
            }
        });
        cluster
    }

    const WELL: &str = r#"{"database": "ok", "version": "13"}"#;

    #[tokio::test]
    async fn what_is_measured_and_shown_is_told() {
        let cluster = cluster(r#"[{"uid": "hoist-etcd"}, {"uid": "own"}]"#, WELL).await;
        let proof = cluster.pass(&TargetsScraped, "prometheus").await.unwrap();
        assert!(proof.seen[0].starts_with("Prometheus measured the API server after"), "{proof:?}");
        assert!(proof.seen[0].ends_with("; 1 of 2 targets answered"), "{proof:?}");
        assert_eq!(
            proof.seen[1..],
            [
                "no answer of 10.1.0.1:80 of shop",
                "the node exporter is switched off",
                "Grafana is well, and has all 1 dashboards"
            ]
        );
        assert_eq!(
            cluster.said()[0],
            "Prometheus: Prometheus does not know the API server yet; trying again"
        );
    }

    #[tokio::test]
    async fn what_grafana_lacks_closes_the_gate() {
        let words = async |found, health| {
            let cluster = cluster(found, health).await;
            cluster.pass(&TargetsScraped, "prometheus").await.map_err(|closed| closed.to_string())
        };
        let lacks = words(r#"[{"uid": "own"}]"#, WELL).await.unwrap_err();
        assert_eq!(
            lacks,
            "Grafana has no dashboard `etcd behind the API server`; expected: Grafana with 1 dashboards"
        );
        let ill = words("[]", r#"{"database": "failing"}"#).await.unwrap_err();
        assert!(ill.starts_with("Grafana is not well: status 200 and "), "{ill}");
        let other = words("", WELL).await.unwrap();
        assert!(other.seen[3].contains("another password than the Secret grafana-admin"), "{other:?}");
        assert!(!format!("{other:?}").contains("hunter2"));
    }
}
