//! States of clusters and what is told of them.

use super::*;
use crate::cluster::{AccessError, state::Objects};

fn node(name: &str, ready: bool) -> NodeStatus {
    NodeStatus {
        name: name.into(),
        ready,
        reason: if ready { String::new() } else { "KubeletNotReady: no network plugin".into() },
        schedulable: ready,
        roles: if name == "cp1" { vec!["control-plane".into(), "master".into()] } else { vec![] },
        version: "v1.20.2".into(),
        addresses: vec!["10.77.0.11".into(), "203.0.113.9".into()],
        age: Duration::from_secs(75),
    }
}

#[test]
fn a_table_of_nodes() {
    insta::assert_snapshot!(nodes(&[node("cp1", true), node("worker-1", false)]), @r"
        NODE       STATUS              ROLES                  AGE   VERSION   ADDRESS      WHY
        cp1        Ready               control-plane,master   75s   v1.20.2   10.77.0.11   -
        worker-1   NotReady,cordoned   -                      75s   v1.20.2   10.77.0.11   KubeletNotReady: no network plugin
        ");
}

#[test]
fn a_table_of_pods() {
    let running = PodStatus {
        namespace: "hoist-sample".into(),
        name: "web-7c9f-abcde".into(),
        node: Some("worker-1".into()),
        phase: "Running".into(),
        ready: true,
        containers: (1, 1),
        restarts: 0,
        reason: String::new(),
        age: Duration::from_secs(7300),
        labels: [].into(),
    };
    let pending = PodStatus {
        name: "web-7c9f-fghij".into(),
        node: None,
        phase: "Pending".into(),
        ready: false,
        containers: (0, 1),
        reason: "Unschedulable: 0/3 nodes are available".into(),
        ..running.clone()
    };
    insta::assert_snapshot!(pods(&[running, pending]), @r"
        NAMESPACE      POD              READY   PHASE     RESTARTS   AGE   NODE       WHY
        hoist-sample   web-7c9f-abcde   1/1     Running   0          2h    worker-1   -
        hoist-sample   web-7c9f-fghij   0/1     Pending   0          2h    -          Unschedulable: 0/3 nodes are available
        ");
}

/// A cluster of which one half is well.
fn state(whole: bool) -> State {
    let health = |host: &str, trouble: Option<&str>| Health {
        host: host.into(),
        version: if trouble.is_none() { "v1.20.2".into() } else { String::new() },
        trouble: trouble.map(str::to_owned),
    };
    let certificate = |host: &str, path: &str, authority, expires: &str| Certificate {
        host: host.into(),
        path: path.into(),
        subject: "CN=a".into(),
        authority,
        expires: expires.parse().unwrap(),
    };
    let pod = |name: &str, phase: &str, ready, reason: &str| PodStatus {
        namespace: "default".into(),
        name: name.into(),
        node: Some("cp1".into()),
        phase: phase.into(),
        ready,
        containers: (usize::from(ready), 1),
        restarts: 0,
        reason: reason.into(),
        age: Duration::from_secs(60),
        labels: [].into(),
    };
    let objects = Objects {
        nodes: vec![node("cp1", true), node("worker-1", false)],
        pods: vec![
            pod("done", "Succeeded", false, ""),
            pod("leaving", "Running", true, "Terminating"),
            pod("serving", "Running", true, ""),
            pod("stuck", "Running", false, "CrashLoopBackOff"),
        ],
        requests: vec![Pending {
            name: "csr-abcde".into(),
            user: "system:node:worker-1".into(),
            signer: "kubernetes.io/kubelet-serving".into(),
            common_name: Some("system:node:worker-1".into()),
            alternatives: None,
            age: Duration::from_secs(600),
        }],
        missing: vec!["worker-1".into()],
        unlisted: vec!["cp9".into()],
    };
    State {
        name: "office".into(),
        wanted: "1.20.2".parse().unwrap(),
        control_planes: vec![health("cp1", None), health("cp2", Some("no answer over SSH"))],
        etcd: vec![health("cp1", None), health("cp2", Some("no answer over SSH"))],
        unlisted_members: vec!["etcd9 (10.0.0.9)".into()],
        certificates: vec![
            certificate("cp1", "/etc/kubernetes/pki/apiserver.crt", false, "2027-01-01T00:00:00Z"),
            certificate("cp1", "/etc/kubernetes/admin.conf", false, "2026-12-31T00:00:00Z"),
            certificate("cp1", "/etc/kubernetes/pki/ca.crt", true, "2036-01-01T00:00:00Z"),
            certificate(
                "w1",
                "/var/lib/kubelet/pki/kubelet-client-current.pem",
                false,
                "2026-01-20T00:00:00Z",
            ),
            certificate(
                "w1",
                "/var/lib/kubelet/pki/kubelet-server-current.pem",
                false,
                "2026-01-10T12:00:00Z",
            ),
        ],
        cluster: if whole { Ok(objects) } else { Err(AccessError::NoCluster) },
    }
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn lost() -> Vec<Unreached> {
    let error = crate::transport::Error::Refused { host: "cp2".into(), address: "10.77.0.12:22".into() };
    vec![Unreached { host: "cp2".into(), why: error.into() }]
}

#[test]
fn a_cluster_with_troubles() {
    insta::assert_snapshot!(text(&state(true), &lost(), now()));
    insta::assert_snapshot!(serde_json::to_string_pretty(&json(&state(true), &lost(), now())).unwrap());
}

#[test]
fn what_is_known_without_an_api_server_is_shown() {
    let shown = text(&state(false), &[], now());
    assert!(
        shown.contains("cp2             NotReady") && shown.contains("kubelet-server-current.pem"),
        "{shown}"
    );
    assert!(!shown.contains("NODE ") && !shown.contains("pods"), "{shown}");
    let json = json(&state(false), &[], now());
    assert!(json["error"].as_str().unwrap().contains("there is no cluster yet"), "{json}");
    assert_eq!((&json["healthy"], &json["nodes"]), (&Value::Bool(false), &Value::Null));
}

#[test]
fn a_cluster_that_is_well() {
    let mut state = state(true);
    state.control_planes.truncate(1);
    state.etcd.truncate(1);
    assert!(!state.is_healthy(now()), "a node is missing");
    if let Ok(objects) = &mut state.cluster {
        objects.missing.clear();
    }
    assert!(state.is_healthy(now()));
    assert_eq!(json(&state, &[], now())["healthy"], true);
    assert_eq!(json(&state, &lost(), now())["healthy"], false);
    // The kubelet's own is the first to end.
    let late = "2026-01-10T12:00:00Z".parse().unwrap();
    assert!(!state.is_healthy(late), "a certificate has expired");
    assert_eq!(json(&state, &[], late)["healthy"], false);
    let shown = text(&state, &[], late);
    assert!(shown.contains("\nOf the certificates 1 expired and 1 will within 30 days: "), "{shown}");
    state.certificates.truncate(3);
    assert!(!text(&state, &[], now()).contains("within 30 days"), "nothing to do");
}

#[test]
fn all_certificates_in_a_list() {
    let state = state(true);
    let list = certificate_list(&state.certificates, now()).to_string();
    assert_eq!(list.lines().count(), 1 + state.certificates.len());
    assert!(list.contains("cp1    365         2027-01-01   /etc/kubernetes/pki/apiserver.crt"), "{list}");
}

#[test]
fn ages() {
    let shown = [0, 119, 120, 7199, 7200, 172_799, 172_800].map(|s| age(Duration::from_secs(s)));
    assert_eq!(shown, ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
}
