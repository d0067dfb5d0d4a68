//! Pools of all sorts, with a controller in MetalLB's place.

use serde_json::json;

use super::*;
use crate::{
    addon::gate::testing::{Cluster, words},
    transport::Route,
};

fn pool(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
           "metadata": {"name": name, "namespace": "metallb-system"}, "spec": spec})
}

/// A Service of somebody's with an address.
fn holder(address: &str, port: u16) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front", "namespace": "web"},
           "spec": {"type": "LoadBalancer", "ports": [{"name": "http", "port": port}]},
           "status": {"loadBalancer": {"ingress": [{"ip": address}]}}})
}

/// A cluster with these pools, where a Service gets the address that is named for the pool it asks for, and no other does.
/// Nobody can ask from outside.
async fn cluster(pools: Vec<Value>, given: &'static [(&'static str, &'static str)]) -> Cluster {
    let mut cluster = Cluster::new(&["w1"]).await;
    cluster.runs_pods();
    pools.into_iter().for_each(|pool| cluster.put(pool));
    cluster.is_reached(Route::Command("proxy".to_owned()));
    cluster.on_write(move |objects| {
        for service in objects.of_mut("Service") {
            let asked = service["metadata"]["annotations"][ASKS].as_str();
            if let Some((_, address)) = given.iter().find(|(pool, _)| Some(*pool) == asked) {
                service["status"] = json!({"loadBalancer": {"ingress": [{"ip": address}]}});
            }
        }
    });
    cluster
}

#[test]
fn an_address_must_be_of_the_pool_that_was_asked_for() {
    let lan =
        Pool::read(&pool("lan", json!({"addresses": ["192.168.18.230-192.168.18.239", "10.9.0.0/24"]})));
    assert_eq!(
        of(&lan, "192.168.18.231".parse().unwrap()).unwrap(),
        "a Service got the address 192.168.18.231 of the pool lan (192.168.18.230-192.168.18.239)"
    );
    assert!(of(&lan, "10.9.0.77".parse().unwrap()).is_ok());
    assert_eq!(
        words(of(&lan, "10.8.0.1".parse().unwrap()).err()),
        "a Service got the address 10.8.0.1; expected: one of the pool lan (192.168.18.230-192.168.18.239, 10.9.0.0/24)"
    );
}

#[tokio::test]
async fn each_pool_is_asked_for_also_one_that_gives_nothing_by_itself() {
    let pools = vec![
        pool("inner", json!({"addresses": ["10.9.0.0/24"], "autoAssign": false})),
        pool("public", json!({"addresses": ["10.8.0.0/24"]})),
    ];
    let cluster = cluster(pools, &[("inner", "10.9.0.1"), ("public", "10.8.0.1")]).await;
    let proof = cluster.pass(&MetallbAddress, "metallb-system").await.unwrap();
    assert_eq!(proof.seen[0], "a Service got the address 10.9.0.1 of the pool inner (10.9.0.0/24)");
    assert_eq!(proof.seen[2], "a Service got the address 10.8.0.1 of the pool public (10.8.0.0/24)");
    for (seen, address) in [(&proof.seen[1], "10.9.0.1"), (&proof.seen[3], "10.8.0.1")] {
        assert!(
            seen.starts_with(&format!("{address} was not asked from outside: nodes are reached by")),
            "{seen}"
        );
    }
    assert!(cluster.has_no("Namespace"), "nothing is left");
}

#[tokio::test]
async fn a_pool_of_others_and_one_that_is_full_do_not_close_the_gate() {
    let listener = std::net::TcpListener::bind("127.66.66.66:0").unwrap();
    let full = pool("full", json!({"addresses": ["127.66.66.66/32"]}));
    let theirs = json!({"addresses": ["10.7.0.0/24"], "serviceAllocation": {"namespaces": ["web"]}});
    let mut cluster = cluster(vec![full, pool("theirs", theirs)], &[]).await;
    cluster.is_reached(Route::Direct);
    let port = listener.local_addr().unwrap().port();
    cluster.put(holder("127.66.66.66", port));
    let proof = cluster.pass(&MetallbAddress, "metallb-system").await.unwrap();
    assert_eq!(
        proof.seen,
        [
            format!(
                "of the pool full all of its addresses (1) are in use; web/front took a connection of this machine at \
                 127.66.66.66:{port}"
            ),
            "the pool theirs was not proven: only some services may have its addresses; no service has one to be asked at"
                .to_owned(),
        ]
    );
    drop(listener);
    let proof = cluster.pass(&MetallbAddress, "metallb-system").await.unwrap();
    let told = format!("this machine asked web/front at 127.66.66.66:{port}: connection refused");
    assert!(proof.seen[0].starts_with("the pool full was not proven: ") && proof.seen[0].ends_with(&told));
}

#[tokio::test]
async fn a_service_without_an_address_closes_the_gate() {
    let cluster = cluster(vec![pool("lan", json!({"addresses": ["10.9.0.0/24"]}))], &[]).await;
    let closed = cluster.pass(&MetallbAddress, "metallb-system").await.unwrap_err();
    assert_eq!(
        closed.to_string(),
        "a Service that asks for the pool lan has no address after 60 s; expected: an address of it"
    );
    assert!(cluster.has_no("Namespace"), "nothing is left");
}

#[tokio::test]
async fn an_address_that_does_not_answer_closes_the_gate() {
    let lan = pool("lan", json!({"addresses": ["127.0.0.0/8"]}));
    let mut cluster = cluster(vec![lan], &[("lan", "127.77.77.77")]).await;
    cluster.is_reached(Route::Direct);
    let closed = cluster.pass(&MetallbAddress, "metallb-system").await.unwrap_err();
    assert_eq!(
        closed.to_string(),
        "this machine asked http://127.77.77.77/: connection refused; expected: the answer of the pod behind it"
    );
}

#[tokio::test]
async fn without_a_pool_there_is_nothing_to_prove() {
    let proof = cluster(Vec::new(), &[]).await.pass(&MetallbAddress, "metallb-system").await.unwrap();
    assert_eq!(proof.seen, ["there is no pool: no Service gets an address"]);
}
