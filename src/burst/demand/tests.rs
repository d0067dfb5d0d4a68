//! Decisions on clusters as an API server tells of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::{
    burst::{
        claim::{Claim, Phase, Why},
        controller::{Caps, Decision},
        offer::{Architecture, Capacity, InstanceType, Money, Offer},
        time::Time,
    },
    inventory::Burst,
};

const NOW: Time = Time(1_767_323_100_000); // 2026-01-02T03:05:00Z

fn told<T: serde::de::DeserializeOwned>(objects: Vec<Value>) -> Vec<T> {
    objects.into_iter().map(|object| serde_json::from_value(object).unwrap()).collect()
}

/// A pod that waits for a processor and a half since 03:04:00, and tolerates what rented nodes have.
fn pod(name: &str, change: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "web", "uid": name, "labels": {"app": "web"},
                     "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1", "controller": true}]},
        "spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "1500m", "memory": "1Gi"}}}],
                 "tolerations": [{"key": "hoist.dev/burst", "operator": "Exists"}]},
        "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                    "lastTransitionTime": "2026-01-02T03:04:00Z"}]},
    });
    merge(&mut pod, change);
    pod
}

fn merge(target: &mut Value, change: Value) {
    match (target, change) {
        (Value::Object(target), Value::Object(change)) => {
            for (key, value) in change {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, change) => *target = change,
    }
}

fn running(name: &str, node: &str) -> Value {
    pod(name, json!({"spec": {"nodeName": node}, "status": {"phase": "Running", "conditions": []}}))
}

/// A machine, or with a claim's labels a rented node: two processors.
fn node(name: &str, cpu: &str, labels: Value) -> Value {
    json!({
        "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110", "ephemeral-storage": "20Gi"}},
    })
}

fn kind(name: &str, vcpus: u32) -> InstanceType {
    let (architecture, memory_mib) = (Architecture::Amd64, u64::from(vcpus) << 12);
    InstanceType { name: name.into(), architecture, vcpus, memory_mib, max_pods: 110 }
}

fn offer(name: &str, zone: &str, capacity: Capacity, price: u64) -> Offer {
    Offer { instance_type: name.into(), zone: zone.into(), capacity, price: Money(price) }
}

fn claim(name: &str, phase: Phase, pods: &[&str]) -> Claim {
    let offers = vec![offer("m7i.large", "eu-central-1a", Capacity::Spot, 40_000)];
    let mut claim = Claim::new(name.into(), offers, pods.iter().map(ToString::to_string).collect(), NOW);
    claim.phase = phase;
    claim
}

#[derive(Default)]
struct Scene {
    seen: Seen,
    claims: Vec<Claim>,
    wish: Wish,
    burst: Burst,
    spent: Money,
    waits: Waits,
}

impl Scene {
    fn with_pods(pods: Vec<Value>) -> Scene {
        Scene { seen: Seen { pods: told(pods), ..Seen::default() }, ..Scene::default() }
    }

    fn decide(&mut self) -> (Decision, Explanation) {
        self.decide_at(NOW)
    }

    fn decide_at(&mut self, now: Time) -> (Decision, Explanation) {
        let types: BTreeMap<String, InstanceType> =
            [kind("m7i.large", 2), kind("m7i.xlarge", 4)].map(|it| (it.name.clone(), it)).into();
        let mut offers = Vec::new();
        for zone in ["eu-central-1a", "eu-central-1b"] {
            offers.push(offer("m7i.large", zone, Capacity::Spot, 40_000));
            offers.push(offer("m7i.large", zone, Capacity::OnDemand, 120_000));
            offers.push(offer("m7i.xlarge", zone, Capacity::OnDemand, 240_000));
        }
        let situation = Situation {
            seen: &self.seen,
            claims: self.claims.iter().collect(),
            wish: &self.wish,
            types: &types,
            offers: &offers,
            has: &|_| true,
            spent: self.spent,
            now,
        };
        let caps = Caps { nodes: 5, vcpus: 16, hourly: None, monthly: Some(Money::dollars(100)) };
        decide(&situation, &Rules { burst: self.burst.clone(), caps }, &mut self.waits)
    }
}

