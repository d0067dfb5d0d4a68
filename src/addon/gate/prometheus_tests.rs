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

const QUERIED: &str = "/api/v1/namespaces/prometheus/services/prometheus-operated:9090/proxy/api/v1/query";

/// A cluster whose Grafana answers these questions, all others as it should.
async fn cluster(answers: &'static [(&'static str, u16, &'static str)]) -> Cluster {
    let mut cluster = Cluster::new(&["w1"]).await;
    let metadata = |name: &str, label: (&str, &str)| json!({"name": name, "namespace": "prometheus", "labels": {label.0: label.1}});
    cluster.put(json!({"apiVersion": "v1", "kind": "Service", "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}]},
                       "metadata": metadata("grafana", ("app.kubernetes.io/name", "grafana"))}));
    cluster
        .put(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata("grafana-admin", ("a", "b")),
                       "data": {"admin-user": "YWRtaW4=", "admin-password": "aHVudGVyMg=="}}));
    let board = json!({"uid": "hoist-etcd", "title": "etcd behind the API server"}).to_string();
    cluster.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"etcd.json": board},
                       "metadata": metadata("dashboard-etcd", ("grafana_dashboard", "1"))}));
    cluster.answers(&format!("{QUERIED}?query=up"), |turn| match turn {
        0 => (200, answer(&[])),
        _ => (200, answer(&[("apiserver", "10.0.0.1:6443", "1"), ("shop", "10.1.0.1:80", "0")])),
    });
    cluster.on_question(move |to, question| {
        assert_eq!(to.to_string(), "10.96.0.9:80");
        let health = question.starts_with("GET /api/health ");
        let login = question.contains("\r\nAuthorization: Basic YWRtaW46aHVudGVyMg==\r\n");
        assert_ne!(health, login, "{question}");
        if question.starts_with("POST /api/ds/query ") {
            assert!(question.contains("\r\nContent-Type: application/json\r\n"), "{question}");
            let body: Value = serde_json::from_str(question.rsplit("\r\n").next().unwrap()).unwrap();
            let source = json!({"type": "prometheus", "uid": "metrics"});
            assert_eq!(
                (&body["queries"][0]["datasource"], &body["queries"][0]["expr"]),
                (&source, &json!("count(up)"))
            );
        }
        let mut all = answers.iter().chain(&WELL);
        let (_, status, body) = all.find(|(start, ..)| question.starts_with(start)).unwrap();
        (*status, format!("\r\n{body}"))
    });
    cluster
}

const ROWS: &str = r#"{"results": {"A": {"status": 200, "frames": [{"schema": {"refId": "A"}, "data": {"values": [[1700000000000], [7]]}}]}}}"#;
/// How a Grafana without a fault answers.
const WELL: [(&str, u16, &str); 4] = [
    ("GET /api/health ", 200, r#"{"database": "ok", "version": "13"}"#),
    ("GET /api/search?", 200, r#"[{"uid": "hoist-etcd"}, {"uid": "own"}]"#),
    (
        "GET /api/datasources ",
        200,
        r#"[{"uid": "alerts", "name": "Alertmanager", "type": "alertmanager", "isDefault": false},
            {"uid": "replica", "name": "Replica", "type": "prometheus", "isDefault": false},
            {"uid": "metrics", "name": "Prometheus", "type": "prometheus", "isDefault": true}]"#,
    ),
    ("POST /api/ds/query ", 200, ROWS),
];

#[tokio::test]
async fn what_is_measured_and_shown_is_told() {
    let cluster = cluster(&[]).await;
    let proof = cluster.pass(&TargetsScraped, "prometheus").await.unwrap();
    assert!(proof.seen[0].starts_with("Prometheus measured the API server after"), "{proof:?}");
    assert!(proof.seen[0].ends_with("; 1 of 2 targets answered"), "{proof:?}");
    assert_eq!(
        proof.seen[1..],
        [
            "no answer of 10.1.0.1:80 of shop",
            "the node exporter is switched off",
            "Grafana is well, and has all 1 dashboards",
            "Grafana gets measurements through its data source Prometheus",
        ]
    );
    assert_eq!(cluster.said()[0], "Prometheus: Prometheus does not know the API server yet; trying again");
}

#[tokio::test]
async fn what_grafana_lacks_closes_the_gate() {
    let words = async |answers| {
        let cluster = cluster(answers).await;
        cluster.pass(&TargetsScraped, "prometheus").await.map_err(|closed| closed.to_string())
    };
    let lacks = words(&[("GET /api/search?", 200, r#"[{"uid": "own"}]"#)]).await.unwrap_err();
    assert_eq!(
        lacks,
        "Grafana has no dashboard `etcd behind the API server`; expected: Grafana with 1 dashboards, and measurements for them"
    );
    let ill = words(&[("GET /api/health ", 200, r#"{"database": "failing"}"#)]).await.unwrap_err();
    assert!(ill.starts_with("Grafana is not well: status 200 and "), "{ill}");
    // It is well and has its dashboards, but its plugin for Prometheus was stopped and could not be replaced.
    let lost = words(&[(
        "POST /api/ds/query ",
        404,
        r#"{"message": "plugin not registered", "messageId": "plugin.notRegistered"}"#,
    )]);
    let lost = lost.await.unwrap_err();
    assert!(
        lost.starts_with("Grafana gets no measurements through its data source Prometheus: status 404 and ")
            && lost.contains("plugin not registered"),
        "{lost}"
    );
    let other = words(&[("GET /api/search?", 401, "")]).await.unwrap();
    assert!(other.seen[3].contains("another password than the Secret grafana-admin"), "{other:?}");
    assert!(!format!("{other:?}").contains("hunter2"));
}

#[test]
fn the_data_source_is_that_of_the_dashboards_and_only_rows_prove_it() {
    let came = |status, body: &str| Ok(Answer { status, headers: Vec::new(), body: body.to_owned() });
    let uid = |body: &str| source(&came(200, body)).map(|(uid, _)| uid);
    assert_eq!(
        uid(r#"[{"uid": "a", "type": "prometheus"}, {"uid": "b", "type": "prometheus"}]"#).unwrap(),
        "a"
    );
    assert_eq!(
        uid(r#"[{"uid": "l", "type": "loki", "isDefault": true}, {"uid": "b", "type": "prometheus"}]"#)
            .unwrap(),
        "b"
    );
    assert_eq!(uid("[]").unwrap_err(), "Grafana has no data source of the type `prometheus`");
    let denied = source(&came(403, "no")).unwrap_err();
    assert_eq!(denied, "Grafana does not list its data sources: status 403 and \"no\"");
    for (status, body, proven) in [
        (200, ROWS, true),
        (200, r#"{"results": {"A": {"status": 200, "frames": [{"data": {"values": [[], []]}}]}}}"#, false),
        (200, r#"{"results": {"A": {"status": 200, "frames": []}}}"#, false),
        (200, r#"{"results": {"A": {"status": 502, "error": "connection refused"}}}"#, false),
        (400, ROWS, false),
        (200, "<html>", false),
    ] {
        assert_eq!(measured(&came(status, body), "a").is_ok(), proven, "{body}");
    }
    assert!(measured(&Err("refused".to_owned()), "a").unwrap_err().ends_with("data source a: refused"));
}
