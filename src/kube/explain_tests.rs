use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

const AFTER: Duration = Duration::from_secs(90);

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn web() -> Deployment {
    read(json!({"metadata": {"name": "web", "namespace": "shop", "generation": 2},
                "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": {}},
                "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 1}}))
}

fn explain(pods: Vec<Value>, events: Vec<Value>) -> (String, String) {
    let pods: Vec<Pod> = pods.into_iter().map(read).collect();
    let events: Vec<Event> = events.into_iter().map(read).collect();
    let error = deployment(&web(), &Rollout::read(&web()), &pods, &events, AFTER);
    let Error::NotReady { ref help, .. } = error else { panic!("another error") };
    (error.to_string(), help.clone())
}

#[test]
fn an_image_that_is_not_there() {
    let pod = json!({"metadata": {"name": "web-1"}, "spec": {"nodeName": "w1", "containers": [{"name": "c"}]},
        "status": {"phase": "Pending", "containerStatuses": [{"name": "c", "ready": false, "restartCount": 0,
            "image": "x", "imageID": "",
            "state": {"waiting": {"reason": "ErrImageNeverPull", "message": "image x is not present"}}}]}});
    let (message, help) = explain(vec![pod], vec![]);
    assert_eq!(
        message,
        "after 90 s deployment shop/web has 1 of 3 pods available: \
         pod web-1 on w1: ErrImageNeverPull: image x is not present"
    );
    assert!(help.contains("import it there"), "{help}");
}

#[test]
fn no_node_that_fits() {
    let pod = json!({"metadata": {"name": "web-1"}, "spec": {"containers": []}, "status": {"phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient cpu."}]}});
    let (message, help) = explain(vec![pod], vec![]);
    assert!(message.contains("pod web-1: Unschedulable: 0/3 nodes are available: 3 Insufficient cpu."));
    assert!(help.contains("request less"), "{help}");
}

#[test]
fn a_crash_has_its_exit_code_and_ready_pods_are_not_told() {
    let crashed = json!({"metadata": {"name": "web-1"}, "spec": {"nodeName": "w1", "containers": []},
        "status": {"phase": "Running", "containerStatuses": [{"name": "c", "ready": false, "restartCount": 4,
            "image": "", "imageID": "", "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 127}}}]}});
    let fine = json!({"metadata": {"name": "web-2"}, "spec": {"containers": []},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let (message, _) = explain(vec![crashed, fine], vec![]);
    assert!(message.contains("CrashLoopBackOff (last exit code 127)"), "{message}");
    assert!(!message.contains("web-2"), "{message}");
}

#[test]
fn the_newest_warnings_of_our_pods_each_once() {
    let pod = json!({"metadata": {"name": "web-1"}, "spec": {"containers": []}, "status": {}});
    let event = |object: &str, at: u32, message: &str| {
        json!({"metadata": {}, "involvedObject": {"kind": "Pod", "name": object}, "reason": "Unhealthy",
               "message": message, "lastTimestamp": format!("2026-01-01T00:00:{at:02}Z"), "eventTime": null})
    };
    let events = vec![
        event("web-1", 1, "first"),
        event("web-1", 5, "same"),
        event("web-1", 6, "same"),
        event("other", 7, "not ours"),
        event("web-1", 8, "a"),
        event("web-1", 9, "b"),
    ];
    let (message, _) = explain(vec![pod], events);
    assert!(message.ends_with("event Unhealthy: b; event Unhealthy: a; event Unhealthy: same"), "{message}");
}

#[test]
fn nodes_that_are_missing_or_not_ready() {
    let node = |name: &str, ready: bool| NodeStatus {
        name: name.into(),
        ready,
        reason: if ready { String::new() } else { "KubeletNotReady: cni plugin not initialized".into() },
        schedulable: true,
        roles: vec![],
        version: String::new(),
        addresses: vec![],
        age: Duration::ZERO,
    };
    let names = ["cp1", "w1", "w2"].map(str::to_owned);
    let error = nodes(&names, &[node("cp1", true), node("w1", false)], AFTER);
    assert_eq!(
        error.to_string(),
        "after 90 s 2 of 3 nodes are not ready: w1: KubeletNotReady: cni plugin not initialized; w2: has not joined"
    );
}

#[test]
fn a_rollout_is_complete_only_when_nothing_old_is_left() {
    let done = Rollout { wanted: 3, updated: 3, available: 3, old: 0, observed: true };
    assert!(done.is_complete());
    for not in [
        Rollout { updated: 2, ..done },
        Rollout { available: 2, ..done },
        Rollout { old: 1, ..done },
        Rollout { observed: false, ..done },
    ] {
        assert!(!not.is_complete(), "{not:?}");
    }
    assert_eq!(Rollout::read(&web()), Rollout { available: 1, ..done });
}
