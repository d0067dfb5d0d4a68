//! How many connections a node keeps track of.

use super::{
    Subject,
    finding::{Check, Finding},
    is_node,
    survey::Survey,
};
use crate::inventory::{Inventory, KubeadmAddon};

const TRACKED: Check = Check {
    name: "conntrack",
    checked: "how many connections the kernel keeps track of (nf_conntrack_max)",
    expected: "as many as kube-proxy would ask for: 32768 a processor, and at least 131072",
};

/// What kube-proxy sets by default (`conntrack.min` and `conntrack.maxPerCore` of its configuration).
const LEAST: u64 = 131_072;
const PER_PROCESSOR: u64 = 32_768;

/// For hosts that will be nodes. Beyond the limit new connections are dropped, with a line in the kernel's log that
/// nobody reads.
pub fn from_survey(inventory: &Inventory, host: &Subject, survey: &Survey) -> Option<Finding> {
    if !is_node(host.host) || host.facts.cpus == 0 {
        return None;
    }
    let needed = LEAST.max(PER_PROCESSOR * u64::from(host.facts.cpus));
    let proxy = !inventory.skipped_addons().contains(&KubeadmAddon::KubeProxy);
    let told = inventory.cluster.kube_proxy.contains_key("conntrack");
    let finding = match survey.conntrack {
        // In a container it may not.
        _ if proxy && !host.facts.container => {
            TRACKED.ok(host.name, if told { "as `cluster.kube_proxy` has it" } else { "kube-proxy sets it" })
        }
        None => TRACKED.skipped(host.name, "the kernel keeps track of none yet"),
        Some(limit) if limit >= needed => TRACKED.ok(host.name, limit.to_string()),
        Some(limit) => {
            let place = if host.facts.container { "on the machine that the container runs on: " } else { "" };
            let fix = format!(
                "{place}`net.netfilter.nf_conntrack_max = {needed}` in /etc/sysctl.d/90-conntrack.conf, `nf_conntrack` in \
                 /etc/modules-load.d/conntrack.conf, then `sysctl --system`"
            );
            TRACKED.warning(host.name, limit.to_string(), fix)
        }
    };
    Some(finding.expecting(format!("at least {needed}, as kube-proxy would have it")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{
        Severity::{Ok, Skipped, Warning},
        tests::Fleet,
    };

    #[test]
    fn who_sets_it_and_how_much_is_enough() {
        for (limit, cpus, proxy, container, severity) in [
            (Some(65_536), 4, true, false, Ok),
            (Some(65_536), 4, false, false, Warning),
            (Some(131_072), 4, false, false, Ok),
            (Some(131_072), 8, false, false, Warning),
            (Some(262_144), 8, false, false, Ok),
            (None, 8, false, false, Skipped),
            (Some(65_536), 4, true, true, Warning),
            (Some(262_144), 4, true, true, Ok),
        ] {
            let mut fleet = Fleet::three();
            fleet.survey("w1").conntrack = limit;
            fleet.facts("w1").cpus = cpus;
            fleet.facts("w1").container = container;
            if !proxy {
                fleet.inventory.cluster.skip_addons.push(KubeadmAddon::KubeProxy);
            }
            let hosts = fleet.subjects();
            let finding = from_survey(&fleet.inventory, &hosts[1], hosts[1].survey.unwrap()).unwrap();
            assert_eq!(finding.severity, severity, "{limit:?} {cpus} {proxy} {container}");
        }
    }
}
