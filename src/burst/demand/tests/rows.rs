//! What counts as room: machines, and rented nodes on their way, there or ending.

use super::*;

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
fn the_administrators_machines_come_first() {
    let mut scene = Scene::with_pods(vec![pod("a", json!({})), pod("b", json!({}))]);
    scene.seen.nodes = told(vec![node("w1", "2", json!({}))]);
    let (decision, explanation) = scene.decide();
    assert_eq!((decision.wanted.len(), explanation.placed.len()), (1, 1));
    assert_eq!(explanation.placed[0].because, "w1");
}
