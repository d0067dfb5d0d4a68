//! The client against a real TLS server: who is trusted, what is asked again, what each failure is called.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use miette::Diagnostic;
use serde_json::json;

use super::{
    Api, Change, Error, Kind, Patience, connect,
    fake::{Answer, Fake, Loopback, SERVER},
};

const QUICK: Patience = Patience { request: Duration::from_millis(400), total: Duration::from_secs(3) };
/// Not long enough to ask twice.
const ONCE: Patience = Patience { request: Duration::from_millis(400), total: Duration::from_millis(1) };

fn version() -> Answer {
    let info = json!({"major": "1", "minor": "20", "gitVersion": "v1.20.2", "gitCommit": "x", "gitTreeState": "clean",
                      "buildDate": "2021", "goVersion": "go1.19", "compiler": "gc", "platform": "linux/amd64"});
    Answer::Json(200, info.to_string())
}

async fn api(fake: &Fake, patience: Patience) -> Api {
    connect(fake.host(), &Fake::kubeconfig(&fake.ca)).await.unwrap().with_patience(patience)
}

/// The error of asking a server that always answers like this.
async fn failure(answer: Answer) -> Error {
    let fake = Fake::start(SERVER, move |_, _| answer.clone()).await;
    api(&fake, ONCE).await.version().await.unwrap_err()
}

#[tokio::test]
async fn the_tunnel_leads_to_the_server_of_the_kubeconfig() {
    let fake = Fake::start(SERVER, |_, _| version()).await;
    let host = fake.host();
    let api = connect(host.clone(), &Fake::kubeconfig(&fake.ca)).await.unwrap();
    assert_eq!(api.version().await.unwrap().to_string(), "1.20.2");
    assert_eq!(*host.wanted.lock().unwrap(), ["192.0.2.10:6443".parse().unwrap()]);
    assert_eq!(*fake.requests.lock().unwrap(), ["GET /version"]);
}

#[tokio::test]
async fn a_name_is_looked_up_on_the_host_and_verified_as_a_name() {
    let fake = Fake::start("api.example.lan", |_, _| version()).await;
    let host = fake.host();
    let kubeconfig = Fake::kubeconfig(&fake.ca);
    let named = kubeconfig.replace(SERVER, "api.example.lan");
    connect(host.clone(), &named).await.unwrap().version().await.unwrap();
    assert_eq!(*host.wanted.lock().unwrap(), ["192.0.2.77:6443".parse().unwrap()]);

    let error = connect(host, &kubeconfig.replace(SERVER, "nowhere.lan")).await.err().unwrap();
    assert!(matches!(error, Error::Name { ref server, .. } if server == "nowhere.lan:6443"), "{error}");
}

#[tokio::test]
async fn a_server_with_another_authority_or_another_name_is_not_trusted() {
    let fake = Fake::start(SERVER, |_, _| version()).await;
    let other = Fake::start("192.0.2.11", |_, _| version()).await;
    let stranger = connect(fake.host(), &Fake::kubeconfig(&other.ca)).await.unwrap();
    let misnamed = connect(other.host(), &Fake::kubeconfig(&other.ca)).await.unwrap();
    for api in [stranger, misnamed] {
        let start = Instant::now();
        let error = api.version().await.unwrap_err();
        assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
        assert!(start.elapsed() < Duration::from_secs(5), "asked again");
    }
    assert!(fake.requests.lock().unwrap().is_empty(), "a token went to a stranger");
}

#[tokio::test]
async fn failures_have_names() {
    let unauthorized = failure(Answer::failure(401, "Unauthorized", "Unauthorized")).await;
    assert!(matches!(unauthorized, Error::Unauthorized { .. }), "{unauthorized:?}");
    let forbidden = failure(Answer::failure(403, "Forbidden", "user x cannot get y")).await;
    assert!(matches!(&forbidden, Error::Forbidden { message, .. } if message == "user x cannot get y"));
    let missing = failure(Answer::failure(404, "NotFound", "not here")).await;
    assert!(matches!(missing, Error::Refused { status: 404, .. }), "{missing:?}");
    let unavailable = failure(Answer::failure(503, "ServiceUnavailable", "apiserver is shutting down")).await;
    assert!(matches!(unavailable, Error::Unavailable { status: 503, .. }), "{unavailable:?}");
    let cut = failure(Answer::Cut).await;
    assert!(matches!(cut, Error::Cut { .. }), "{cut:?}");
    let hung = failure(Answer::Hang).await;
    assert!(matches!(hung, Error::Timeout { .. }), "{hung:?}");
    let nonsense = failure(Answer::Json(200, "<html>".into())).await;
    assert!(matches!(nonsense, Error::Unexpected { .. }), "{nonsense:?}");

    for error in [&unavailable, &cut, &hung] {
        assert!(error.is_retryable(), "{error}");
    }
    for error in [&unauthorized, &forbidden, &missing, &nonsense] {
        assert!(!error.is_retryable(), "{error}");
    }
    for error in [unauthorized, forbidden, missing, unavailable, cut, hung, nonsense] {
        let text = format!("{error} {error:?} {}", error.help().unwrap());
        assert!(text.contains("ask for the version"), "{text}");
        assert!(!text.contains("s3cr3t"), "{text}");
    }
}

