use serde_json::json;

use super::*;
use crate::addon::gate::testing::{Cluster, words};

fn nodes() -> Vec<String> {
    ["cp1", "w1"].map(str::to_owned).to_vec()
}

fn agent(node: &str, ready: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": format!("cilium-{node}"), "namespace": "kube-system", "labels": {"k8s-app": "cilium"}},
           "spec": {"nodeName": node},
           "status": {"conditions": [{"type": "Ready", "status": ready, "reason": "ContainersNotReady", "message": "agent"}]}})
}

fn known(node: &str) -> Value {
    json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": {"name": node}})
}

fn health(broken: &str) -> String {
    let path = |status: &str| {
        json!({"primary-address": {"ip": "10.0.0.2", "icmp": {"latency": 300_000},
                                     "http": {"latency": 400_000, "status": status}}})
    };
    json!({"local": {"name": "lab/cp1"}, "nodes": [
        {"name": "lab/cp1", "host": path(""), "health-endpoint": path("")},
        {"name": "lab/w1", "host": path(""), "health-endpoint": path(broken)}]})
    .to_string()
}

#[tokio::test]
async fn all_agents_are_asked_and_healthy() {
    let mut cluster = Cluster::new(&["cp1", "w1"]).await;
    for node in ["cp1", "w1"] {
        cluster.put(agent(node, "True"));
        cluster.put(known(node));
    }
    cluster.on_script(|_, script| {
        assert!(script.contains("cilium-health status --probe -o json"), "{script}");
        (0, health(""))
    });
    cluster.on_forward(|to| {
        assert_eq!(to.port(), HEALTH);
        "HTTP/1.0 200 OK\r\n\r\nok"
    });
    let proof = cluster.pass(&CiliumAgents, "kube-system").await.unwrap();
    assert_eq!(proof.seen[0], "Cilium's agents are ready on 2 nodes");
    assert!(
        proof.seen[1].starts_with("2 agents were asked: each is healthy and reaches all 2 nodes"),
        "{proof:?}"
    );
}

#[tokio::test]
async fn a_node_that_is_not_ready_and_a_rented_one_are_left_out_and_named() {
    let mut cluster = Cluster::new(&["cp1", "w1"]).await;
    for (node, ready) in [("dead", "Unknown"), ("rented", "True")] {
        cluster.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node},
                           "status": {"conditions": [{"type": "Ready", "status": ready}]}}));
    }
    for node in ["cp1", "w1"] {
        cluster.put(agent(node, "True"));
        cluster.put(known(node));
    }
    cluster.put(agent("dead", "False"));
    cluster.on_script(|_, _| (0, health("")));
    cluster.on_forward(|_| "HTTP/1.0 200 OK\r\n\r\nok");
    let proof = cluster.pass(&CiliumAgents, "kube-system").await.unwrap();
    assert_eq!(proof.seen[0], "Cilium's agents are ready on 2 nodes");
    assert_eq!(
        proof.seen[2..],
        ["dead was left out: it is not ready", "rented was left out: there is no connection to it"]
    );
}

#[test]
fn who_is_missing_is_named() {
    let (both, all) = ([agent("cp1", "True"), agent("w1", "True")], [known("cp1"), known("w1")]);
    assert!(missing(&nodes(), &both, &all).is_none());
    assert_eq!(
        words(missing(&nodes(), &both[..1], &all)),
        "w1 has no pod of Cilium's agent; expected: one on every node"
    );
    assert_eq!(
        words(missing(&nodes(), &[agent("cp1", "True"), agent("w1", "False")], &all)),
        "Cilium's agent on w1 is not ready (ContainersNotReady: agent); expected: a ready one on every node"
    );
    assert_eq!(
        words(missing(&nodes(), &both, &all[..1])),
        "there is no CiliumNode w1; expected: one for every node"
    );
}

#[tokio::test]
async fn an_agent_that_is_ill_is_named() {
    let mut cluster = Cluster::new(&["cp1"]).await;
    cluster.on_forward(|_| "HTTP/1.0 503 Unavailable\r\n\r\ndegraded");
    let bench = cluster.bench("kube-system");
    let closed = unwell(&bench, "cp1", &*cluster.hosts["cp1"]).await.unwrap();
    assert_eq!(
        words(closed),
        "on cp1, Cilium's agent was asked http://127.0.0.1:9879/healthz: status 503 and \"degraded\"; expected: status 200"
    );
}

