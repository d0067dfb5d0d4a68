//! One event in the life of a node at a time, and what exactly has to come of it.

use std::{
    collections::BTreeSet,
    task::{Context, Poll, Waker},
    time::Duration,
};

use hoist::burst::{
    claim::{Phase, Why},
    controller::{Decision, Wanted},
    offer::Money,
    quota::Bucket,
    time::Time,
};

use super::{
    cases::{HOUR, alive, launches, phases, running},
    gates,
    sim::{
        Bed,
        bed::{now, offers},
        world::{Disk, Machine, Pod, START, World},
    },
};

#[test]
fn four_pods_get_two_nodes_and_an_empty_node_is_given_back() {
    let mut bed = running(4, Duration::from_secs(600));
    assert_eq!(launches(&bed), 2, "exactly as many as needed");
    assert_eq!(phases(&bed), [Phase::Ready, Phase::Ready]);
    assert!(bed.world().join_tokens.is_empty(), "a token is of no use after its node is ready");
    bed.turns(1200, 5);
    gates::nothing_is_left(&bed.world());
    assert_eq!(launches(&bed), 2);
}

#[test]
fn nothing_to_do_changes_nothing() {
    let mut bed = running(2, 5 * HOUR);
    let version = bed.world().version;
    let launches = launches(&bed);
    let before = bed.world().claims.clone();
    bed.turns(600, 5);
    assert_eq!(bed.world().claims, before);
    assert_eq!(super::cases::launches(&bed), launches);
    assert_eq!(bed.world().version - version, 2 * 120, "nothing but the lease, twice a turn");
}

#[test]
fn a_spot_notice_drains_within_two_minutes_and_is_replaced_at_once() {
    let mut bed = running(2, 5 * HOUR);
    let (id, noticed) = {
        let mut world = bed.world();
        for pod in world.pods.values_mut() {
            pod.kept = true;
        }
        let now = world.now;
        let (id, machine) = world.machines.iter_mut().next().unwrap();
        machine.notice_at = Some(now);
        (id.clone(), now)
    };
    bed.turns(1, 1);
    assert_eq!(bed.world().machines.len(), 2, "replaced in the same turn");
    bed.turns(119, 1);
    let world = bed.world();
    let ended = world.machines[&id].history.iter().find(|(_, state, _)| state.is_ending()).unwrap();
    assert!(ended.0 - noticed < 120_000, "{} s", (ended.0 - noticed) / 1000);
    assert_eq!(ended.1, hoist::burst::cloud::State::ShuttingDown, "drained and given back, not taken");
    assert_eq!((world.pending().count(), world.machines.len()), (0, 2));
}

#[test]
fn nodes_that_do_not_join_keep_their_console_and_break_the_circuit() {
    let mut bed = Bed::new(1);
    bed.world().faults.no_join = 100;
    bed.add_pods(2, 5 * HOUR);
    bed.turns(3600, 5);
    let launches_in_an_hour = launches(&bed);
    // Three of 6 minutes and some, then pauses of 5 and 10 minutes with one try after each.
    assert!((4..=6).contains(&launches_in_an_hour), "{launches_in_an_hour}");
    assert!(bed.world().consoles.len() >= 3);
    bed.world().faults.no_join = 0;
    bed.turns(3600, 5);
    assert_eq!(phases(&bed), [Phase::Ready]);
}

#[test]
fn an_instance_that_is_hidden_for_a_moment_is_not_lost() {
    let mut bed = running(2, 5 * HOUR);
    let hide = |bed: &Bed, seconds: u64| {
        let until = bed.world().now + seconds * 1000;
        bed.world().machines.values_mut().for_each(|machine| machine.hidden_until = until);
    };
    hide(&bed, 50);
    bed.turns(300, 5);
    assert_eq!((phases(&bed), launches(&bed)), (vec![Phase::Ready], 1));
    hide(&bed, 400);
    bed.turns(300, 5);
    let lost = bed.world().claims.values().find(|(claim, _)| claim.why == Some(Why::Lost)).cloned();
    assert_eq!(lost.unwrap().0.phase, Phase::Terminating, "not gone: EC2 has not said so");
    assert_eq!(bed.world().nodes.len(), 1, "its Node is deleted, another took its place");
    bed.turns(300, 5);
    assert_eq!(alive(&bed), 1, "it came back and was terminated");
    gates::hold(&bed.world());
}

