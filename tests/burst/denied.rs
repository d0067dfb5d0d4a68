//! Credentials that lack one action, whichever it is.

use std::{collections::BTreeSet, time::Duration};

use super::{gates, sim::Bed};

/// As the simulation calls it, and EC2.
const ORDERS: [(&str, &str); 6] = [
    ("launch", "RunInstances"),
    ("describe", "DescribeInstances"),
    ("leftovers", "DescribeVolumes"),
    ("terminate", "TerminateInstances"),
    ("delete", "DeleteVolume"),
    ("console", "GetConsoleOutput"),
];

/// An hour of turns; what somebody should know of it.
fn hour(bed: &mut Bed) -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    for _ in 0..720 {
        bed.world().pass(5_000);
        let report = bed.turn().unwrap().unwrap();
        told.extend(report.troubles.into_iter().chain(report.held_back));
        gates::hold(&bed.world());
    }
    told
}

#[test]
fn it_is_named_and_asked_for_rarely_and_nothing_is_lost() {
    for (name, action) in ORDERS {
        let mut bed = Bed::new(1);
        bed.world().faults.leak = 100;
        bed.add_pods(2, Duration::from_secs(1800));
        if name != "launch" {
            bed.turns(120, 1);
        }
        bed.world().calls.clear();
        bed.world().faults.denied.insert(name);
        if name == "console" {
            // It is asked of nodes that do not join.
            bed.world().faults.no_join = 100;
        }
        bed.add_pods(2, Duration::from_secs(1800));
        let told = hour(&mut bed);
        let named = format!("EC2 refused {action}: UnauthorizedOperation");
        assert!(told.iter().any(|line| line.contains(&named)), "{name}: {told:#?}");
        let calls = bed.world().calls.get(name).map_or(0, Vec::len);
        assert!((1..=400).contains(&calls), "{name} was asked for {calls} times in an hour");
        gates::calls_are_bounded(&bed.world());

        bed.world().faults.denied.clear();
        bed.world().faults.no_join = 0;
        bed.settings.configuration = "2".into();
        bed.killed_turn(0);
        bed.world().pods.clear();
        bed.turns(2400, 5);
        gates::nothing_is_left(&bed.world());
    }
}
