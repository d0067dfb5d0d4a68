//! For whom nodes are rented, and for whom not.

use super::*;

#[test]
fn two_pods_that_need_a_node_each_get_exactly_two() {
    let mut scene = Scene::with_pods(vec![pod("a", json!({})), pod("b", json!({}))]);
    let (decision, explanation) = scene.decide();
    assert_eq!(wanted(&decision), [("m7i.large", vec!["web/a"]), ("m7i.large", vec!["web/b"])]);
    assert_eq!((explanation.waiting, explanation.young), (2, 0));
    let ways: Vec<Capacity> = decision.wanted[0].offers.iter().map(|it| it.capacity).collect();
    assert_eq!(ways[0], Capacity::Spot);
    assert!(ways.contains(&Capacity::OnDemand), "there is another way when EC2 has no spot: {ways:?}");
}

#[test]
fn nothing_is_rented_for_whom_no_node_helps_or_not_yet() {
    for (why, change) in [
        ("it is being deleted", json!({"metadata": {"deletionTimestamp": "2026-01-02T03:04:30Z"}})),
        ("the scheduler makes room for it", json!({"status": {"nominatedNodeName": "w1"}})),
        ("it runs", json!({"spec": {"nodeName": "w1"}})),
        ("nobody has tried to place it", json!({"status": {"conditions": []}})),
        (
            "a gate holds it",
            json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}}),
        ),
    ] {
        let (decision, explanation) = Scene::with_pods(vec![pod("a", change)]).decide();
        assert_eq!((decision, explanation.waiting), (Decision::default(), 0), "{why}");
    }
    let young = json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                        "lastTransitionTime": "2026-01-02T03:04:46Z"}]}});
    let mut scene = Scene::with_pods(vec![pod("a", young)]);
    let (decision, explanation) = scene.decide();
    assert_eq!((decision.wanted.len(), explanation.young), (0, 1), "14 s");
    assert_eq!(scene.decide_at(Time(NOW.0 + 1_000)).0.wanted.len(), 1, "15 s");
}

#[test]
fn a_clock_that_is_behind_makes_no_pod_wait_for_ever() {
    let mut scene = Scene::with_pods(vec![pod("a", json!({}))]);
    let behind = Time(NOW.0 - 3_600_000);
    assert_eq!(scene.decide_at(behind).1.young, 1);
    assert_eq!(scene.decide_at(Time(behind.0 + 15_000)).0.wanted.len(), 1);
}

#[test]
fn nothing_is_rented_for_a_pod_that_a_node_did_not_help_until_it_is_changed_or_an_hour_is_over() {
    let mut scene = Scene::with_pods(vec![pod("a", json!({})), pod("b", json!({}))]);
    let (decision, _) = scene.decide();
    let waiter = &decision.waiting["web/a"];
    assert_eq!((decision.waiting.len(), waiter.since), (2, Time(NOW.0 - 60_000)), "the scheduler says so");
    scene.in_vain.learn([&waiter.mark], NOW);
    let (decision, explanation) = scene.decide();
    assert_eq!(wanted(&decision), [("m7i.large", vec!["web/b"])]);
    assert_eq!((explanation.waiting, explanation.unplaced[0].pod.as_str()), (2, "web/a"));
    insta::assert_snapshot!(explanation.unplaced[0].because, @"a node was rented for it once, and nothing ever ran there: the scheduler refuses this pod for a reason that hoist does not know. `kubectl describe pod -n web a` says which; nothing more is rented for it before 2026-01-02T04:05:00Z");
    assert_eq!(scene.decide_at(Time(NOW.0 + 3_600_000)).0.wanted.len(), 2, "an hour later");
    for (why, change) in [
        ("made anew", json!({"metadata": {"uid": "another"}})),
        ("it tolerates more", json!({"spec": {"tolerations": [{"operator": "Exists"}]}})),
    ] {
        scene.seen.pods = told(vec![pod("a", change)]);
        assert_eq!(wanted(&scene.decide().0), [("m7i.large", vec!["web/a"])], "{why}");
    }
    // What schedulers and controllers note down on a pod changes nothing.
    let noted = json!({"metadata": {"annotations": {"tried": "9"}, "resourceVersion": "9"}});
    scene.seen.pods = told(vec![pod("a", noted)]);
    assert_eq!(scene.decide().0.wanted, []);
}

