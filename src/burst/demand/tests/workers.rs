//! Workers that a person wants.

use super::*;

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
