//! Gateways as Cilium's operator has them, by their published definitions.

use super::*;
use crate::{
    addon::gate::{
        http::Answer,
        testing::{Cluster, words},
    },
    inventory,
    transport::Route,
};

const PLACE: &str = "kube-system";

fn said(kind: &str, status: bool, reason: &str, message: &str) -> Value {
    let status = if status { "True" } else { "False" };
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

fn scheduled() -> Value {
    said("Accepted", true, "Accepted", "Gateway successfully scheduled")
}

fn waits() -> Value {
    said("Programmed", false, "AddressNotAssigned", "Gateway waiting for address")
}

/// What Cilium says when the Service has an address.
fn programmed(address: &str) -> Value {
    let programmed = said("Programmed", true, "Programmed", "Gateway Programmed");
    json!({"conditions": [scheduled(), programmed], "addresses": [{"type": "IPAddress", "value": address}]})
}

fn service() -> Value {
    json!({"spec": {"type": "LoadBalancer", "ports": [{"name": "port-80", "port": 80, "nodePort": 31080}]}})
}

/// A cluster with the class, where Gateways get this status. Nobody can ask from outside.
async fn cluster(status: Value) -> Cluster {
    let mut cluster = Cluster::new(&["cp1", "w1"]).await;
    cluster.runs_pods();
    cluster.is_reached(Route::Command("proxy".to_owned()));
    cluster.put(json!({"apiVersion": CLASS.api_version, "kind": CLASS.kind, "metadata": {"name": "cilium"},
                       "spec": {"controllerName": CONTROLLER}}));
    cluster.on_write(move |objects| {
        let Some(gateway) = objects.find_mut("Gateway", NAME) else { return };
        assert_eq!(gateway["spec"]["gatewayClassName"], "cilium");
        gateway["status"] = status.clone();
        let namespace = gateway["metadata"]["namespace"].clone();
        let mut service = service();
        service["apiVersion"] = json!("v1");
        service["kind"] = json!("Service");
        service["metadata"] =
            json!({"name": "cilium-gateway-gate", "namespace": namespace, "labels": {OWNED: NAME}});
        objects.put(service);
    });
    cluster
}

fn pool(spec: Value) -> Value {
    json!({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
           "metadata": {"name": "lan", "namespace": "metallb-system"}, "spec": spec})
}

#[tokio::test]
async fn a_gateway_is_made_asked_and_removed() {
    let mut cluster = cluster(programmed("10.0.0.9")).await;
    cluster.put(pool(json!({"addresses": ["10.0.0.9-10.0.0.20"]})));
    let proof = cluster.pass(&GatewayAnswers, PLACE).await.unwrap();
    assert_eq!(proof.seen[0], "a Gateway of the class cilium is programmed and got the address 10.0.0.9");
    assert!(proof.seen[1].starts_with("10.0.0.9:80 was not asked from outside: "), "{proof:?}");
    for kind in ["Namespace", "Gateway", "HTTPRoute", "Pod"] {
        assert!(cluster.has_no(kind), "{kind}");
    }
}

#[tokio::test]
async fn where_a_pool_has_an_address_the_gateway_must_get_one() {
    let mut cluster = cluster(json!({"conditions": [scheduled(), waits()]})).await;
    cluster.put(pool(json!({"addresses": ["10.0.0.9-10.0.0.20"]})));
    assert_eq!(
        words(cluster.pass(&GatewayAnswers, PLACE).await.err()),
        "the Gateway is not programmed: AddressNotAssigned: Gateway waiting for address; expected: a Gateway of the class cilium, \
         one that is programmed and has an address"
    );
    assert!(cluster.has_no("Namespace"), "nothing is left");
}

#[tokio::test]
async fn where_nothing_gives_addresses_it_is_asked_at_a_port_of_a_node() {
    let none: [&[Value]; 3] = [
        &[],
        &[pool(json!({"addresses": ["10.0.0.9-10.0.0.20"], "autoAssign": false}))],
        &[pool(json!({"addresses": ["10.0.0.9-10.0.0.20"], "serviceAllocation": {"namespaces": ["shop"]}}))],
    ];
    for pools in none {
        let mut cluster = cluster(json!({"conditions": [scheduled(), waits()]})).await;
        pools.iter().for_each(|pool| cluster.put(pool.clone()));
        let proof = cluster.pass(&GatewayAnswers, PLACE).await.unwrap();
        assert!(proof.seen[0].ends_with("so it was asked at a port of a node"), "{proof:?}");
        let node = cluster.bench(PLACE).inventory.hosts["cp1"].address;
        assert!(proof.seen[1].starts_with(&format!("{node}:31080 was not asked")), "{proof:?}");
    }
}

#[tokio::test]
async fn one_that_no_operator_looks_at_closes_the_gate() {
    // The definition's own default.
    let waiting = json!({"type": "Accepted", "status": "Unknown", "reason": "Pending", "message": "Waiting for controller"});
    let cluster = cluster(json!({"conditions": [waiting]})).await;
    let closed = cluster.pass(&GatewayAnswers, PLACE).await.unwrap_err();
    let help = miette::Diagnostic::help(&closed).unwrap().to_string();
    assert_eq!(
        words(Some(closed)),
        "the Gateway is not accepted: Pending: Waiting for controller; expected: a Gateway of the class cilium, one that is \
         accepted"
    );
    assert!(help.contains("another release of the Gateway API"), "{help}");
    assert_eq!(
        cluster.said().last().unwrap(),
        "the Gateway: the Gateway is not accepted: Pending: Waiting for controller; trying again"
    );
    assert!(cluster.has_no("Namespace"), "nothing is left");
}

#[tokio::test]
async fn in_the_network_of_hosts_it_would_be_in_the_way() {
    let mut cluster = cluster(json!({})).await;
    cluster.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cilium-config", "namespace": PLACE},
                       "data": {"gateway-api-hostnetwork-enabled": "true"}}));
    assert_eq!(cluster.pass(&GatewayAnswers, PLACE).await.unwrap().seen, [HOST_NETWORK]);
    assert!(cluster.has_no("Gateway"));
}

