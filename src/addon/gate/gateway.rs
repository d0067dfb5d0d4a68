//! The Gateway API through Cilium: a Gateway gets an address, and names and paths lead to their own backends there.
//!
//! Sources: Gateway API 1.6 `apis/v1/gateway_types.go` and `httproute_types.go`; Cilium's
//! `operator/pkg/gateway-api/gateway_reconcile.go` (conditions and addresses), `operator/pkg/model/translation/gateway-api`
//! (the Service of a Gateway, and its label).

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::{
    Bench, Closed, Gate, Proof,
    ground::Ground,
    http::Question,
    metallb, pods,
    retry::{Retry, condition, make, text},
    ways::{BACKENDS, Backends, WEBHOOK, Ways},
};
use crate::kube::Kind;

const CLASS: Kind = Kind::new("gateway.networking.k8s.io/v1", "GatewayClass");
const GATEWAY: Kind = Kind::new("gateway.networking.k8s.io/v1", "Gateway");
const ROUTE: Kind = Kind::new("gateway.networking.k8s.io/v1", "HTTPRoute");
const SERVICE: Kind = Kind::new("v1", "Service");
const CONFIG: Kind = Kind::new("v1", "ConfigMap");
/// Pools of Cilium's own, which gives addresses where MetalLB does not.
const POOL: Kind = Kind::new("cilium.io/v2", "CiliumLoadBalancerIPPool");
/// What Cilium calls itself in its GatewayClass, and the class that its chart makes.
const CONTROLLER: &str = "io.cilium/gateway-controller";
const USUAL: &str = "cilium";
/// On the Service that Cilium makes for a Gateway, with its name.
const OWNED: &str = "io.cilium.gateway/owning-gateway";
const NAME: &str = "gate";
const PORT: u16 = 80;
const ENTRANCE: Duration = Duration::from_secs(90);

/// Names of nobody: they are only in questions, no DNS is asked for them.
const HOSTS: [&str; 2] = ["one.gate.hoist.test", "two.gate.hoist.test"];
const WAYS: Ways = Ways {
    what: "the Gateway",
    all: &[
        (HOSTS[0], "/one", Some(0)),
        (HOSTS[0], "/two", Some(1)),
        (HOSTS[0], "/three", None),
        (HOSTS[1], "/one", None),
    ],
    led: "two paths of a name led to their own backends",
    astray: "and neither another path nor another name did",
    question: |host, path| Question::new(host, path).http_1_1(),
    other: (|answer| answer.status == 404, "404: no route has that name and path"),
    help: "404 for a path of the route: Envoy has not got it, `kubectl -n kube-system logs ds/cilium-envoy` and the operator's log \
           say why; 503: it does not reach the pods; no answer: the address does not lead to a node, which \
           `metallb-address` tells apart, or nobody announces it",
};

/// The gate `gateway-answers`.
pub(super) struct GatewayAnswers;

#[async_trait]
impl Gate for GatewayAnswers {
    fn name(&self) -> &'static str {
        "gateway-answers"
    }

    fn proves(&self) -> &'static str {
        "a Gateway is programmed and gets an address where something gives one, two paths of a name lead to their own backends \
         through it, another path and another name to neither"
    }

    fn applies(&self, settings: &Map<String, Value>) -> bool {
        settings.get("gateway_api") == Some(&Value::Bool(true))
    }

    async fn pass(&self, bench: &Bench<'_>) -> Result<Proof, Closed> {
        let config = bench.api.object(CONFIG, Some(bench.namespace), "cilium-config").await?;
        if config.is_some_and(|config| config["data"]["gateway-api-hostnetwork-enabled"] == "true") {
            return Ok(Proof { seen: vec![HOST_NETWORK.to_owned()] });
        }
        let class = class(&bench.api.objects(CLASS, None, "").await?)?;
        let ground = Ground::take(bench, self.name()).await?;
        let done = prove(bench, &ground, &class).await;
        ground.leave(bench, done).await
    }
}

const HOST_NETWORK: &str = "Gateways were not proven: they listen on ports of the hosts themselves (`gatewayAPI.hostNetwork`), \
                            where one more could be in the way of yours";

async fn prove(bench: &Bench<'_>, ground: &Ground, class: &str) -> Result<Proof, Closed> {
    let backends = Backends::start(bench, ground).await?;
    make(bench, gateway(ground, class), WEBHOOK).await?;
    make(bench, route(ground), WEBHOOK).await?;
    let (to, seen) = entrance(bench, ground, class).await?;
    Ok(Proof { seen: vec![seen, WAYS.ask(bench, to, &backends.pages).await?] })
}

/// The class that Cilium serves: that of its chart, or else one of somebody's who had the chart make none.
fn class(classes: &[Value]) -> Result<String, Closed> {
    let name = |class: &Value| text(&class["metadata"]["name"]).to_owned();
    let mut ours: Vec<String> =
        classes.iter().filter(|class| class["spec"]["controllerName"] == CONTROLLER).map(name).collect();
    ours.sort_by_key(|name| name != USUAL);
    ours.into_iter().next().ok_or_else(|| {
        let names: Vec<String> = classes.iter().map(name).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Closed::observed(
            format!("GatewayClasses: {names}"),
            format!("one of the controller {CONTROLLER}"),
            "the chart makes it, unless `gatewayAPI.gatewayClass.create` is \"false\": then make one yourself",
        )
    })
}