#[test]
fn a_node_that_somebody_deletes_is_lost_after_a_minute() {
    let deleted = |seconds: u64| {
        let mut bed = running(2, 5 * HOUR);
        let name = bed.world().claims.keys().next().unwrap().clone();
        // A kubelet makes its Node once.
        bed.world().machines.values_mut().for_each(|machine| machine.joins_at = None);
        let nodes = std::mem::take(&mut bed.world().nodes);
        bed.turns(seconds, 5);
        (bed, name, nodes)
    };
    let claim = |bed: &Bed, name: &str| bed.world().claims[name].0.clone();
    let (mut bed, name, nodes) = deleted(60);
    assert_eq!(claim(&bed, &name).phase, Phase::Ready, "missed for 55 s");
    bed.world().nodes.extend(nodes);
    bed.turns(60, 5);
    let kept = claim(&bed, &name);
    assert_eq!((kept.phase, kept.nodeless_since), (Phase::Ready, None), "it came back");
    let (mut bed, name, _) = deleted(65);
    let lost = claim(&bed, &name);
    assert_eq!((lost.phase, lost.why), (Phase::Terminating, Some(Why::Deleted)));
    bed.turns(600, 5);
    assert_eq!((alive(&bed), bed.world().pending().count()), (1, 0), "another has its pods");
    gates::hold(&bed.world());
}

#[test]
fn a_node_that_loses_its_label_gets_it_back_and_stays() {
    let mut bed = running(2, 5 * HOUR);
    bed.world().nodes.values_mut().for_each(|node| node.labelled = false);
    bed.turns(5, 5);
    assert!(bed.world().nodes.values().all(|node| node.labelled));
    bed.turns(300, 5);
    assert_eq!((phases(&bed), launches(&bed)), (vec![Phase::Ready], 1));
    // Nor does a Node without it stay behind.
    bed.world().pods.clear();
    for _ in 0..120 {
        bed.world().nodes.values_mut().for_each(|node| node.labelled = false);
        bed.turns(5, 5);
    }
    gates::nothing_is_left(&bed.world());
}

/// A pod without a controller that is evicted is lost.
#[test]
fn a_pod_that_comes_between_the_look_and_the_cordon_of_an_empty_node_stays_there() {
    let mut bed = running(2, Duration::from_secs(300));
    let name = bed.world().nodes.keys().next().unwrap().clone();
    let mut came = false;
    for _ in 0..200 {
        bed.world().pass(5_000);
        let view = now(bed.controller().look()).unwrap().unwrap();
        let time = bed.world().shown();
        let idle = bed.world().claims[&name].0.idle_since;
        came = idle.is_some_and(|idle| time.since(idle) >= Duration::from_secs(300));
        if came {
            let (node, ends) = (Some(name.clone()), u64::MAX);
            let pod = Pod { node, ends, kept: false, refused: false, leaving_at: None };
            bed.world().pods.insert("default/bare".to_owned(), pod);
        }
        now(bed.controller().carry_out(view, &Decision::default())).unwrap();
        if came {
            break;
        }
    }
    assert!(came && bed.world().nodes[&name].cordoned, "it was cordoned as an empty one");
    for _ in 0..30 {
        bed.turns(2, 2);
        let world = bed.world();
        let pod = &world.pods["default/bare"];
        assert_eq!((pod.node.as_ref(), pod.leaving_at), (Some(&name), None));
    }
    assert!(!bed.world().nodes[&name].cordoned);
    assert_eq!((phases(&bed), launches(&bed)), (vec![Phase::Ready], 1));
    bed.world().pods.clear();
    bed.turns(600, 5);
    gates::nothing_is_left(&bed.world());
}