#[tokio::test]
async fn an_answer_comes_from_the_backend_of_its_path_in_http_1_1() {
    let mut cluster = Cluster::new(&["cp1", "w1"]).await;
    cluster.runs_pods();
    let pages = ["first", "second"].map(String::from);
    let text = "cluster: {name: a, kubernetes: 1.31.0, etcd: external}\nhosts:\n  cp1: {address: 10.0.0.1, roles: [control-plane]}\n  \
                w1: {address: 10.0.0.2, roles: [etcd]}\n";
    let inventory = inventory::parse("test", text).unwrap().inventory;
    cluster.is_reached(Route::Command("proxy".to_owned()));
    let ask = async |cluster: &Cluster| {
        let bench = Bench { inventory: &inventory, ..cluster.bench(PLACE) };
        WAYS.ask(&bench, "10.0.0.9:80".parse().unwrap(), &pages).await
    };
    let page = |status: u16, page: &str| (status, format!("Content-Length: {}\r\n\r\n{page}", page.len()));
    let envoy = move |question: &str| {
        let mut lines = question.lines();
        let line = lines.next().unwrap().to_owned();
        let host = lines.next().unwrap().trim_start_matches("Host: ").to_owned();
        match line.split(' ').collect::<Vec<_>>()[..] {
            [_, _, "HTTP/1.0"] => page(426, ""),
            [_, path, _] if host == HOSTS[0] && path == "/one" => page(200, "first"),
            [_, path, _] if host == HOSTS[0] && path == "/two" => page(200, "second"),
            _ => page(404, ""),
        }
    };
    cluster.on_question(move |_, question| envoy(question));
    let seen = ask(&cluster).await.unwrap();
    let all = "two paths of a name led to their own backends through 10.0.0.9:80, and neither another path nor another name \
               did (status 404), after ";
    assert!(seen.starts_with(all), "{seen}");
    // Another name leads there as well.
    cluster.on_question(move |_, question| envoy(&question.replace(HOSTS[1], HOSTS[0])));
    assert_eq!(
        words(ask(&cluster).await.err()),
        "w1 asked 10.0.0.9:80 for http://two.gate.hoist.test/one: status 200 and \"first\"; expected: 404: no route has that \
         name and path"
    );
    // Envoy does not reach the pods.
    cluster.on_question(move |_, _| page(503, "no healthy upstream"));
    assert_eq!(
        words(ask(&cluster).await.err()),
        "w1 asked 10.0.0.9:80 for http://one.gate.hoist.test/one: status 503 and \"no healthy upstream\"; expected: status \
         200 and \"first\""
    );
}