fn gateway(ground: &Ground, class: &str) -> Value {
    json!({
        "apiVersion": GATEWAY.api_version, "kind": GATEWAY.kind,
        "metadata": {"name": NAME, "namespace": ground.namespace, "labels": ground.labels()},
        "spec": {"gatewayClassName": class, "listeners": [{"name": "http", "protocol": "HTTP", "port": PORT}]},
    })
}

fn route(ground: &Ground) -> Value {
    let rule = |path: &str, service: &str| {
        json!({"matches": [{"path": {"type": "PathPrefix", "value": path}}],
               "backendRefs": [{"name": service, "port": 80}]})
    };
    let rules = WAYS.all.iter().filter_map(|(_, path, backend)| Some(rule(path, BACKENDS[(*backend)?])));
    json!({
        "apiVersion": ROUTE.api_version, "kind": ROUTE.kind,
        "metadata": {"name": NAME, "namespace": ground.namespace, "labels": ground.labels()},
        "spec": {"parentRefs": [{"name": NAME}], "hostnames": [HOSTS[0]], "rules": rules.collect::<Vec<_>>()},
    })
}

/// Where HTTP comes in, and what is seen of the Gateway then.
async fn entrance(bench: &Bench<'_>, ground: &Ground, class: &str) -> Result<(SocketAddr, String), Closed> {
    let gives = gives(bench).await?;
    let (nodes, _) = pods::nodes(bench).await?;
    let node = nodes.first().and_then(|node| bench.inventory.hosts.get(node)).map(|host| host.address);
    let (space, owned) = (Some(ground.namespace.as_str()), format!("{OWNED}={NAME}"));
    let mut retry = Retry::new(bench, "the Gateway", ENTRANCE);
    loop {
        let gateway = bench.api.object(GATEWAY, space, NAME).await?.unwrap_or_default();
        let services = bench.api.objects(SERVICE, space, &owned).await?;
        let reason = match found(&gateway, &services, node.filter(|_| !gives)) {
            Ok((to, Entrance::Address)) => {
                return Ok((
                    to,
                    format!("a Gateway of the class {class} is programmed and got the address {}", to.ip()),
                ));
            }
            Ok((to, Entrance::Node)) => {
                return Ok((to, format!("a Gateway of the class {class} is accepted; {NOTHING_GIVES}")));
            }
            Err(reason) => reason,
        };
        if !retry.again(&reason).await {
            let expected =
                if gives { "one that is programmed and has an address" } else { "one that is accepted" };
            return Err(Closed::observed(
                reason,
                format!("a Gateway of the class {class}, {expected}"),
                HELP,
            ));
        }
    }
}

const NOTHING_GIVES: &str =
    "no pool in the cluster has an address for everybody, so it was asked at a port of a node";
const HELP: &str = "`kubectl -n kube-system logs deploy/cilium-operator` says what it misses, mostly a definition of another release \
                    of the Gateway API; its Service of type LoadBalancer gets the address from MetalLB, or from Cilium where \
                    MetalLB is not wanted: `kubectl describe service` shows why it has none";

enum Entrance {
    Address,
    Node,
}

/// Whether something gives addresses to who asks for none in particular. Cilium itself does not beside MetalLB.
async fn gives(bench: &Bench<'_>) -> Result<bool, Closed> {
    if bench.inventory.addons.metallb.is_some() {
        return metallb::gives(bench).await;
    }
    let pools = bench.api.objects(POOL, None, "").await?;
    Ok(pools.iter().any(|pool| pool["spec"]["disabled"] != true) || metallb::gives(bench).await?)
}

/// With `node` also at a port of that one, where the Gateway has no address.
fn found(
    gateway: &Value,
    services: &[Value],
    node: Option<Ipv4Addr>,
) -> Result<(SocketAddr, Entrance), String> {
    let ((accepted, why), (programmed, missing)) =
        (condition(gateway, "Accepted"), condition(gateway, "Programmed"));
    if !accepted {
        return Err(format!("the Gateway is not accepted: {why}"));
    }
    let addresses = gateway["status"]["addresses"].as_array().into_iter().flatten();
    let address = { addresses }.find_map(|address| text(&address["value"]).parse::<Ipv4Addr>().ok());
    match (programmed, address) {
        (true, Some(address)) => return Ok(((address, PORT).into(), Entrance::Address)),
        (true, None) => {}
        (false, _) if node.is_none() => return Err(format!("the Gateway is not programmed: {missing}")),
        (false, _) => {}
    }
    let node = node.ok_or("the Gateway is programmed, and has no IPv4 address")?;
    let ports = services.iter().flat_map(|service| service["spec"]["ports"].as_array().into_iter().flatten());
    let port = { ports }.find(|port| port["port"] == PORT).and_then(|port| port["nodePort"].as_u64());
    let port = port.and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or("the Gateway has neither an address nor a port of nodes")?;
    Ok(((node, port).into(), Entrance::Node))
}

#[cfg(test)]
#[path = "gateway_tests.rs"]
mod tests;
