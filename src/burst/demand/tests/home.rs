//! Which rented nodes are not needed any more.

use super::*;

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
