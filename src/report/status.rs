//! How a cluster is, as tables and as JSON.

use std::{fmt::Write as _, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::table::Table;
use crate::{
    cluster::{Unreached, certificates::Certificate, health::Health, state::State},
    kube::{NodeStatus, Pending, PodStatus},
};

/// A certificate that ends within so many days is shown on its own: kubeadm's live for 365, and a kubelet asks for a new
/// one when about 70 are left at the latest.
const SOON: i64 = 30;

/// Everything, the troubles first. Pods that are well are left out.
pub fn text(state: &State, unreached: &[Unreached], now: Timestamp) -> String {
    let mut sections = Vec::new();
    if !unreached.is_empty() {
        sections.push(super::hosts::table(unreached));
    }
    sections.push(healths("CONTROL PLANE", &state.control_planes));
    sections.push(healths("ETCD MEMBER", &state.etcd));
    let mut end = String::new();
    if let Ok(objects) = &state.cluster {
        sections.push(nodes(&objects.nodes));
        let unwell: Vec<PodStatus> = objects.pods.iter().filter(|pod| !is_well(pod)).cloned().collect();
        if !unwell.is_empty() {
            sections.push(pods(&unwell));
        }
        if !objects.requests.is_empty() {
            sections.push(requests(&objects.requests));
        }
        let _ =
            write!(end, "\n{} of {} pods are well\n", objects.pods.len() - unwell.len(), objects.pods.len());
    }
    if !state.certificates.is_empty() {
        sections.push(certificates(&state.certificates, now));
    }
    sections.iter().map(Table::to_string).collect::<Vec<_>>().join("\n") + &end
}

/// The same for programs, with all pods that are not well and all certificates.
pub fn json(state: &State, unreached: &[Unreached], now: Timestamp) -> Value {
    let health = |all: &[Health]| -> Value {
        let all = all.iter();
        all.map(|it| json!({"host": it.host, "healthy": it.trouble.is_none(), "version": it.version, "trouble": it.trouble}))
            .collect()
    };
    let unreached_json: Value =
        unreached.iter().map(|lost| json!({"host": lost.host, "error": lost.why.to_string()})).collect();
    let mut answer = json!({
        "cluster": state.name,
        "version": state.wanted.to_string(),
        "healthy": state.is_healthy() && unreached.is_empty(),
        "unreached": unreached_json,
        "control_planes": health(&state.control_planes),
        "etcd": health(&state.etcd),
        "certificates": certificates_json(&state.certificates, now),
        "error": state.cluster.as_ref().err().map(ToString::to_string),
    });
    if let Ok(objects) = &state.cluster {
        answer["nodes"] = objects.nodes.iter().map(node_json).collect();
        answer["pods"] = json!({
            "all": objects.pods.len(),
            "unwell": objects.pods.iter().filter(|pod| !is_well(pod)).map(pod_json).collect::<Vec<Value>>(),
        });
        answer["requests"] = objects.requests.iter().map(request_json).collect();
    }
    answer
}

/// Whether a pod does what it is there for, or has done it.
fn is_well(pod: &PodStatus) -> bool {
    pod.phase == "Succeeded" || (pod.ready && pod.reason.is_empty())
}

fn healths(title: &str, all: &[Health]) -> Table {
    let mut table = Table::new([title, "STATUS", "VERSION", "WHY"]);
    for one in all {
        let status = if one.trouble.is_none() { "Ready" } else { "NotReady" };
        table.row([
            one.host.clone(),
            status.to_owned(),
            one.version.clone(),
            one.trouble.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn requests(all: &[Pending]) -> Table {
    let mut table = Table::new(["REQUEST FOR A CERTIFICATE", "OF", "SIGNER", "WAITS"]);
    for one in all {
        table.row([one.name.clone(), one.user.clone(), one.signer.clone(), age(one.age)]);
    }
    table
}

/// What ends first on each host, and everything that ends soon. Authorities stand apart from what they signed.
fn certificates(all: &[Certificate], now: Timestamp) -> Table {
    let mut table = Table::new(["CERTIFICATES OF", "DAYS LEFT", "EXPIRES", "FIRST TO EXPIRE"]);
    let mut shown: Vec<&Certificate> = all.iter().filter(|it| it.days_left(now) < SOON).collect();
    for one in all {
        let same = |other: &&Certificate| other.host == one.host && other.authority == one.authority;
        let first = all.iter().filter(same).min_by_key(|it| it.expires);
        if first.is_some_and(|first| std::ptr::eq(first, one))
            && !shown.iter().any(|it| std::ptr::eq(*it, one))
        {
            shown.push(one);
        }
    }
    shown.sort_by_key(|it| it.expires);
    for one in shown {
        table.row([
            one.host.clone(),
            one.days_left(now).to_string(),
            day(one),
            format!("{}{}", one.path, if one.authority { " (authority)" } else { "" }),
        ]);
    }
    table
}

/// All certificates, one a line.
pub fn certificate_list(all: &[Certificate], now: Timestamp) -> Table {
    let mut table = Table::new(["HOST", "DAYS LEFT", "EXPIRES", "CERTIFICATE", "SUBJECT"]);
    for one in all {
        let days = one.days_left(now).to_string();
        table.row([one.host.clone(), days, day(one), one.path.clone(), one.subject.clone()]);
    }
    table
}

/// All certificates for programs.
pub fn certificates_json(all: &[Certificate], now: Timestamp) -> Value {
    let one = |it: &Certificate| {
        json!({
            "host": it.host,
            "path": it.path,
            "subject": it.subject,
            "authority": it.authority,
            "expires": it.expires.to_string(),
            "days": it.days_left(now),
        })
    };
    all.iter().map(one).collect()
}

fn day(certificate: &Certificate) -> String {
    certificate.expires.strftime("%Y-%m-%d").to_string()
}

fn node_json(node: &NodeStatus) -> Value {
    json!({
        "name": node.name,
        "ready": node.ready,
        "reason": node.reason,
        "schedulable": node.schedulable,
        "roles": node.roles,
        "version": node.version,
        "addresses": node.addresses,
        "age_seconds": node.age.as_secs(),
    })
}

fn pod_json(pod: &PodStatus) -> Value {
    json!({
        "namespace": pod.namespace,
        "name": pod.name,
        "node": pod.node,
        "phase": pod.phase,
        "restarts": pod.restarts,
        "reason": pod.reason,
        "age_seconds": pod.age.as_secs(),
    })
}

fn request_json(request: &Pending) -> Value {
    json!({
        "name": request.name,
        "user": request.user,
        "signer": request.signer,
        "age_seconds": request.age.as_secs(),
    })
}

/// The nodes of a cluster, one a line.
pub fn nodes(nodes: &[NodeStatus]) -> Table {
    let mut table = Table::new(["NODE", "STATUS", "ROLES", "AGE", "VERSION", "ADDRESS", "WHY"]);
    for node in nodes {
        let mut status = if node.ready { "Ready" } else { "NotReady" }.to_owned();
        if !node.schedulable {
            status.push_str(",cordoned");
        }
        table.row([
            node.name.clone(),
            status,
            node.roles.join(","),
            age(node.age),
            node.version.clone(),
            node.addresses.first().cloned().unwrap_or_default(),
            node.reason.clone(),
        ]);
    }
    table
}

/// Pods, one a line.
pub fn pods(pods: &[PodStatus]) -> Table {
    let mut table = Table::new(["NAMESPACE", "POD", "READY", "PHASE", "RESTARTS", "AGE", "NODE", "WHY"]);
    for pod in pods {
        let (ready, all) = pod.containers;
        table.row([
            pod.namespace.clone(),
            pod.name.clone(),
            format!("{ready}/{all}"),
            pod.phase.clone(),
            pod.restarts.to_string(),
            age(pod.age),
            pod.node.clone().unwrap_or_default(),
            pod.reason.clone(),
        ]);
    }
    table
}

/// An age in the largest unit that it has two of: `45s`, `119s`, `2m`, `3h`, `12d`.
pub fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
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
                age: Duration::from_secs(600),
            }],
            missing: vec!["worker-1".into()],
        };
        State {
            name: "office".into(),
            wanted: "1.20.2".parse().unwrap(),
            control_planes: vec![health("cp1", None), health("cp2", Some("no answer over SSH"))],
            etcd: vec![health("cp1", None), health("cp2", Some("no answer over SSH"))],
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
        assert!(!state.is_healthy(), "a node is missing");
        if let Ok(objects) = &mut state.cluster {
            objects.missing.clear();
        }
        assert!(state.is_healthy());
        assert_eq!(json(&state, &[], now())["healthy"], true);
        assert_eq!(json(&state, &lost(), now())["healthy"], false);
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
}
