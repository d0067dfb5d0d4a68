use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::{
    inventory,
    kube::{
        fake::{Fake, SERVER},
        memory::Memory,
    },
};

/// w2 of the sample has the label `disk: hdd` and the taint `storage=slow:PreferNoSchedule`.
fn inventory(change: impl Fn(&mut Inventory)) -> Inventory {
    let text = include_str!("../../inventory/three.yaml");
    let mut inventory = inventory::parse("three.yaml", text).unwrap().inventory;
    change(&mut inventory);
    inventory
}

fn node(name: &str, labels: Value, taints: Value, given: Option<&str>) -> Value {
    let annotations = given.map(|given| json!({GIVEN: given}));
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "resourceVersion": "7", "labels": labels,
        "annotations": annotations}, "spec": {"taints": taints}})
}

/// The attributes that change of w2, as `what: from -> to`, and the patch.
fn seen(inventory: &Inventory, nodes: &[Value]) -> (Vec<String>, Value) {
    let found = differences(inventory, ["w2"], nodes);
    let Some(found) = found.into_iter().next() else { return (vec![], Value::Null) };
    let said = found.change.details.iter().map(|detail| match detail {
        crate::task::Detail::Attribute { name, from, to } => format!("{name}: {from} -> {to}"),
        other => panic!("{other:?}"),
    });
    (said.collect(), found.patch.unwrap_or_default())
}

const SLOW: &str = r#"{"labels":["disk"],"taints":["storage:PreferNoSchedule"]}"#;

fn slow() -> Value {
    json!([{"key": "storage", "value": "slow", "effect": "PreferNoSchedule"}])
}