fn wanted(decision: &Decision) -> Vec<(&str, Vec<&str>)> {
    let first = |wanted: &crate::burst::controller::Wanted| wanted.offers[0].instance_type.clone();
    let all = decision.wanted.iter();
    all.map(|it| {
        let name = if first(it) == "m7i.large" { "m7i.large" } else { "m7i.xlarge" };
        (name, it.pods.iter().map(String::as_str).collect())
    })
    .collect()
}

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
fn what_is_on_its_way_counts_with_the_labels_that_it_will_have() {
    let zoned = json!({"spec": {"nodeSelector": {"topology.kubernetes.io/zone": "eu-central-1a", "team": "web",
                                                 "hoist.dev/capacity-type": "spot", "kubernetes.io/arch": "amd64"}}});
    let mut scene = Scene::with_pods(vec![pod("a", zoned.clone()), pod("b", zoned)]);
    scene.burst.labels.insert("team".into(), "web".into());
    for phase in [Phase::Planned, Phase::Launching, Phase::Launched, Phase::Running, Phase::Registered] {
        scene.claims = vec![claim("burst-1", phase, &["web/a"])];
        let (decision, explanation) = scene.decide();
        assert_eq!(decision.wanted.len(), 1, "{phase:?}");
        assert_eq!(explanation.placed[0].because, "burst-1", "{phase:?}");
    }
    // One that ends has no room, and still counts for the limits.
    scene.claims[0].why = Some(Why::Broken);
    assert_eq!(scene.decide().0.wanted.len(), 2);
}

#[test]
fn a_node_that_has_joined_counts_once_and_only_when_it_takes_pods() {
    let labels = json!({"hoist.dev/claim": "burst-1", "node.kubernetes.io/instance-type": "m7i.large"});
    let mut scene = Scene::with_pods(vec![pod("a", json!({}))]);
    let mut tainted = node("burst-1", "1930m", labels);
    tainted["spec"] =
        json!({"taints": [{"key": "hoist.dev/burst", "value": "true", "effect": "NoSchedule"}]});
    scene.seen.nodes = told(vec![tainted]);
    scene.claims = vec![claim("burst-1", Phase::Ready, &["web/z"])];
    assert_eq!(scene.decide().0.wanted, []);
    scene.claims[0].phase = Phase::Registered;
    assert_eq!(scene.decide().0.wanted, [], "it counts as what it will be");
    scene.claims.clear();
    assert_eq!(scene.decide().0.wanted.len(), 1, "nobody's node is none to count on");
}