/// A node can turn out smaller than its type, or have a taint that nobody knew of.
#[test]
fn a_pod_whose_node_is_ready_and_does_not_take_it_gets_no_second_one() {
    let mut scene = Scene::with_pods(vec![pod("a", json!({}))]);
    scene.seen.nodes = told(vec![node("burst-1", "1", json!({"hoist.dev/claim": "burst-1"}))]);
    scene.claims = vec![claim("burst-1", Phase::Ready, &["web/a"])];
    scene.claims[0].idle_since = Some(scene.claims[0].since);
    let (decision, explanation) = scene.decide();
    assert_eq!(decision.wanted, []);
    let because = "burst-1 was rented for it and is ready, and does not take it";
    assert_eq!(explanation.unplaced[0].because, because);
    let rents = |scene: &mut Scene| scene.decide().0.wanted.len();
    scene.seen.pods.extend(told(vec![pod("b", json!({}))]));
    assert_eq!(wanted(&scene.decide().0), [("m7i.large", vec!["web/b"])]);
    scene.seen.pods.truncate(1);
    scene.claims[0].since = Time(NOW.0 - 60_001);
    scene.claims[0].idle_since = Some(scene.claims[0].since);
    assert_eq!(rents(&mut scene), 1, "the pod is younger than that node");
    scene.claims[0].since = NOW;
    assert_eq!(rents(&mut scene), 1, "something runs on it, or has");
    scene.claims[0].idle_since = Some(NOW);
    assert_eq!(rents(&mut scene), 0);
    scene.seen.nodes[0].spec.get_or_insert_default().unschedulable = Some(true);
    assert_eq!(rents(&mut scene), 1, "somebody has cordoned it");
}

#[test]
fn pods_of_other_schedulers_are_no_demand() {
    let of = |scheduler: &str| pod(scheduler, json!({"spec": {"schedulerName": scheduler}}));
    let mut scene = Scene::with_pods(vec![of("default-scheduler"), of("volcano")]);
    let (decision, explanation) = scene.decide();
    assert_eq!(wanted(&decision), [("m7i.large", vec!["web/default-scheduler"])]);
    assert_eq!(explanation.unplaced.len(), 1);
    assert_eq!(explanation.unplaced[0].because, "its scheduler is volcano, whose rules hoist does not know");
}

#[test]
fn a_pod_that_no_offer_can_serve_is_told_why() {
    let stranger = pod("stranger", json!({"spec": {"tolerations": []}}));
    let gpu = json!([{"name": "a", "resources": {"requests": {"nvidia.com/gpu": "1"}}}]);
    let gpu = pod("gpu", json!({"spec": {"containers": gpu}}));
    let own = json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "hoist.dev/claim", "operator": "DoesNotExist"}]}]});
    let own = json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": own}}}});
    let (decision, explanation) = Scene::with_pods(vec![stranger, gpu, pod("controller", own)]).decide();
    assert_eq!(decision.wanted, []);
    let reasons: Vec<String> =
        explanation.unplaced.iter().map(|it| format!("{}: {}", it.pod, it.because)).collect();
    insta::assert_snapshot!(reasons.join("\n"), @r"
    web/controller: asks for a node with !hoist.dev/claim, which no rented node would be
    web/gpu: needs nvidia.com/gpu, which no offered type has
    web/stranger: does not tolerate the taint hoist.dev/burst=true:NoSchedule, which rented nodes have
    ");
}