#[test]
fn what_is_as_it_shall_be_differs_in_nothing_whatever_others_gave() {
    let mut taints = slow();
    taints
        .as_array_mut()
        .unwrap()
        .push(json!({"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}));
    let live = node("w2", json!({"disk": "hdd", "somebody": "else"}), taints, Some(SLOW));
    assert_eq!(seen(&inventory(|_| ()), &[live]), (vec![], Value::Null));
}

#[test]
fn a_host_that_is_no_node_yet_gets_labels_and_its_taints_from_kubeadm() {
    assert_eq!(seen(&inventory(|_| ()), &[]), (vec!["label disk: (none) -> hdd".to_owned()], Value::Null));
    assert!(differences(&inventory(|_| ()), ["cp1"], &[]).is_empty(), "only what kubeadm gives");
}

#[test]
fn what_the_inventory_says_anew_is_given_and_what_it_says_no_more_is_taken() {
    let live = || vec![node("w2", json!({"disk": "hdd", "somebody": "else"}), slow(), Some(SLOW))];
    let other = inventory(|inventory| {
        let host = &mut inventory.hosts["w2"];
        host.labels = [("node-role.kubernetes.io/db".to_owned(), String::new())].into_iter().collect();
        host.taints = vec!["db=yes:NoExecute".to_owned()];
    });
    let disrupts = differences(&other, ["w2"], &live()).remove(0).change.disrupts;
    assert_eq!(disrupts.as_deref(), Some("pods that do not tolerate the taint: they are evicted"));
    let (said, patch) = seen(&other, &live());
    assert_eq!(
        said,
        [
            "label disk: hdd -> (none)",
            "label node-role.kubernetes.io/db: (none) -> ",
            "taint storage:PreferNoSchedule: slow -> (none)",
            "taint db:NoExecute: (none) -> yes",
        ]
    );
    assert_eq!(
        patch,
        json!({
            "metadata": {
                "labels": {"disk": null, "node-role.kubernetes.io/db": ""},
                "annotations": {GIVEN: r#"{"labels":["node-role.kubernetes.io/db"],"taints":["db:NoExecute"]}"#},
                "resourceVersion": "7",
            },
            "spec": {"taints": [{"key": "db", "value": "yes", "effect": "NoExecute"}]},
        })
    );
    let none = inventory(|inventory| {
        inventory.hosts["w2"].labels.clear();
        inventory.hosts["w2"].taints.clear();
    });
    let (said, patch) = seen(&none, &live());
    assert_eq!((said.len(), &patch["metadata"]["annotations"]), (2, &json!({GIVEN: null})));
    // What nobody wrote down is not known to be hoist's.
    assert_eq!(seen(&none, &[node("w2", json!({"disk": "hdd"}), slow(), None)]), (vec![], Value::Null));
}

#[test]
fn what_others_take_away_from_a_ready_node_is_not_given_again() {
    let cilium = "node.cilium.io/agent-not-ready=true:NoExecute";
    let inventory = inventory(|inventory| inventory.hosts["w2"].taints.push(cilium.to_owned()));
    let live = node("w2", json!({"disk": "hdd"}), slow(), Some(SLOW));
    assert_eq!(seen(&inventory, &[live]), (vec![], Value::Null));
    let mine = json!([{"key": "node-role.kubernetes.io/master", "effect": "NoExecute"}]);
    let live = node("w1", json!({"disk": "ssd"}), mine, Some(r#"{"labels":["disk"]}"#));
    assert!(differences(&inventory, ["w1"], &[live]).is_empty(), "not kubeadm's");
}

#[test]
fn a_value_that_differs_is_replaced_in_its_place() {
    let fast = json!([{"key": "storage", "value": "fast", "effect": "PreferNoSchedule"}, {"key": "x", "effect": "NoSchedule"}]);
    let (said, patch) = seen(&inventory(|_| ()), &[node("w2", json!({"disk": "ssd"}), fast, Some(SLOW))]);
    assert_eq!(said, ["label disk: ssd -> hdd", "taint storage:PreferNoSchedule: fast -> slow"]);
    assert_eq!(
        (&patch["spec"]["taints"][0]["value"], &patch["spec"]["taints"][1]["key"]),
        (&json!("slow"), &json!("x"))
    );
}

#[test]
fn a_cluster_from_before_learns_what_is_hoists() {
    let (said, patch) = seen(&inventory(|_| ()), &[node("w2", json!({"disk": "hdd"}), slow(), None)]);
    assert_eq!(said, ["what of them is hoist's: not written down -> written down"]);
    assert_eq!(patch, json!({"metadata": {"annotations": {GIVEN: SLOW}}}));
}

#[test]
fn a_control_plane_that_becomes_a_worker_too_takes_workloads() {
    let tainted = json!([{"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"}]);
    let live = node("cp1", json!({}), tainted.clone(), None);
    assert!(differences(&inventory(|_| ()), ["cp1"], std::slice::from_ref(&live)).is_empty());
    let both = inventory(|inventory| inventory.hosts["cp1"].roles.push(inventory::Role::Worker));
    let found = differences(&both, ["cp1"], &[live]);
    assert_eq!(found[0].patch.as_ref().unwrap()["spec"]["taints"], json!([]));
    let back = differences(&inventory(|_| ()), ["cp1"], &[node("cp1", json!({}), json!([]), None)]);
    assert_eq!(back[0].patch.as_ref().unwrap()["spec"]["taints"][0]["key"], tainted[0]["key"]);
}

#[tokio::test]
async fn a_node_gets_what_differs_even_when_somebody_changes_it_at_the_same_moment() {
    let memory = Arc::new(Mutex::new(Memory::default()));
    memory.lock().unwrap().objects.put(node("w2", json!({}), json!([]), None));
    let (kept, writes) = (memory.clone(), AtomicUsize::new(0));
    let answer = move |_: usize, request: &str, body: &[u8]| {
        let mut memory = kept.lock().unwrap();
        if request.starts_with("PATCH") && writes.fetch_add(1, Ordering::Relaxed) == 0 {
            let node = memory.objects.find_mut("Node", "w2").unwrap();
            node["metadata"]["resourceVersion"] = json!("8");
            node["spec"]["taints"] = json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]);
        }
        memory.answer(request, body)
    };
    let fake = Fake::serve(SERVER, answer).await;
    let api = crate::kube::connect(fake.host(), &Fake::kubeconfig(&fake.ca)).await.unwrap();
    let (inventory, mut given) = (inventory(|_| ()), Vec::new());
    for _ in 0..2 {
        give(&api, &inventory, &["w2"], &mut |done| given.push(done.node.clone())).await.unwrap();
    }
    assert_eq!(given, ["w2"], "once");
    let mut memory = memory.lock().unwrap();
    let node = memory.objects.find_mut("Node", "w2").unwrap();
    let keys: Vec<&str> = node["spec"]["taints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|taint| taint["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["node.kubernetes.io/not-ready", "storage"]);
    assert_eq!(
        (&node["metadata"]["labels"]["disk"], &node["metadata"]["annotations"][GIVEN]),
        (&json!("hdd"), &json!(SLOW))
    );
}
