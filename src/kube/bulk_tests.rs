//! Many objects at once, against an API server in memory.

use serde_json::json;

use super::*;
use crate::kube::{
    fake::{Answer, Fake, SERVER},
    memory::Memory,
};

#[test]
fn what_nobody_declared_does_not_count() {
    let declared =
        json!({"data": {"a": "1"}, "list": [{"name": "x"}], "empty": {"nodeSelector": {}}, "port": 80});
    let live = json!({"data": {"a": "1", "b": "2"}, "list": [{"name": "x", "default": true}], "port": 80.0});
    assert!(holds(&declared, &live));
    for other in [json!({"data": {"a": "2"}}), json!({"list": []}), json!({"gone": 1}), json!({"port": "80"})]
    {
        assert!(!holds(&other, &live), "{other}");
    }
}

#[test]
fn the_authority_of_a_webhook_is_its_own_to_write() {
    let declared = json!({
        "spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": "Q2hhbmdl", "service": {"name": "a"}}}}},
        "webhooks": [{"name": "b", "clientConfig": {"caBundle": ""}}],
    });
    let live = json!({
        "spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": "T3du", "service": {"name": "a"}}}}},
        "webhooks": [{"name": "b", "clientConfig": {"caBundle": "T3du"}}],
    });
    assert!(!holds(&declared, &live) && holds(&without_authority(&declared), &live));
}

#[test]
fn documents_are_objects_with_names() {
    let all = documents("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n# nothing\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n").unwrap();
    let names: Vec<String> = all.iter().map(|object| name_of(object).to_string()).collect();
    assert_eq!(names, ["ConfigMap a", "Namespace b"]);
    assert_eq!(all[0]["apiVersion"], "v1");
}

#[tokio::test]
async fn a_webhook_that_does_not_answer_stands_in_no_comparisons_way() {
    let pool = |range: &str| {
        json!({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
        "metadata": {"name": "lan", "namespace": "metallb-system"}, "spec": {"addresses": [range]}})
    };
    let mut memory = Memory::default();
    memory.objects.put(pool("10.0.0.1-10.0.0.9"));
    let memory = Mutex::new(memory);
    let fake = Fake::serve(SERVER, move |_, request, body| match request.starts_with("PATCH") {
        true => Answer::failure(500, "InternalError", "failed calling webhook \"metallb\": no endpoints"),
        false => memory.lock().unwrap().answer(request, body),
    })
    .await;
    let api = crate::kube::connect(fake.host(), &Fake::kubeconfig(&fake.ca)).await.unwrap();
    let declared = |range: &str| Declared { namespace: String::new(), objects: vec![pool(range)] };
    let same = api.diff_declared(&declared("10.0.0.1-10.0.0.9")).await.unwrap();
    assert_eq!(same[0].change, Change::Unchanged);
    let other = declared("10.0.0.1-10.0.0.5");
    assert_eq!(api.diff_declared(&other).await.unwrap()[0].change, Change::Changed);
    assert_eq!(api.drift(&other).await.unwrap()[0].change, Change::Changed);
    let error = api.apply_declared(&other).await.unwrap_err();
    assert!(matches!(error, Error::Webhook { .. }) && !error.is_retryable(), "{error}");
}

#[tokio::test]
async fn what_bears_another_owners_label_is_not_deleted() {
    let mut memory = Memory::default();
    for (name, labels) in
        [("ours", json!({"owner": "one"})), ("theirs", json!({"owner": "two"})), ("nobodys", json!({}))]
    {
        memory.objects.put(json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "n", "labels": labels}}));
    }
    let memory = Arc::new(Mutex::new(memory));
    let kept = memory.clone();
    let answer = move |_, request: &str, body: &[u8]| kept.lock().unwrap().answer(request, body);
    let fake = Fake::serve(SERVER, answer).await;
    let api = crate::kube::connect(fake.host(), &Fake::kubeconfig(&fake.ca)).await.unwrap();
    let named = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let objects = ["ours", "theirs", "nobodys", "gone"].map(named).to_vec();
    let declared = Declared { namespace: "n".into(), objects };
    let taken = api.taken_over(&declared, ("owner", "one")).await.unwrap();
    assert_eq!(taken, [named("theirs"), named("nobodys")]);
    api.delete_declared(&declared, ("owner", "one")).await.unwrap();
    let memory = memory.lock().unwrap();
    let left: Vec<&str> =
        memory.objects.of("ConfigMap").iter().filter_map(|it| it["metadata"]["name"].as_str()).collect();
    assert_eq!(left, ["nobodys", "theirs"]);
}
