use serde_json::json;

use super::*;
use crate::addon::gate::testing::Cluster;

const POINT: &str = "\r\n,result,table,_time\r\n,_result,0,2026-01-01T00:00:00Z\r\n\r\n";

/// Two clients, each with its database and its collector on w1.
async fn cluster(points: &'static str, started: &str) -> Cluster {
    let mut cluster = Cluster::new(&["w1"]).await;
    cluster.runs_pods();
    let mut clients = json!({});
    for (index, name) in ["ada", "bob"].into_iter().enumerate() {
        clients[name] = json!({"interval": 60, "ping": ["10.9.9.9"]});
        for (app, address) in [("database", 10 + index), ("collector", 20 + index)] {
            cluster.put(json!({"apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": "w1"},
                "metadata": {"name": app, "namespace": name, "uid": format!("{app}-{name}"), "labels": {"app": app}},
                "status": {"podIP": format!("10.244.1.{address}"), "startTime": started,
                           "conditions": [{"type": "Ready", "status": "True"}]}}));
        }
        cluster.put(json!({"apiVersion": "v1", "kind": "Secret", "data": {"token": "aHVudGVyMg=="},
                           "metadata": {"name": "database", "namespace": name}}));
    }
    cluster.set("clients", clients);
    cluster.on_question(move |to, question| {
        assert!(["10.244.1.10:8086", "10.244.1.11:8086"].contains(&to.to_string().as_str()), "{to}");
        if question.starts_with("GET /health ") {
            return (200, "\r\n{\"name\": \"influxdb\", \"status\": \"pass\"}".to_owned());
        }
        assert!(question.contains("\r\nAuthorization: Token hunter2\r\n"), "{question}");
        match points {
            "refused" => (401, "\r\n{\"code\":\"unauthorized\"}".to_owned()),
            points => (200, points.to_owned()),
        }
    });
    cluster
}

#[tokio::test]
async fn databases_that_answer_and_have_points_are_told() {
    let cluster = cluster(POINT, "2026-01-01T00:00:00Z").await;
    let proof = cluster.pass(&ClientsMeasured, "monitoring").await.unwrap();
    assert_eq!(
        proof.seen,
        [
            "ada: the database is well, and its newest point is of 2026-01-01T00:00:00Z",
            "bob: the database is well, and its newest point is of 2026-01-01T00:00:00Z",
            "clients are not apart: the network plugin ignores policies",
        ]
    );
}

#[tokio::test]
async fn no_points_close_the_gate_but_where_the_first_is_only_due() {
    let words = async |points, started: &str| {
        let cluster = cluster(points, started).await;
        let proof = cluster.pass(&ClientsMeasured, "monitoring").await;
        proof.map_err(|closed| closed.to_string()).map(|proof| proof.seen[0].clone())
    };
    let old = words("\r\n\r\n", "2026-01-01T00:00:00Z").await.unwrap_err();
    assert_eq!(old, "the database of ada: no point of the last 180 s; expected: a point that is new");
    let young = words("\r\n\r\n", &Timestamp::now().to_string()).await.unwrap();
    assert!(young.ends_with("no point yet, for the collector is young and measures every 60 s"), "{young}");
    let refused = words("refused", &Timestamp::now().to_string()).await.unwrap_err();
    assert!(refused.starts_with("the database of ada: status 401 and "), "{refused}");
    assert!(!refused.contains("hunter2"), "{refused}");
}

/// What comes back in pods: `answer` says whether who asks (by uid) reaches an address.
async fn asked(answer: fn(&str, &str) -> bool) -> String {
    let mut cluster = cluster(POINT, "2026-01-01T00:00:00Z").await;
    cluster.on_script(move |_, script| {
        let from =
            ["stranger", "collector-ada", "collector-bob"].into_iter().find(|uid| script.contains(uid));
        let lines = script.lines().filter_map(|line| line.strip_prefix("ask ")?.split_once(' '));
        let answers = lines.map(|(index, rest)| {
            let to = rest.split(' ').next().unwrap();
            let reached = answer(from.unwrap(), to);
            let came = if reached { STANDARD.encode("HTTP/1.0 200 OK\r\n\r\n") } else { String::new() };
            format!("{index} {came}\n")
        });
        (0, answers.collect())
    });
    let client = |name: &str, database: u8| Client {
        name: name.to_owned(),
        interval: 60,
        database: Pod { address: Ipv4Addr::new(10, 244, 1, database), ..cluster.pod("database", "w1") },
        collector: Pod { uid: format!("collector-{name}"), ..cluster.pod("collector", "w1") },
        started: None,
    };
    let clients = [client("ada", 10), client("bob", 11)];
    let stranger = Pod { uid: "stranger".to_owned(), ..cluster.pod("stranger", "w1") };
    let closed = reached(&clients, &stranger, Some(Ipv4Addr::new(10, 96, 0, 1))).await.unwrap();
    closed.map(|closed| closed.to_string()).unwrap_or_default()
}

/// As the policies say.
fn as_it_shall_be(from: &str, to: &str) -> bool {
    matches!(
        (from, to),
        ("stranger", "10.96.0.1") | ("collector-ada", "10.244.1.10") | ("collector-bob", "10.244.1.11")
    )
}

#[tokio::test]
async fn who_reaches_what_he_should_not_is_told() {
    assert_eq!(asked(as_it_shall_be).await, "");
    let words = asked(|from, to| from == "stranger" || as_it_shall_be(from, to)).await;
    assert!(words.ends_with("gets an answer of the database of ada; expected: no answer"), "{words}");
    let words = asked(|from, to| from == "collector-bob" || as_it_shall_be(from, to)).await;
    assert_eq!(words, "the collector of bob gets an answer of the database of ada; expected: no answer");
    let words = asked(|from, to| from == "stranger" && as_it_shall_be(from, to)).await;
    assert_eq!(words, "the collector of ada asked its database: no answer within 5 s; expected: an answer");
    // Who reaches nothing at all would prove that nothing is reached.
    let words = asked(|from, to| from != "stranger" && as_it_shall_be(from, to)).await;
    assert!(words.contains("asked the API server: no answer within 5 s"), "{words}");
}

#[test]
fn a_table_is_read() {
    let came = |status, body: &str| Ok(Answer { status, headers: Vec::new(), body: body.to_owned() });
    let time = Ok(Some("2026-01-01T00:00:00Z".to_owned()));
    assert_eq!(newest(&came(200, ",result,table,_time\r\n,_result,0,2026-01-01T00:00:00Z\r\n")), time);
    let annotated =
        "#datatype,string,long,dateTime:RFC3339\n,result,table,_time\n,_result,0,2026-01-01T00:00:00Z\n";
    assert_eq!(newest(&came(200, annotated)), time);
    assert_eq!(newest(&came(200, "\r\n")), Ok(None));
    assert!(newest(&came(200, "<html>\nno table")).is_err());
    assert!(newest(&came(500, "")).is_err());
}