#[tokio::test]
async fn what_passes_is_asked_again() {
    let fake = Fake::start(SERVER, |turn, _| match turn {
        0 => Answer::failure(503, "ServiceUnavailable", "starting"),
        1 => Answer::Cut,
        2 => Answer::Hang,
        _ => version(),
    })
    .await;
    assert_eq!(api(&fake, QUICK).await.version().await.unwrap().to_string(), "1.20.2");
    assert_eq!(fake.requests.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a_lost_host_is_not_asked_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let host = Arc::new(Loopback { address, wanted: Default::default() });
    let fake = Fake::start(SERVER, |_, _| version()).await;
    let error =
        connect(host.clone(), &Fake::kubeconfig(&fake.ca)).await.unwrap().version().await.unwrap_err();
    assert!(matches!(&error, Error::Tunnel { host, .. } if host == "cp1"), "{error:?}");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("lost"));
    assert_eq!(host.wanted.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn dangerous_kubeconfigs_are_refused_and_not_quoted() {
    let fake = Fake::start(SERVER, |_, _| version()).await;
    let good = Fake::kubeconfig(&fake.ca);
    for (bad, why) in [
        (
            good.replace("token: s3cr3t-t0ken", "exec: {command: /bin/false, apiVersion: v1}"),
            "runs a program",
        ),
        (good.replace("token: s3cr3t-t0ken", "client-key: /etc/shadow"), "other files"),
        (good.replace("token: s3cr3t-t0ken", "tokenFile: /etc/shadow"), "other files"),
        (good.replace("certificate-authority-data", "insecure-skip-tls-verify: true, x"), "switches off"),
        (good.replace("certificate-authority-data", "x"), "no certificate-authority-data"),
        (good.replace("https:", "http:"), "not an https address"),
        (good.replace("current-context: a", "current-context: b"), "b"),
        ("users: [s3cr3t".to_owned(), "not the YAML"),
    ] {
        let error = connect(fake.host(), &bad).await.err().unwrap();
        assert!(matches!(error, Error::Kubeconfig { .. }), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
        assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
    }
}

fn node(name: &str, ready: bool) -> serde_json::Value {
    json!({"metadata": {"name": name, "labels": {"node-role.kubernetes.io/worker": ""}},
        "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" },
                                   "reason": "KubeletNotReady", "message": "no network"}],
                   "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}})
}

#[tokio::test]
async fn nodes_are_waited_for_and_changes_are_told() {
    let list = |items: Vec<serde_json::Value>| {
        Answer::Json(200, json!({"metadata": {}, "items": items}).to_string())
    };
    let fake = Fake::start(SERVER, move |turn, _| match turn {
        0 => list(vec![node("a", false)]),
        1 => Answer::failure(500, "InternalError", "etcdserver: leader changed"),
        2 => list(vec![node("a", false)]),
        _ => list(vec![node("a", true), node("b", true), node("c", false)]),
    })
    .await;
    let mut seen = Vec::new();
    let names = ["b", "a"].map(str::to_owned);
    let api = api(&fake, QUICK).await;
    let nodes = api
        .wait_for_nodes_ready(&names, Duration::from_secs(20), &mut |nodes| seen.push(nodes.len()))
        .await
        .unwrap();
    assert_eq!(nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(seen, [1, 2]);

    let names = ["c", "d"].map(str::to_owned);
    let error = api.wait_for_nodes_ready(&names, Duration::from_millis(10), &mut |_| ()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "after 10 ms 2 of 2 nodes are not ready: c: KubeletNotReady: no network; d: has not joined"
    );
}

#[tokio::test]
async fn an_unknown_kind_and_an_object_that_is_there_already() {
    let resources = json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [
        {"name": "configmaps", "singularName": "", "namespaced": true, "kind": "ConfigMap", "verbs": ["get", "patch"]}]});
    let live =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "resourceVersion": "7"}});
    let fake = Fake::start(SERVER, move |_, request| match request {
        "GET /api/v1?" | "GET /api/v1" => Answer::Json(200, resources.to_string()),
        "GET /api/v1/namespaces/n/configmaps/c?" | "GET /api/v1/namespaces/n/configmaps/c" => {
            Answer::Json(200, live.to_string())
        }
        patch if patch.starts_with("PATCH /api/v1/namespaces/n/configmaps/c") => {
            Answer::Json(200, live.to_string())
        }
        _ => Answer::failure(404, "NotFound", "the server could not find the requested resource"),
    })
    .await;
    let api = api(&fake, QUICK).await;
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: n}\n";
    assert_eq!(api.apply(map).await.unwrap()[0].change, Change::Unchanged);
    let patch = fake.requests.lock().unwrap().last().unwrap().clone();
    assert!(patch.contains("fieldManager=hoist") && patch.contains("force=true"), "{patch}");
    assert!(!patch.contains("dryRun"), "{patch}");
    api.diff(map).await.unwrap();
    assert!(fake.requests.lock().unwrap().last().unwrap().contains("dryRun=All"));

    for unknown in ["apiVersion: v1\nkind: Poodle\n", "apiVersion: dogs.example/v1\nkind: Poodle\n"] {
        let error = api.apply(&format!("{unknown}metadata: {{name: rex}}\n")).await.unwrap_err();
        assert!(matches!(&error, Error::UnknownKind { object, .. } if object == "Poodle rex"), "{error:?}");
    }
}

