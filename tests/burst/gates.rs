//! What has to hold in every world at any time, and at the end.

use std::collections::BTreeMap;

use hoist::burst::{claim::Phase, gateway};

use super::sim::{World, world::Machine};

/// The most that any minute may see of one kind of call.
const PER_MINUTE: &[(&str, usize)] = &[
    ("launch", 60),
    ("describe", 60),
    ("leftovers", 40),
    ("terminate", 60),
    ("delete", 60),
    ("console", 20),
];

/// # Panics
/// A rule is broken: says which, and prints the trace of the run.
pub fn hold(world: &World) {
    for (id, machine) in world.alive() {
        let claim = machine.instance.claim.as_deref().unwrap_or("");
        if !world.claims.contains_key(claim) && claim != gateway::NAME {
            fail(world, &format!("{id} runs, and its claim {claim:?} is gone"));
        }
    }
    let mut of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, machine) in world.alive() {
        of.entry(machine.instance.claim.as_deref().unwrap_or("")).or_default().push(id);
    }
    if let Some((claim, ids)) = of.iter().find(|(_, ids)| ids.len() > 1) {
        fail(world, &format!("{claim} has {ids:?} at the same time"));
    }
    let is_worker = |(_, it): &(&String, &Machine)| it.instance.claim.as_deref() != Some(gateway::NAME);
    if world.alive().filter(is_worker).count() > 10 {
        fail(world, "more nodes than the cap");
    }
    if world.mismatches > 0 {
        fail(world, "a launch was repeated with other bytes");
    }
}

/// Whether every claim is ready on an instance of its own, and no other instance of a worker runs: so in each world that is left
/// in peace while pods need nodes.
pub fn instances_equal_claims(world: &World) -> bool {
    let claims = world.alive().filter_map(|(_, machine)| machine.instance.claim.as_ref());
    let mut claims: Vec<&String> = claims.filter(|claim| *claim != gateway::NAME).collect();
    claims.sort();
    let all_ready = world.claims.values().all(|(claim, _)| claim.phase == Phase::Ready);
    all_ready && claims == world.claims.keys().collect::<Vec<_>>()
}

/// At the end: no call was repeated without measure.
pub fn calls_are_bounded(world: &World) {
    for (name, most) in PER_MINUTE {
        let calls = world.calls.get(name).map(Vec::as_slice).unwrap_or_default();
        let busiest = calls.windows(most + 1).find(|window| window[*most] - window[0] < 60_000);
        if busiest.is_some() {
            fail(world, &format!("more than {most} calls of {name} in a minute"));
        }
    }
}

/// At the end: nothing is left anywhere.
pub fn nothing_is_left(world: &World) {
    let alive: Vec<&String> = world.alive().map(|(id, _)| id).collect();
    let claims: Vec<_> =
        world.claims.values().map(|(claim, _)| (&claim.name, claim.phase, &claim.why)).collect();
    let disks: Vec<&String> = world.disks.keys().collect();
    let nodes: Vec<&String> = world.nodes.keys().collect();
    let tokens: Vec<&String> = world.join_tokens.keys().collect();
    let left = !alive.is_empty() || !claims.is_empty() || !disks.is_empty();
    if left || !nodes.is_empty() || !tokens.is_empty() {
        fail(world, &format!("left: {alive:?} {claims:?} {disks:?} {nodes:?} {tokens:?}"));
    }
}

pub fn fail(world: &World, rule: &str) -> ! {
    let trace = world.trace.join("\n");
    panic!("seed {}: {rule}\n{trace}", world.seed)
}