#[test]
fn what_has_no_claim_is_collected_and_leaks_are_deleted() {
    let mut bed = running(2, 5 * HOUR);
    {
        let mut world = bed.world();
        let now = world.now;
        let mut instance = world.machines.values().next().unwrap().instance.clone();
        (instance.id, instance.claim) = ("i-orphan".into(), None);
        (instance.client_token, instance.launched) = ("x".into(), Time(now));
        let history = vec![(now, hoist::burst::cloud::State::Running, None)];
        let (zone, spot) = ("a".to_owned(), false);
        let orphan = Machine {
            instance,
            interface: None,
            zone,
            spot,
            bucket: Bucket::Standard,
            history,
            hidden_until: 0,
            joins_at: None,
            notice_at: None,
        };
        world.machines.insert("i-orphan".into(), orphan);
        let disk =
            Disk { claim: None, machine: Some("i-orphan".into()), is_volume: true, leaks: true, free: false };
        world.disks.insert("vol-orphan".into(), disk);
    }
    bed.turns(280, 5);
    assert_eq!(alive(&bed), 2, "not before five minutes");
    bed.turns(120, 5);
    assert_eq!(alive(&bed), 1);
    bed.turns(600, 5);
    assert!(!bed.world().disks.contains_key("vol-orphan"));
    assert_eq!(alive(&bed), 1, "what has a claim stays");
}

#[test]
fn a_node_whose_claim_somebody_has_deleted_goes_after_its_instance() {
    let mut bed = running(2, 5 * HOUR);
    let name = bed.world().claims.keys().next().unwrap().clone();
    // As with the namespace.
    bed.world().claims.clear();
    bed.turns(280, 5);
    assert!(bed.world().nodes.contains_key(&name), "its instance runs");
    bed.turns(600, 5);
    let world = bed.world();
    assert!(!world.nodes.contains_key(&name));
    assert_eq!((world.pending().count(), world.alive().count()), (0, 1), "another has its pods");
}

#[test]
fn caps_hold_and_the_money_of_a_month_is_a_hard_stop() {
    let mut bed = Bed::new(1);
    bed.settings.caps.nodes = 3;
    bed.settings.caps.monthly = Some(Money(200_000));
    bed.killed_turn(0);
    bed.add_pods(20, 5 * HOUR);
    bed.turns(600, 5);
    assert_eq!((alive(&bed), launches(&bed)), (3, 3));
    // Three times 0.03 $ an hour: 0.2 $ are spent after 133 minutes, and they begin to go 35 minutes before.
    bed.turns(80 * 60, 5);
    assert_eq!((alive(&bed), phases(&bed)), (3, vec![Phase::Ready; 3]));
    // What was set aside for their end pays for one more hour of one.
    bed.turns(120 * 60, 5);
    assert!((3..=4).contains(&launches(&bed)), "{}", launches(&bed));
    gates::nothing_is_left(&bed.world());
    let total = bed.world().book.0.spent.total(&[], Time(START));
    assert!((140_000..200_000).contains(&total.0), "{total}");
}

#[test]
fn a_person_removes_one_node_and_no_more() {
    let mut bed = running(4, 5 * HOUR);
    let name = bed.world().claims.keys().next().unwrap().clone();
    let removed = BTreeSet::from([name.clone()]);
    let decision = Decision { removed, ..Decision::default() };
    for _ in 0..300 {
        bed.world().pass(5_000);
        let controller = bed.controller();
        let view = now(controller.look()).unwrap().unwrap();
        now(controller.carry_out(view, &decision)).unwrap();
    }
    assert!(!bed.world().claims.contains_key(&name));
    assert_eq!(phases(&bed), [Phase::Ready]);
}

#[test]
fn a_node_that_is_a_day_old_is_replaced_before_it_is_drained() {
    let mut bed = running(2, 100 * HOUR);
    bed.turns(24 * 3600 - 300, 60);
    assert_eq!(launches(&bed), 1);
    bed.turns(1500, 5);
    assert_eq!(launches(&bed), 2);
    assert_eq!((phases(&bed), bed.world().pending().count()), (vec![Phase::Ready], 0));
    assert_eq!(bed.world().alive().next().map(|(id, _)| id.clone()), Some("i-0002".into()));
}