/// The discovery that `v1` needs, and ConfigMaps.
fn config_maps(request: &str) -> Answer {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}, "data": {"k": "v"}});
    let json = match request {
        "GET /api/v1" => json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [
            {"name": "configmaps", "singularName": "", "namespaced": true, "kind": "ConfigMap", "verbs": ["get"]}]}),
        "GET /apis/example.org/v1" => return Answer::failure(404, "NotFound", "no such group"),
        "GET /api/v1/namespaces/n/configmaps/a" => map,
        "GET /api/v1/namespaces/n/configmaps?labelSelector=app%3Dweb"
        | "GET /api/v1/namespaces/n/configmaps?&labelSelector=app%3Dweb" => {
            let item = json!({"metadata": {"name": "a", "namespace": "n"}});
            json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {}, "items": [item]})
        }
        "DELETE /api/v1/namespaces/n/configmaps/a?" | "DELETE /api/v1/namespaces/n/configmaps/a" => {
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
        }
        _ => return Answer::failure(404, "NotFound", request),
    };
    Answer::Json(200, json.to_string())
}

#[tokio::test]
async fn objects_of_any_kind_are_read_listed_and_deleted() {
    let fake = Fake::start(SERVER, |_, request| config_maps(request)).await;
    let api = api(&fake, QUICK).await;
    let maps = Kind::new("v1", "ConfigMap");
    let found = api.object(maps, Some("n"), "a").await.unwrap().unwrap();
    assert_eq!(found["data"]["k"], "v");
    assert_eq!(api.object(maps, Some("n"), "other").await.unwrap(), None);
    let listed = api.objects(maps, Some("n"), "app=web").await.unwrap();
    assert_eq!(listed[0]["kind"], "ConfigMap", "an item of a list says what it is");
    assert!(api.delete(maps, Some("n"), "a").await.unwrap());
    assert!(!api.delete(maps, Some("n"), "other").await.unwrap());
}

#[tokio::test]
async fn a_kind_that_the_cluster_does_not_know_has_no_objects() {
    let fake = Fake::start(SERVER, |_, request| config_maps(request)).await;
    let api = api(&fake, QUICK).await;
    let unknown = Kind::new("example.org/v1", "Thing");
    assert_eq!(api.object(unknown, None, "a").await.unwrap(), None);
    assert!(api.objects(unknown, None, "").await.unwrap().is_empty());
    assert!(!api.delete(unknown, None, "a").await.unwrap());
    let error =
        api.create(json!({"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "a"}})).await;
    assert!(matches!(error, Err(Error::UnknownKind { .. })));
}
