//! What keeps EC2, machines and rented nodes apart: nobody is judged by what cannot be seen.

use hoist::burst::{
    claim::{Limits, NodeSeen, Phase, Seen, Why, next},
    cloud::State,
    time::Time,
};

use super::{
    cases::{HOUR, alive, launches, phases, running},
    gates,
    sim::Bed,
};

const MINUTE: u64 = 60;
const ORDERS: [&str; 5] = ["launch", "describe", "leftovers", "terminate", "delete"];

/// No rented node that is there now reaches the API server any more.
fn apart(bed: &Bed) {
    let mut world = bed.world();
    let ids: Vec<String> = world.alive().map(|(id, _)| id.clone()).collect();
    world.faults.unready.extend(ids);
}

/// EC2 is silent, nodes are apart, and pods wait.
fn cut(bed: &Bed) {
    apart(bed);
    bed.world().faults.silent = ORDERS.into();
    bed.add_pods(2, 5 * HOUR);
}

/// EC2 answers first, and the nodes are back two minutes later.
fn mend(bed: &mut Bed) {
    bed.world().faults.silent.clear();
    bed.turns(2 * MINUTE, 5);
    bed.world().faults.unready.clear();
    bed.turns(20 * MINUTE, 5);
}

#[test]
fn a_line_that_is_cut_for_45_minutes_ends_no_node() {
    let mut bed = running(4, 5 * HOUR);
    cut(&bed);
    bed.turns(45 * MINUTE, 5);
    assert_eq!(phases(&bed).iter().filter(|phase| **phase == Phase::Ready).count(), 2, "{:?}", phases(&bed));
    assert_eq!(alive(&bed), 2);
    mend(&mut bed);
    assert_eq!((phases(&bed), alive(&bed)), (vec![Phase::Ready; 3], 3), "one more, for those that waited");
    assert!(bed.world().nodes.values().all(|node| !node.cordoned));
    gates::hold(&bed.world());
}

/// By then they have ended themselves: what a node does that reaches no API server for 60 minutes.
#[test]
fn nodes_that_have_ended_themselves_after_an_hour_are_replaced_when_the_line_is_back() {
    let mut bed = running(4, 5 * HOUR);
    cut(&bed);
    bed.turns(60 * MINUTE, 5);
    {
        let mut world = bed.world();
        let now = world.now;
        for machine in world.machines.values_mut() {
            let reason = Some("Client.InstanceInitiatedShutdown".to_owned());
            machine.history.push((now, State::Terminated, reason));
        }
    }
    bed.turns(5 * MINUTE, 5);
    assert_eq!(phases(&bed).iter().filter(|phase| **phase == Phase::Ready).count(), 2, "{:?}", phases(&bed));
    mend(&mut bed);
    assert_eq!((phases(&bed), alive(&bed)), (vec![Phase::Ready; 3], 3));
    assert_eq!(bed.world().pending().count(), 0);
    gates::hold(&bed.world());
}

#[test]
fn while_machines_do_not_reach_the_gateway_no_node_is_blamed() {
    let mut bed = running(4, 5 * HOUR);
    apart(&bed);
    bed.world().closed = true;
    bed.turns(45 * MINUTE, 5);
    assert_eq!(phases(&bed), [Phase::Ready; 2]);
    bed.world().closed = false;
    mend(&mut bed);
    assert_eq!((phases(&bed), launches(&bed)), (vec![Phase::Ready; 2], 2));
}

#[test]
fn nodes_that_are_broken_go_one_after_the_other_and_one_that_comes_back_stays() {
    let mut bed = running(4, 5 * HOUR);
    apart(&bed);
    let broken = |bed: &Bed| {
        let world = bed.world();
        let is_broken = |why: &Option<Why>| *why == Some(Why::Broken);
        world.claims.values().filter(|(it, _)| it.phase == Phase::Draining && is_broken(&it.why)).count()
    };
    bed.world().pods.values_mut().for_each(|pod| pod.kept = true);
    bed.turns(29 * MINUTE, 5);
    assert_eq!(broken(&bed), 0);
    bed.turns(5 * MINUTE, 5);
    assert_eq!(broken(&bed), 1, "the second waits for the first");
    bed.world().faults.unready.clear();
    bed.turns(MINUTE, 5);
    assert_eq!((phases(&bed), launches(&bed)), (vec![Phase::Ready; 2], 2), "taken back");
    assert!(bed.world().nodes.values().all(|node| !node.cordoned));
    apart(&bed);
    let mut most = 0;
    for _ in 0..3 * 60 {
        bed.turns(MINUTE, 5);
        most = most.max(broken(&bed));
    }
    assert_eq!((most, phases(&bed), alive(&bed)), (1, vec![Phase::Ready; 2], 2), "both were replaced");
    gates::hold(&bed.world());
}

#[test]
fn a_node_is_broken_when_it_is_blamed_for_not_being_ready_for_half_an_hour() {
    let mut bed = running(2, 5 * HOUR);
    let ready = bed.world().claims.values().next().unwrap().0.clone();
    let now = bed.world().shown();
    let _ = bed.turn();
    let node = |is_ready: bool| NodeSeen {
        name: ready.name.clone(),
        provider_id: format!("aws:///a/{}", ready.instance().unwrap()),
        ready: is_ready,
        cordoned: true,
        pods: vec!["web/a".into()],
        notice: false,
        labelled: true,
    };
    let at = |minutes: u64| Time(now.0 + minutes * 60_000);
    let after = |is_ready: bool, blamed: bool, minutes: u64| {
        let mut claim = ready.clone();
        claim.unready_since = Some(now);
        let seen = Seen { node: Some(node(is_ready)), blamed, ..Seen::default() };
        let claim = next(&claim, &seen, &Limits::default(), at(minutes)).claim;
        (claim.phase, claim.why)
    };
    assert_eq!(after(false, true, 29), (Phase::Ready, None));
    assert_eq!(after(false, true, 30), (Phase::Draining, Some(Why::Broken)));
    assert_eq!(after(false, false, 300), (Phase::Ready, None), "nobody knows whose fault it is");
    assert_eq!(after(true, true, 300), (Phase::Ready, None));
}

#[test]
fn credentials_that_have_expired_for_an_hour_are_told_and_nothing_is_lost() {
    let mut bed = running(2, 5 * HOUR);
    bed.world().faults.expired = true;
    bed.add_pods(2, 5 * HOUR);
    let mut told = 0;
    for _ in 0..60 {
        for _ in 0..12 {
            bed.world().pass(5_000);
            let report = bed.turn().unwrap().unwrap();
            let says = |trouble: &String| trouble.contains("the credentials have expired");
            told += usize::from(report.troubles.iter().any(says));
        }
    }
    assert!(told >= 30, "{told} of 60 minutes: the status shows what was met in the last 90 s");
    assert_eq!((alive(&bed), launches(&bed)), (1, 1), "EC2 was asked for nothing new");
    bed.world().faults.expired = false;
    bed.turns(5 * MINUTE, 5);
    assert_eq!((phases(&bed), alive(&bed)), (vec![Phase::Ready; 2], 2));
    gates::hold(&bed.world());
}