#[test]
fn a_node_keeps_the_lifetime_that_it_was_launched_with() {
    let mut bed = running(2, 100 * HOUR);
    bed.settings.policy.maximum_life = 72 * HOUR;
    bed.killed_turn(0);
    bed.turns(24 * 3600 + 1200, 60);
    assert_eq!((launches(&bed), alive(&bed), bed.world().pending().count()), (2, 1, 0));
    let lifetimes: Vec<_> = bed.world().claims.values().map(|(claim, _)| claim.lifetime).collect();
    assert_eq!(lifetimes, [Some(72 * HOUR)]);
}

#[test]
fn old_nodes_are_all_drained_before_they_end_themselves_though_ec2_has_no_others() {
    let mut bed = running(12, 100 * HOUR);
    bed.world().faults.short.extend(["Spot", "OnDemand"].map(str::to_owned));
    bed.world().pods.values_mut().for_each(|pod| pod.kept = true);
    bed.turns(24 * 3600 - 300, 60);
    assert_eq!(alive(&bed), 6);
    bed.turns(2 * 3600, 30);
    assert_eq!(alive(&bed), 0, "at 26 hours");
}

#[test]
fn the_office_line_is_cut_for_an_hour() {
    let mut bed = running(4, 5 * HOUR);
    bed.world().faults.denied = ["launch", "describe", "leftovers", "terminate"].into();
    bed.turns(3600, 5);
    bed.world().faults.denied.clear();
    bed.turns(300, 5);
    assert_eq!((phases(&bed), launches(&bed)), (vec![Phase::Ready; 2], 2), "nothing was judged blindly");
}

/// Another takes or renews the lease.
fn another_leads(world: &mut World) {
    let now = world.shown();
    let (record, version) = world.lease.as_mut().unwrap();
    (record.holder, record.renewed, *version) = (Some("another".into()), now, *version + 1);
}

#[test]
fn who_has_lost_the_lead_since_the_look_writes_no_claim() {
    for lost in [false, true] {
        let mut bed = Bed::new(9);
        let wanted = vec![Wanted { offers: offers(), pods: vec!["default/p1".into()] }];
        let decision = Decision { wanted, ..Decision::default() };
        let view = now(bed.controller().look()).unwrap().unwrap();
        now(bed.controller().carry_out(view, &decision)).unwrap();
        bed.world().pass(3_000);
        assert!(bed.world().claims.is_empty(), "more pods may come");
        let view = now(bed.controller().look()).unwrap().unwrap();
        // What is between the two takes long.
        bed.world().pass(16_000);
        if lost {
            another_leads(&mut bed.world());
        }
        let report = now(bed.controller().carry_out(view, &decision)).unwrap();
        assert_eq!((report.planned.is_empty(), bed.world().claims.is_empty()), (lost, lost));
    }
}

#[test]
fn who_loses_the_lead_while_something_is_deleted_deletes_nothing_more() {
    let mut bed = Bed::new(10);
    bed.world().faults.stalls.insert("delete");
    for name in ["vol-1", "vol-2", "vol-3"] {
        let disk = Disk { claim: None, machine: None, is_volume: true, leaks: true, free: true };
        bed.world().disks.insert(name.into(), disk);
    }
    let (world, decision) = (bed.world.clone(), Decision::default());
    for _ in 0..100 {
        world.lock().unwrap().pass(10_000);
        let view = now(bed.controller().look()).unwrap().unwrap();
        let mut turn = Box::pin(bed.controller().carry_out(view, &decision));
        let mut waited = false;
        let report = loop {
            match turn.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(report) => break report.unwrap(),
                Poll::Pending => another_leads(&mut world.lock().unwrap()),
            }
            waited = true;
        };
        if waited {
            let deleted = world.lock().unwrap().calls["delete"].len();
            assert_eq!((deleted, report.collected), (1, vec!["vol-1".to_owned()]));
            return;
        }
    }
    panic!("nothing is ever deleted");
}
