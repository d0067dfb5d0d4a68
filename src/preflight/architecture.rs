//! What processors the hosts have: artifacts are for one architecture, and so are the hosts of a cluster.

use indexmap::IndexMap;

use super::{
    Subject,
    finding::{Check, Finding},
};
use crate::facts::Facts;

const ARCHITECTURE: Check = Check {
    name: "architecture",
    checked: "the architecture of the processor",
    expected: "the same on all hosts",
};

const PROGRAMS: Check = Check {
    name: "artifact-architecture",
    checked: "what architecture the artifacts' programs are for",
    expected: "that of the processor",
};

/// Compares the hosts with the programs that they are sent, where that is known: as `uname -m` has it.
pub fn of_programs(programs: Option<&str>, facts: &IndexMap<String, Facts>) -> Vec<Finding> {
    let known = facts.iter().filter(|(_, facts)| !facts.architecture.is_empty());
    let judged = known.zip(programs.into_iter().cycle()).map(|((host, facts), programs)| {
        if facts.architecture == programs {
            return PROGRAMS.ok(host, programs);
        }
        PROGRAMS.error(
            host,
            format!("{programs}, and the processor is {}", facts.architecture),
            "take artifacts for these hosts: `artifacts` in the inventory says where they are (docs/artifacts.md)",
        )
    });
    judged.collect()
}

/// Compares the hosts with those that are nodes already, or else with most of them; the first counts where as many have
/// another.
pub fn same(hosts: &[Subject]) -> Vec<Finding> {
    let known: Vec<&Subject> = hosts.iter().filter(|host| !host.facts.architecture.is_empty()).collect();
    let nodes: Vec<&Subject> = known.iter().copied().filter(|host| host.facts.kubernetes.joined).collect();
    let models = if nodes.is_empty() { &known } else { &nodes };
    let like = |one: &Subject| {
        models.iter().filter(|host| host.facts.architecture == one.facts.architecture).count()
    };
    // Of several that are as many, `max_by_key` takes the last.
    let Some(usual) = models.iter().rev().max_by_key(|host| like(host)) else { return Vec::new() };
    let judged = known.iter().map(|host| match host.facts.architecture.as_str() {
        own if own == usual.facts.architecture => ARCHITECTURE.ok(host.name, own),
        own => ARCHITECTURE.error(
            host.name,
            format!("{own}, and {} has {}", usual.name, usual.facts.architecture),
            "programs and images for the one do not run on the other: give the cluster hosts of one architecture \
             (docs/artifacts.md)",
        ),
    });
    judged.collect()
}