#[test]
fn a_node_that_somebody_has_deleted_is_no_room() {
    let mut scene = Scene::with_pods(vec![pod("a", json!({}))]);
    scene.claims = vec![claim("burst-1", Phase::Ready, &["web/a"])];
    assert_eq!(scene.decide().0.wanted, [], "missed for the first time: the API server may not know it yet");
    scene.claims[0].nodeless_since = Some(NOW);
    assert_eq!(scene.decide().0.wanted.len(), 1);
    // It costs until it has ended, and is still the worker that somebody wants.
    scene.wish.add(1, None);
    scene.claims[0].pods = vec!["worker-1".into()];
    scene.claims[0].offers[0].instance_type = "m5.large".into();
    let (decision, explanation) = scene.decide();
    assert_eq!((decision.wanted.len(), explanation.unplaced.len()), (0, 1), "it fills the cap: {decision:?}");
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
fn the_administrators_machines_come_first() {
    let mut scene = Scene::with_pods(vec![pod("a", json!({})), pod("b", json!({}))]);
    scene.seen.nodes = told(vec![node("w1", "2", json!({}))]);
    let (decision, explanation) = scene.decide();
    assert_eq!((decision.wanted.len(), explanation.placed.len()), (1, 1));
    assert_eq!(explanation.placed[0].because, "w1");
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

/// A rented node that is ready, with one pod, and a machine with room for so much.
fn at_rest(cpu: &str, change: Value) -> Scene {
    let mut busy = running("a", "burst-1");
    merge(&mut busy, change);
    let mut scene = Scene::with_pods(vec![busy]);
    scene.seen.nodes =
        told(vec![node("w1", cpu, json!({})), node("burst-1", "2", json!({"hoist.dev/claim": "burst-1"}))]);
    scene.claims = vec![claim("burst-1", Phase::Ready, &["web/a"])];
    scene
}

#[test]
fn a_pod_that_has_room_at_home_makes_its_node_unneeded() {
    let unneeded = |scene: &mut Scene| scene.decide().0.unneeded.into_iter().collect::<Vec<_>>();
    let mut scene = at_rest("2", json!({}));
    assert_eq!(unneeded(&mut scene), ["burst-1"]);
    assert_eq!(scene.decide().1.unneeded[0].because, "its pod has room on your own machines");
    assert!(unneeded(&mut at_rest("1", json!({}))).is_empty(), "no room");
    let mut waits = at_rest("2", json!({}));
    waits.seen.pods.extend(told(vec![pod("b", json!({}))]));
    assert!(unneeded(&mut waits).is_empty(), "whoever waits has that room");
    let alone = json!({"metadata": {"ownerReferences": []}});
    assert!(unneeded(&mut at_rest("2", alone)).is_empty(), "nobody would make it anew");
    let mut kept = at_rest("2", json!({}));
    kept.seen.budgets = told(vec![json!({
        "metadata": {"name": "web", "namespace": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1},
    })]);
    assert!(unneeded(&mut kept).is_empty(), "a budget allows no eviction");
    let mut on_the_way = at_rest("1", json!({}));
    on_the_way.claims.push(claim("burst-2", Phase::Running, &[]));
    assert!(unneeded(&mut on_the_way).is_empty(), "a node that is not there is no place to go");
}

#[test]
fn pods_that_can_be_had_for_less_are_moved_when_the_other_node_is_there() {
    // The machine has no room, and the node was to be had on demand alone.
    let mut scene = at_rest("1", json!({}));
    assert!(scene.decide().0.cheaper.is_empty(), "spot is the cheapest there is");
    scene.claims[0].offers = vec![offer("m7i.large", "eu-central-1b", Capacity::OnDemand, 120_000)];
    let (decision, explanation) = scene.decide();
    assert!(decision.unneeded.is_empty());
    let first = &decision.cheaper["burst-1"][0];
    assert_eq!((first.capacity, first.price), (Capacity::Spot, Money(40_000)));
    assert!(decision.cheaper["burst-1"].iter().all(|it| it.price.0 <= 102_000), "not at any price");
    assert_eq!(explanation.unneeded[0].because, "0.0400 dollars an hour would do instead of 0.1200");
    // What it cost when it was launched is not what it costs now.
    scene.claims[0].offers = vec![offer("m7i.large", "eu-central-1a", Capacity::Spot, 90_000)];
    assert!(scene.decide().0.cheaper.is_empty(), "the same again would cost the same");
}

#[test]
fn wanted_workers_are_rented_once_each_and_kept() {
    let mut scene = at_rest("2", json!({}));
    scene.wish.add(2, None);
    scene.wish.add(1, Some("m7i.xlarge"));
    let names: Vec<&str> = scene.wish.workers.iter().map(|worker| worker.name.as_str()).collect();
    assert_eq!(names, ["worker-1", "worker-2", "worker-3"]);
    let (decision, _) = scene.decide();
    assert_eq!(
        wanted(&decision),
        [("m7i.large", vec!["worker-1"]), ("m7i.large", vec!["worker-2"]), ("m7i.xlarge", vec!["worker-3"])]
    );
    scene.claims[0].pods = vec!["worker-1".into()];
    scene.claims.push(claim("burst-2", Phase::Running, &["web/z", "worker-2"]));
    let (decision, _) = scene.decide();
    assert_eq!(wanted(&decision), [("m7i.xlarge", vec!["worker-3"])]);
    assert!(decision.unneeded.is_empty() && decision.removed.is_empty(), "it stays though its pod has room");

    assert!(scene.wish.remove("burst-2", &scene.claims));
    assert!(scene.wish.remove("worker-3", &scene.claims));
    assert!(!scene.wish.remove("worker-3", &scene.claims));
    let (decision, _) = scene.decide();
    assert_eq!(
        (decision.wanted.len(), decision.removed.into_iter().collect::<Vec<_>>()),
        (0, vec!["burst-2".into()])
    );
    // A worker whose node is lost is rented anew.
    scene.claims[0].why = Some(Why::Lost);
    assert_eq!(wanted(&scene.decide().0), [("m7i.large", vec!["worker-1"])]);
    scene.wish.workers.clear();
    scene.claims[0].why = None;
    assert!(scene.decide().0.removed.contains("burst-1"), "nobody wants it any more");
}

#[test]
fn a_worker_that_the_limits_keep_away_is_room_for_nobody() {
    let mut scene = Scene::with_pods(vec![pod("a", json!({}))]);
    scene.wish.add(1, Some("m7i.xlarge"));
    assert_eq!(scene.decide().1.placed.len(), 1, "it is on its way");
    // Four that end have all the vCPUs until they are gone.
    scene.claims = (0..4).map(|number| claim(&format!("burst-{number}"), Phase::Terminating, &[])).collect();
    for claim in &mut scene.claims {
        claim.offers = vec![offer("m7i.xlarge", "eu-central-1a", Capacity::OnDemand, 240_000)];
        claim.former.insert("i-1".into());
    }
    assert_eq!(scene.decide().1.placed, []);
}

#[test]
fn a_worker_of_a_type_that_is_not_offered_is_told_of() {
    let mut scene = Scene::default();
    scene.wish.add(1, Some("p5.48xlarge"));
    let (decision, explanation) = scene.decide();
    assert_eq!(decision.wanted, []);
    assert_eq!(explanation.unplaced[0].because, "no such type is offered");
}

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
