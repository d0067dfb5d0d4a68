//! What tests of one fault at a time have in common.

use std::time::Duration;

use hoist::burst::claim::Phase;

use super::{gates, sim::Bed};

pub const HOUR: Duration = Duration::from_secs(3600);

/// A world in which these pods have got their nodes.
pub fn running(pods: usize, lasts: Duration) -> Bed {
    let mut bed = Bed::new(1);
    bed.add_pods(pods, lasts);
    bed.turns(120, 1);
    assert_eq!(bed.world().pending().count(), 0);
    bed
}

pub fn launches(bed: &Bed) -> usize {
    bed.world().calls.get("launch").map_or(0, Vec::len)
}

pub fn alive(bed: &Bed) -> usize {
    bed.world().alive().count()
}

/// # Panics
/// There are none, or two.
pub fn one_instance(bed: &Bed, place: u32) {
    let world = bed.world();
    if world.machines.len() != 1 {
        gates::fail(&world, &format!("place {place}: {} instances", world.machines.len()));
    }
}

pub fn phases(bed: &Bed) -> Vec<Phase> {
    bed.world().claims.values().map(|(claim, _)| claim.phase).collect()
}

pub fn kinds(bed: &Bed) -> Vec<bool> {
    bed.world().alive().map(|(_, machine)| machine.spot).collect()
}
