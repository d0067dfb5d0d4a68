//! Cilium: its agents are healthy on every node, see each other, and what they drop is seen.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{
    Bench, Closed, Gate, Proof,
    http::{Question, clip, told},
    inside,
    pods::{self, Pod},
    retry::{Retry, condition, seconds, text},
};
use crate::{
    kube::Kind,
    transport::{Host, Script, quote},
};

/// How long agents may take; Cilium's first health probe of a new node takes a minute or so.
const PATIENCE: Duration = Duration::from_secs(180);
/// Of the agent, on the host's loopback (the chart's `healthPort`).
const HEALTH: u16 = 9879;
/// What carries pods between nodes, over UDP: `tunnelPort` of the chart, and Cilium's own port of WireGuard (`ListenPort` of
/// `pkg/wireguard/types`), which is not the usual one of WireGuard.
pub(super) const VXLAN: u16 = 8472;
pub(super) const WIREGUARD: u16 = 51871;
const POD: Kind = Kind::new("v1", "Pod");
const NODE: Kind = Kind::new("cilium.io/v2", "CiliumNode");
const CONFIG: Kind = Kind::new("v1", "ConfigMap");

/// The gate `cilium-agents`.
pub(super) struct CiliumAgents;

#[async_trait]
impl Gate for CiliumAgents {
    fn name(&self) -> &'static str {
        "cilium-agents"
    }

    fn proves(&self) -> &'static str {
        "Cilium's agent is healthy on every node that is ready, and each reaches all others"
    }

    fn each_node(&self) -> bool {
        true
    }

    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        let mut retry = Retry::new(bench, "Cilium's agents", PATIENCE);
        let (mut seen, out) = loop {
            // Anew each time: a node may be lost meanwhile.
            let (nodes, out) = pods::nodes(bench).await?;
            match look(bench, &nodes).await? {
                Ok(seen) => break (seen, out),
                Err(closed) => {
                    if !retry.again(&closed.to_string()).await {
                        return Err(closed);
                    }
                }
            }
        };
        if let Some(last) = seen.last_mut() {
            *last += &format!(" (waited for {})", seconds(retry.took()));
        }
        seen.extend(out);
        Ok(Proof { seen })
    }
}

/// One look at everything.
async fn look(bench: &Bench<'_>, nodes: &[String]) -> Result<Result<Vec<String>, Closed>, Closed> {
    let pods = bench.api.objects(POD, Some(bench.namespace), "k8s-app=cilium").await?;
    let known = bench.api.objects(NODE, None, "").await?;
    if let Some(closed) = missing(nodes, &pods, &known) {
        return Ok(Err(closed));
    }
    for node in nodes {
        let Some(host) = bench.hosts.get(node) else { continue };
        if let Some(closed) = unwell(bench, node, &**host).await? {
            return Ok(Err(closed));
        }
        let health = in_agent(&**host, "cilium-health status --probe -o json").await?;
        if let Some(closed) = unseen(node, &health, nodes) {
            return Ok(Err(closed));
        }
    }
    let count = nodes.len();
    let agents = format!("Cilium's agents are ready on {count} nodes");
    let health = format!(
        "{count} agents were asked: each is healthy and reaches all {count} nodes and an endpoint on each"
    );
    Ok(Ok(vec![agents, health]))
}

fn missing(nodes: &[String], pods: &[Value], known: &[Value]) -> Option<Closed> {
    let help = "`kubectl -n kube-system describe pods -l k8s-app=cilium` says why; on the node, `crictl logs` of its container";
    for node in nodes {
        let pod = pods.iter().find(|pod| text(&pod["spec"]["nodeName"]) == node);
        let Some(pod) = pod else {
            return Some(Closed::observed(
                format!("{node} has no pod of Cilium's agent"),
                "one on every node",
                help,
            ));
        };
        if let (false, why) = condition(pod, "Ready") {
            let observed =
                format!("Cilium's agent on {node} is not ready ({})", why.trim_matches([':', ' ']));
            return Some(Closed::observed(observed, "a ready one on every node", help));
        }
        if !known.iter().any(|it| text(&it["metadata"]["name"]) == node) {
            let observed = format!("there is no CiliumNode {node}");
            let help = "the agent there has not announced itself: its log says what the API server refused";
            return Some(Closed::observed(observed, "one for every node", help));
        }
    }
    None
}

async fn unwell(bench: &Bench<'_>, node: &str, host: &dyn Host) -> Result<Option<Closed>, Closed> {
    let came = inside::loopback(host, HEALTH, &Question::new("127.0.0.1", "/healthz")).await;
    if came.as_ref().is_ok_and(|answer| answer.status == 200) {
        return Ok(None);
    }
    let observed =
        format!("on {node}, Cilium's agent was asked http://127.0.0.1:{HEALTH}/healthz: {}", told(&came));
    let help = format!(
        "`kubectl -n {} exec ds/cilium -- cilium-dbg status --verbose` shows which part is ill",
        bench.namespace
    );
    Ok(Some(Closed::observed(observed, "status 200", help)))
}

/// Runs a command in the agent's container on a host.
async fn in_agent(host: &dyn Host, command: &str) -> Result<Result<String, String>, Closed> {
    let script = format!(
        "id=$(crictl ps -q --state running --name {} | head -n 1)\n\
         [ -n \"$id\" ] || {{ echo 'no container cilium-agent runs' >&2; exit 3; }}\n\
         crictl exec \"$id\" {command}\n",
        quote("^cilium-agent$")
    );
    let output = host.run(Script::new(script).timeout(Duration::from_secs(90))).await?;
    Ok(match output.status {
        0 => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        status => Err(format!("it ended with {status}: {}", clip(&String::from_utf8_lossy(&output.stderr)))),
    })
}

