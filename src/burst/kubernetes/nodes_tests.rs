use std::sync::{Arc, Mutex};

use super::*;
use crate::{
    burst::{
        controller::token_id,
        offer::{Capacity, Money},
        time::Time,
    },
    kube::{
        fake::{Fake, SERVER},
        memory::Memory,
    },
};

async fn workers(memory: Memory) -> (Workers, Arc<Mutex<Memory>>) {
    let memory = Arc::new(Mutex::new(memory));
    let kept = memory.clone();
    let fake = Fake::serve(SERVER, move |_, request, body| kept.lock().unwrap().answer(request, body)).await;
    let api = kube::connect(fake.host(), &Fake::kubeconfig(&fake.ca)).await.unwrap();
    let writer = |joining: &Joining<'_>| {
        Ok(UserData::new(format!("{} {}", joining.claim.name, joining.token).into())?)
    };
    (Workers::new(api, Box::new(writer)), memory)
}

fn node(name: &str, more: &Value) -> Value {
    let mut node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {CLAIM: name}},
        "spec": {"providerID": "aws:///eu-central-1a/i-1"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    });
    for (key, value) in more.as_object().unwrap() {
        for (inner, value) in value.as_object().unwrap() {
            node[key][inner] = value.clone();
        }
    }
    node
}

fn pod(name: &str, node: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "web"},
           "spec": {"nodeName": node, "containers": []}, "status": {"phase": "Running"}})
}

fn offer() -> Offer {
    let (instance_type, zone) = ("m7g.large".to_owned(), "eu-central-1a".to_owned());
    Offer { instance_type, zone, capacity: Capacity::Spot, price: Money(30_000) }
}

#[tokio::test]
async fn a_node_is_ready_without_the_taints_that_it_starts_with() {
    let mut memory = Memory::default();
    memory.objects.put(node("burst-1", &json!({})));
    let starting = json!([{"key": "node.cilium.io/agent-not-ready", "effect": "NoSchedule"}]);
    memory.objects.put(node("burst-2", &json!({"spec": {"taints": starting, "unschedulable": true}})));
    memory.objects.put(node("burst-3", &json!({"metadata": {"annotations": {NOTICE: "now"}}})));
    memory.objects.put(node("cp1", &json!({"metadata": {"labels": {}}})));
    memory.objects.put(pod("a", "burst-1"));
    let (workers, _) = workers(memory).await;
    let found = workers.nodes(&[]).await.unwrap();
    let names: Vec<&str> = found.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["burst-1", "burst-2", "burst-3"]);
    assert!(found[0].ready && !found[0].cordoned && !found[0].notice);
    assert_eq!(
        (found[0].pods.as_slice(), found[0].provider_id.as_str()),
        (&["web/a".to_owned()][..], "aws:///eu-central-1a/i-1")
    );
    assert!(!found[1].ready && found[1].cordoned);
    assert!(found[2].notice);
}

#[tokio::test]
async fn a_token_is_made_anew_for_each_attempt_and_dropped() {
    let (workers, memory) = workers(Memory::default()).await;
    let claim = Claim::new("burst-1".into(), vec![], vec![], Time(0));
    let first = workers.prepare(&claim, 1, &offer()).await.unwrap();
    let second = workers.prepare(&claim, 2, &offer()).await.unwrap();
    assert_ne!(first, second);
    let token = std::str::from_utf8(second.expose()).unwrap().strip_prefix("burst-1 ").unwrap();
    let (id, secret) = token.split_once('.').unwrap();
    assert_eq!((id, secret.len()), (token_id("burst-1").as_str(), 16));
    assert!(secret.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit()), "{secret}");
    let secrets = || memory.lock().unwrap().objects.of("Secret").len();
    assert_eq!(secrets(), 1);
    let kept = memory.lock().unwrap().objects.of("Secret")[0].clone();
    assert_eq!(
        (&kept["stringData"]["token-secret"], &kept["type"]),
        (&json!(secret), &json!("bootstrap.kubernetes.io/token"))
    );
    workers.work("burst-1", &Work::DropToken).await.unwrap();
    workers.work("burst-1", &Work::DropToken).await.unwrap();
    assert_eq!(secrets(), 0);
}

#[tokio::test]
async fn its_own_node_is_cordoned_drained_and_deleted_and_no_other() {
    let mut memory = Memory::default();
    memory.objects.put(node("burst-1", &json!({})));
    memory.objects.put(node("cp1", &json!({"metadata": {"labels": {}}})));
    memory.objects.put(pod("a", "burst-1"));
    let (workers, memory) = workers(memory).await;
    let count = |kind: &str| memory.lock().unwrap().objects.of(kind).len();
    workers.work("burst-1", &Work::Cordon).await.unwrap();
    assert!(workers.nodes(&[]).await.unwrap()[0].cordoned);
    workers.work("burst-1", &Work::Uncordon).await.unwrap();
    assert!(!workers.nodes(&[]).await.unwrap()[0].cordoned);
    let evict = Work::Evict { grace: Some(Duration::from_secs(90)), respect_budgets: true };
    workers.work("burst-1", &evict).await.unwrap();
    assert_eq!(count("Pod"), 0);
    workers.work("cp1", &Work::DropNode(vec![])).await.unwrap();
    assert_eq!(count("Node"), 2, "nobody claims it");
    for _ in 0..2 {
        workers.work("burst-1", &Work::DropNode(vec![])).await.unwrap();
        workers.work("burst-1", &Work::Cordon).await.unwrap();
    }
    assert_eq!(count("Node"), 1);
}

#[tokio::test]
async fn a_node_without_its_label_is_known_by_its_instance_and_somebody_elses_of_that_name_is_not() {
    let bare = |name: &str, provider_id: Value| {
        node(name, &json!({"metadata": {"labels": {}}, "spec": {"providerID": provider_id}}))
    };
    let mut memory = Memory::default();
    memory.objects.put(bare("burst-1", json!("aws:///eu-central-1a/i-1")));
    memory.objects.put(bare("burst-2", json!("aws:///eu-central-1a/i-9")));
    memory.objects.put(bare("burst-3", json!("")));
    memory.objects.put(bare("cp1", json!("aws:///eu-central-1a/i-1")));
    let (workers, memory) = workers(memory).await;
    let claims = ["burst-1", "burst-2", "burst-3"].map(|name| {
        let mut claim = Claim::new(name.into(), vec![], vec![], Time(0));
        claim.former.extend(["i-1".to_owned(), String::new()]);
        claim
    });
    let own: Vec<&Claim> = claims.iter().collect();
    let found = workers.nodes(&own).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].name.as_str(), found[0].labelled), ("burst-1", false));
    workers.work("burst-1", &Work::Label).await.unwrap();
    assert!(workers.nodes(&own).await.unwrap()[0].labelled);
    memory.lock().unwrap().objects.put(bare("burst-1", json!("aws:///eu-central-1a/i-1")));
    for claim in ["burst-1", "burst-2", "burst-3"] {
        workers.work(claim, &Work::DropNode(vec!["i-1".to_owned()])).await.unwrap();
    }
    let left: Vec<Value> =
        memory.lock().unwrap().objects.of("Node").iter().map(|it| it["metadata"]["name"].clone()).collect();
    assert_eq!(left, ["burst-2", "burst-3", "cp1"]);
}