#[test]
fn volumes_keep_pods_at_home_where_their_data_is() {
    let with = |claim: &str| json!({"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]}});
    let volume_claim =
        |name: &str, spec: Value| json!({"metadata": {"name": name, "namespace": "web"}, "spec": spec});
    let mut scene = Scene::with_pods(
        ["bound", "waiting", "missing", "shared", "zonal"].map(|name| pod(name, with(name))).into(),
    );
    scene.seen.claims = told(vec![
        volume_claim("bound", json!({"volumeName": "pv-1", "storageClassName": "longhorn"})),
        volume_claim("waiting", json!({})),
        volume_claim("shared", json!({"volumeName": "pv-2"})),
        volume_claim("zonal", json!({"storageClassName": "ebs"})),
    ]);
    scene.seen.volumes = told(vec![
        json!({"metadata": {"name": "pv-1"}, "spec": {"csi": {"driver": "driver.longhorn.io", "volumeHandle": "1"}}}),
        json!({"metadata": {"name": "pv-2"}, "spec": {"nfs": {"server": "nas", "path": "/"}}}),
    ]);
    let default = json!({"storageclass.kubernetes.io/is-default-class": "true"});
    let zones = json!([{"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": ["eu-central-1b"]}]}]);
    scene.seen.classes = told(vec![
        json!({"metadata": {"name": "longhorn", "annotations": default}, "provisioner": "driver.longhorn.io"}),
        json!({"metadata": {"name": "ebs"}, "provisioner": "ebs.csi.aws.com", "allowedTopologies": zones}),
    ]);
    let (decision, explanation) = scene.decide();
    assert_eq!(
        wanted(&decision).iter().map(|(_, pods)| pods[0]).collect::<Vec<_>>(),
        ["web/shared", "web/zonal"]
    );
    assert!(decision.wanted[1].offers.iter().all(|offer| offer.zone == "eu-central-1b"));
    let kept: Vec<&str> = explanation.unplaced.iter().map(|it| it.pod.as_str()).collect();
    assert_eq!(kept, ["web/bound", "web/missing", "web/waiting"]);
    assert!(explanation.unplaced[1].because.contains("there is no PersistentVolumeClaim missing"));
}

#[test]
fn daemons_take_their_part_of_a_new_node() {
    let mut scene = Scene::with_pods(vec![pod("a", json!({}))]);
    let daemon = |tolerations: Value| {
        json!({"metadata": {"name": "agent", "namespace": "kube-system"}, "spec": {
            "selector": {}, "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {
                "tolerations": tolerations, "volumes": [{"name": "run", "hostPath": {"path": "/run"}}],
                "containers": [{"name": "a", "resources": {"requests": {"cpu": "500m"}}}]}}}})
    };
    scene.seen.daemons = told(vec![daemon(json!([{"operator": "Exists"}]))]);
    assert_eq!(wanted(&scene.decide().0), [("m7i.xlarge", vec!["web/a"])]);
    scene.seen.daemons = told(vec![daemon(json!([]))]);
    assert_eq!(wanted(&scene.decide().0), [("m7i.large", vec!["web/a"])], "it does not run there");
}

#[test]
fn limits_hold_over_all_that_is_rented_and_ends() {
    let pods: Vec<Value> = (0..8).map(|number| pod(&format!("p{number}"), json!({}))).collect();
    let mut scene = Scene::with_pods(pods);
    assert_eq!(scene.decide().0.wanted.len(), 5, "max_instances");
    let mut ending = claim("burst-1", Phase::Terminating, &[]);
    ending.former.insert("i-1".into());
    scene.claims = vec![ending];
    assert_eq!(scene.decide().0.wanted.len(), 4, "EC2 has not ended it yet");
    // What is not offered any more may be of any size.
    scene.claims[0].offers[0].instance_type = "m5.large".into();
    assert_eq!(scene.decide().0.wanted.len(), 0);
    scene.claims.clear();
    scene.spent = Money::dollars(100);
    let (decision, explanation) = scene.decide();
    assert_eq!((decision.wanted.len(), explanation.unplaced.len()), (0, 8));
    assert!(explanation.unplaced[0].because.contains("budget"), "{:?}", explanation.unplaced[0]);
}