#[test]
fn neither_another_page_nor_another_status_is_none_of_the_routes() {
    let came = |status: u16, body: &str| {
        Ok(("here".to_owned(), Answer { status, headers: Vec::new(), body: body.to_owned() }))
    };
    let pages = ["one".to_owned(), "two".to_owned()];
    for (came, fine) in
        [(came(404, ""), true), (came(200, ""), false), (came(426, ""), false), (came(404, "one"), false)]
    {
        assert_eq!(WAYS.wrongly(&came, None, &pages).is_none(), fine, "{came:?}");
    }
}

#[test]
fn it_is_proven_only_where_it_is_on() {
    let settings = |on: Value| json!({"gateway_api": on}).as_object().unwrap().clone();
    assert!(GatewayAnswers.applies(&settings(json!(true))));
    assert!(!GatewayAnswers.applies(&settings(json!(false))) && !GatewayAnswers.applies(&Map::new()));
}

#[test]
fn the_class_is_that_of_the_chart_or_else_one_of_ciliums() {
    let one = |name: &str, controller: &str| json!({"metadata": {"name": name}, "spec": {"controllerName": controller}});
    let (mine, usual) = (one("a-mine", CONTROLLER), one("cilium", CONTROLLER));
    assert_eq!(class(&[mine.clone(), usual]).unwrap(), "cilium");
    assert_eq!(class(&[one("cilium", "other/one"), mine]).unwrap(), "a-mine");
    let none = words(class(&[one("eg", "gateway.envoyproxy.io/gatewayclass-controller")]).err());
    assert_eq!(none, "GatewayClasses: eg; expected: one of the controller io.cilium/gateway-controller");
    assert!(words(class(&[]).err()).starts_with("GatewayClasses: none"));
}

#[test]
fn the_route_has_the_paths_of_one_name() {
    let ground = Ground { gate: "g", namespace: "n".to_owned() };
    let made = route(&ground);
    assert_eq!(made["spec"]["hostnames"], json!([HOSTS[0]]));
    let rules = made["spec"]["rules"].as_array().unwrap();
    let told =
        |rule: &Value| format!("{} {}", rule["matches"][0]["path"]["value"], rule["backendRefs"][0]["name"]);
    assert_eq!(rules.iter().map(told).collect::<Vec<_>>(), ["\"/one\" \"one\"", "\"/two\" \"two\""]);
}

#[test]
fn http_comes_in_at_the_gateways_address_or_at_a_port_of_a_node() {
    let node = Some(Ipv4Addr::new(10, 0, 0, 2));
    let at = |gateway: &Value, services: &[Value], node| {
        found(&json!({"status": gateway}), services, node).map(|(to, _)| to.to_string())
    };
    assert_eq!(at(&programmed("10.0.0.9"), &[], None).unwrap(), "10.0.0.9:80");
    assert_eq!(at(&programmed("10.0.0.9"), &[service()], node).unwrap(), "10.0.0.9:80");
    let six = programmed("fd00::9");
    assert_eq!(
        at(&six, &[service()], None).unwrap_err(),
        "the Gateway is programmed, and has no IPv4 address"
    );
    assert_eq!(at(&six, &[service()], node).unwrap(), "10.0.0.2:31080");
    let waiting = json!({"conditions": [scheduled(), waits()]});
    assert_eq!(
        at(&waiting, &[], node).unwrap_err(),
        "the Gateway has neither an address nor a port of nodes"
    );
    assert_eq!(
        at(&json!({}), &[], node).unwrap_err(),
        "the Gateway is not accepted: it has no condition Accepted yet"
    );
}