/// The first path that cilium-health does not find open (`HealthStatusResponse` of its API: a path with a status is
/// broken, one without is whole).
fn unseen(node: &str, health: &Result<String, String>, nodes: &[String]) -> Option<Closed> {
    let closed = |observed: String, expected: &str| {
        let help = format!(
            "between nodes Cilium needs ICMP, TCP 4240, and what carries pods: VXLAN (UDP {VXLAN}) or WireGuard (UDP \
             {WIREGUARD}); `cilium-health status --probe` in the agent's pod shows all paths"
        );
        Some(Closed::observed(observed, expected, help))
    };
    let read = health.clone().and_then(|text| {
        serde_json::from_str::<Value>(&text).map_err(|_| format!("it printed {:?}", clip(&text)))
    });
    let health = match read {
        Ok(health) => health,
        Err(reason) => {
            return closed(format!("cilium-health on {node}: {reason}"), "what it sees of the others");
        }
    };
    for other in nodes {
        // Names come with that of the cluster: `default/w1`.
        let named = |it: &&Value| text(&it["name"]).rsplit('/').next() == Some(other);
        let Some(seen) = health["nodes"].as_array().into_iter().flatten().find(named) else {
            return closed(format!("Cilium on {node} does not know {other}"), "every node");
        };
        for (path, what) in [("host", "the node"), ("health-endpoint", "the endpoint on")] {
            for (way, name) in [("icmp", "ping"), ("http", "HTTP")] {
                let state = &seen[path]["primary-address"][way];
                let broken = text(&state["status"]);
                if !broken.is_empty() {
                    let to = text(&seen[path]["primary-address"]["ip"]);
                    return closed(
                        format!("Cilium on {node} to {what} {other} ({to}) by {name}: {broken}"),
                        "an answer",
                    );
                }
            }
        }
    }
    None
}

/// Looks for a drop in Hubble, where it is on.
pub(super) async fn drop_is_seen(
    bench: &Bench<'_>,
    namespace: &str,
    server: &Pod,
    client: &str,
) -> Result<String, Closed> {
    let config = bench.api.object(CONFIG, Some(bench.namespace), "cilium-config").await?.unwrap_or_default();
    if config["data"]["enable-hubble"] != "true" {
        return Ok("Hubble is not on: the drop was not looked for there".to_owned());
    }
    let command = format!(
        "hubble observe --verdict DROPPED --from-pod {namespace}/{client} --to-pod {namespace}/{} --last 20 -o json",
        server.name
    );
    let mut retry = Retry::new(bench, "Hubble", Duration::from_secs(30));
    loop {
        let flows = in_agent(&*server.host, &command).await?;
        if let Ok(flows) = &flows
            && let Some(reason) = dropped(flows)
        {
            return Ok(format!("Hubble on {} shows the drop: {reason}", server.node));
        }
        let came = flows.map_or_else(|reason| reason, |_| "no dropped flow between the two pods".to_owned());
        let observed = format!("Hubble on {}: {came}", server.node);
        if !retry.again(&observed).await {
            let help = "the packets were dropped, but Hubble does not show them: `hubble status` in the agent's pod says \
                        whether it runs; on a node with much traffic its buffer may be too short (`hubble.eventBufferCapacity`)";
            return Err(Closed::observed(observed, "the flow that the policy dropped", help));
        }
    }
}

/// Why a flow was dropped, of the first in Hubble's JSON lines.
fn dropped(lines: &str) -> Option<String> {
    lines.lines().find_map(|line| {
        let flow: Value = serde_json::from_str(line).ok()?;
        let dropped = flow["flow"]["verdict"] == "DROPPED";
        dropped.then(|| flow["flow"]["drop_reason_desc"].as_str().unwrap_or("no reason is given").to_owned())
    })
}

#[cfg(test)]
mod tests {
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
        assert!(unseen("cp1", &Ok(health("")), &nodes()).is_none());
        assert_eq!(
            words(unseen("cp1", &Ok(health("context deadline exceeded")), &nodes())),
            "Cilium on cp1 to the endpoint on w1 (10.0.0.2) by HTTP: context deadline exceeded; expected: an answer"
        );
        let three = ["cp1", "w1", "w2"].map(str::to_owned);
        assert_eq!(
            words(unseen("cp1", &Ok(health("")), &three)),
            "Cilium on cp1 does not know w2; expected: every node"
        );
        let failed = Err("it ended with 3: no container cilium-agent runs".to_owned());
        assert!(words(unseen("cp1", &failed, &nodes())).starts_with("cilium-health on cp1: it ended with 3"));
        assert!(words(unseen("cp1", &Ok("Error".to_owned()), &nodes())).contains("it printed \"Error\""));
        let Some(Closed::Observed { help, .. }) = unseen("cp1", &failed, &nodes()) else { panic!() };
        assert!(help.contains("VXLAN (UDP 8472) or WireGuard (UDP 51871)"), "{help}");
    }

    #[test]
    fn a_drop_is_found_among_flows() {
        let flow = |verdict: &str| {
            json!({"flow": {"verdict": verdict, "drop_reason_desc": "POLICY_DENIED"}}).to_string()
        };
        let lines = format!("{}\nnonsense\n{}\n", flow("FORWARDED"), flow("DROPPED"));
        assert_eq!(dropped(&lines).as_deref(), Some("POLICY_DENIED"));
        assert_eq!(dropped(&flow("FORWARDED")), None);
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
}
