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
/// Why a flow is dropped that a policy does not let through: because none allows it, or because one denies it.
const BY_POLICY: [&str; 2] = ["POLICY_DENIED", "POLICY_DENY"];

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
    let config = config(bench).await?;
    let endpoints = config["data"]["enable-endpoint-health-checking"] != "false";
    for node in nodes {
        let Some(host) = bench.hosts.get(node) else { continue };
        if let Some(closed) = unwell(bench, node, &**host).await? {
            return Ok(Err(closed));
        }
        let health = in_agent(&**host, "cilium-health status --probe -o json").await?;
        if let Some(closed) = unseen(node, &health, nodes, endpoints) {
            return Ok(Err(closed));
        }
    }
    let count = nodes.len();
    let agents = format!("Cilium's agents are ready on {count} nodes");
    let also = if endpoints { "and an endpoint on each" } else { "(its values switch off asking endpoints)" };
    let health = format!("{count} agents were asked: each is healthy and reaches all {count} nodes {also}");
    Ok(Ok(vec![agents, health]))
}

/// What the agents are told.
async fn config(bench: &Bench<'_>) -> Result<Value, Closed> {
    Ok(bench.api.object(CONFIG, Some(bench.namespace), "cilium-config").await?.unwrap_or_default())
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
/// broken, one without is whole, and one that is not there was not asked yet). Endpoints are asked unless values switch it off.
fn unseen(node: &str, health: &Result<String, String>, nodes: &[String], endpoints: bool) -> Option<Closed> {
    let paths = [("host", "the node"), ("health-endpoint", "the endpoint on")];
    let paths = if endpoints { &paths[..] } else { &paths[..1] };
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
        for (path, what) in paths {
            for (way, name) in [("icmp", "ping"), ("http", "HTTP")] {
                let state = &seen[path]["primary-address"][way];
                if !state.is_object() {
                    let observed = format!("Cilium on {node} has not asked {what} {other} by {name}");
                    return closed(observed, "an answer");
                }
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
    if config(bench).await?["data"]["enable-hubble"] != "true" {
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
        let came = flows.map_or_else(
            |reason| reason,
            |_| "no flow between the two pods that a policy dropped".to_owned(),
        );
        let observed = format!("Hubble on {}: {came}", server.node);
        if !retry.again(&observed).await {
            let help = "the packets were dropped, but Hubble does not show them: `hubble status` in the agent's pod says \
                        whether it runs; on a node with much traffic its buffer may be too short (`hubble.eventBufferCapacity`)";
            return Err(Closed::observed(observed, "the flow that the policy dropped", help));
        }
    }
}

/// Why a flow was dropped, of the first in Hubble's JSON lines that a policy dropped. What is lost for another reason proves
/// nothing of policies.
fn dropped(lines: &str) -> Option<String> {
    lines.lines().find_map(|line| {
        let flow: Value = serde_json::from_str(line).ok()?;
        let reason = text(&flow["flow"]["drop_reason_desc"]);
        (flow["flow"]["verdict"] == "DROPPED" && BY_POLICY.contains(&reason)).then(|| reason.to_owned())
    })
}

#[cfg(test)]
#[path = "cilium_tests.rs"]
mod tests;
