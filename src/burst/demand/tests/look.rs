//! What is read of an API server.

use super::*;

#[tokio::test]
async fn all_of_it_is_read_from_the_api_server() {
    use std::sync::{Arc, Mutex};

    use crate::kube::{
        self,
        fake::{Fake, SERVER},
        memory::Memory,
    };

    let mut memory = Memory::default();
    let kinds = |mut object: Value, api_version: &str, kind: &str| {
        (object["apiVersion"], object["kind"]) = (json!(api_version), json!(kind));
        object
    };
    memory.objects.put(kinds(pod("a", json!({})), "v1", "Pod"));
    memory.objects.put(kinds(node("w1", "1", json!({})), "v1", "Node"));
    let memory = Arc::new(Mutex::new(memory));
    let kept = memory.clone();
    let fake = Fake::serve(SERVER, move |_, request, body| kept.lock().unwrap().answer(request, body)).await;
    let api = kube::connect(fake.host(), &Fake::kubeconfig(&fake.ca)).await.unwrap();
    let seen = Cluster::new(api).look().await.unwrap();
    assert_eq!((seen.pods.len(), seen.nodes.len(), seen.daemons.len()), (1, 1, 0));
    let mut scene = Scene { seen, ..Scene::default() };
    assert_eq!(scene.decide().0.wanted.len(), 1);
    // From the API server's memory: looks every few seconds are no load for etcd.
    let asked = fake.requests.lock().unwrap().clone();
    assert_eq!(asked.len(), KINDS.len());
    for (request, (_, plural)) in KINDS.map(|kind| (asked.iter().find(|it| it.contains(kind.1)), kind)) {
        assert!(request.is_some_and(|it| it.contains("resourceVersion=0")), "{plural}: {asked:?}");
    }
}