#[test]
fn a_path_that_is_broken_is_named() {
    assert!(unseen("cp1", &Ok(health("")), &nodes(), true).is_none());
    assert_eq!(
        words(unseen("cp1", &Ok(health("context deadline exceeded")), &nodes(), true)),
        "Cilium on cp1 to the endpoint on w1 (10.0.0.2) by HTTP: context deadline exceeded; expected: an answer"
    );
    let three = ["cp1", "w1", "w2"].map(str::to_owned);
    assert_eq!(
        words(unseen("cp1", &Ok(health("")), &three, true)),
        "Cilium on cp1 does not know w2; expected: every node"
    );
    let failed = Err("it ended with 3: no container cilium-agent runs".to_owned());
    assert!(
        words(unseen("cp1", &failed, &nodes(), true)).starts_with("cilium-health on cp1: it ended with 3")
    );
    assert!(words(unseen("cp1", &Ok("Error".to_owned()), &nodes(), true)).contains("it printed \"Error\""));
    let Some(Closed::Observed { help, .. }) = unseen("cp1", &failed, &nodes(), true) else { panic!() };
    assert!(help.contains("VXLAN (UDP 8472) or WireGuard (UDP 51871)"), "{help}");
}

#[test]
fn a_path_that_was_not_asked_is_no_whole_one() {
    let cut = |at: &str| {
        let mut all: Value = serde_json::from_str(&health("")).unwrap();
        let (above, last) = at.rsplit_once('/').unwrap();
        all.pointer_mut(above).unwrap().as_object_mut().unwrap().remove(last).unwrap();
        Ok(all.to_string())
    };
    for (at, endpoints, expected) in [
        ("/nodes/1/host", true, "the node w1 by ping"),
        ("/nodes/1/host/primary-address", false, "the node w1 by ping"),
        ("/nodes/0/host/primary-address/icmp", true, "the node cp1 by ping"),
        ("/nodes/1/host/primary-address/http", true, "the node w1 by HTTP"),
        ("/nodes/1/health-endpoint", true, "the endpoint on w1 by ping"),
        ("/nodes/1/health-endpoint/primary-address/http", true, "the endpoint on w1 by HTTP"),
    ] {
        let expected = format!("Cilium on cp1 has not asked {expected}; expected: an answer");
        assert_eq!(words(unseen("cp1", &cut(at), &nodes(), endpoints)), expected, "{at}");
    }
    // With `endpointHealthChecking` off there are none.
    assert!(unseen("cp1", &cut("/nodes/1/health-endpoint"), &nodes(), false).is_none());
}

#[tokio::test]
async fn endpoints_are_not_missed_where_values_switch_them_off() {
    let mut cluster = Cluster::new(&["cp1"]).await;
    cluster.put(agent("cp1", "True"));
    cluster.put(known("cp1"));
    cluster.put(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"enable-endpoint-health-checking": "false"},
                       "metadata": {"name": "cilium-config", "namespace": "kube-system"}}),
    );
    let mut answer: Value = serde_json::from_str(&health("")).unwrap();
    answer["nodes"][0].as_object_mut().unwrap().remove("health-endpoint");
    cluster.on_script(move |_, _| (0, answer.to_string()));
    cluster.on_forward(|_| "HTTP/1.0 200 OK\r\n\r\nok");
    let proof = cluster.pass(&CiliumAgents, "kube-system").await.unwrap();
    assert!(
        proof.seen[1].contains("reaches all 1 nodes (its values switch off asking endpoints)"),
        "{proof:?}"
    );
}

#[test]
fn only_what_a_policy_dropped_is_found_among_flows() {
    let flow = |verdict: &str, reason: &str| {
        json!({"flow": {"verdict": verdict, "drop_reason_desc": reason}}).to_string()
    };
    for (lines, expected) in [
        (
            vec![flow("FORWARDED", ""), "nonsense".to_owned(), flow("DROPPED", "POLICY_DENIED")],
            Some("POLICY_DENIED"),
        ),
        (
            vec![flow("DROPPED", "CT_MAP_INSERTION_FAILED"), flow("DROPPED", "POLICY_DENY")],
            Some("POLICY_DENY"),
        ),
        (vec![flow("DROPPED", "UNSUPPORTED_L3_PROTOCOL")], None),
        (vec![json!({"flow": {"verdict": "DROPPED"}}).to_string()], None),
        (vec![flow("FORWARDED", "POLICY_DENIED")], None),
    ] {
        assert_eq!(dropped(&lines.join("\n")).as_deref(), expected, "{lines:?}");
    }
}

#[tokio::test]
async fn without_hubble_a_drop_is_not_looked_for() {
    let mut cluster = Cluster::new(&["w1"]).await;
    let server = cluster.pod("server", "w1");
    let seen = drop_is_seen(&cluster.bench("kube-system"), "n", &server, "stranger").await.unwrap();
    assert!(seen.contains("not looked for"), "{seen}");
    let on = json!({"enable-hubble": "true"});
    cluster.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": on,
                       "metadata": {"name": "cilium-config", "namespace": "kube-system"}}));
    cluster.on_script(|_, script| {
        assert!(script.contains("--from-pod n/stranger --to-pod n/server"), "{script}");
        (0, json!({"flow": {"verdict": "DROPPED", "drop_reason_desc": "POLICY_DENIED"}}).to_string())
    });
    let server = cluster.pod("server", "w1");
    let seen = drop_is_seen(&cluster.bench("kube-system"), "n", &server, "stranger").await.unwrap();
    assert_eq!(seen, "Hubble on w1 shows the drop: POLICY_DENIED");
}
