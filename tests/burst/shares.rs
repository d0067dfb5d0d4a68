//! How long hoist itself takes to give a node back, with EC2's own time taken off.

use std::time::Duration;

use hoist::burst::cloud::State;

use super::play::{MINUTE, Play};

/// Seconds from the decision to give it back until nothing is left of it: a cordon, a look that shows that it is empty, the order
/// to EC2, and a look that shows that EC2 has ended it.
const MOST: f64 = 10.0;

#[test]
fn a_node_that_is_not_needed_is_gone_ten_seconds_after_the_decision_beside_ec2s_own_time() {
    for seed in 200..230 {
        let play = Play::new(seed);
        play.bed.add_pods(2, Duration::from_secs(5 * MINUTE));
        play.run(20 * MINUTE);
        let world = play.bed.world();
        let at = |what: &str| -> f64 {
            let line = world.trace.iter().find(|line| line.contains(what)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        let machine = world.machines.values().next().unwrap();
        let since = |state: State| machine.history.iter().find(|(_, it, _)| *it == state).unwrap().0;
        let ec2 = (since(State::Terminated) - since(State::ShuttingDown)) as f64 / 1000.0;
        let own = at("Terminating -> Gone") - at("Ready -> Draining Empty") - ec2;
        assert!(own < MOST, "seed {seed}: {own:.1} s, and {ec2:.1} s of EC2's");
    }
}
