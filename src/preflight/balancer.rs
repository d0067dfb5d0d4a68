//! The balancer before API servers.

use super::{
    Subject,
    finding::{Check, Finding},
};
use crate::inventory::Inventory;

const HAPROXY: Check = Check {
    name: "haproxy",
    checked: "the release of haproxy that the distribution has",
    expected: "2.0 or newer, where `cluster.endpoint` has `vip` or `local`",
};

/// Release 8 of Red Hat and its rebuilds has haproxy 1.8, which does not know the half of the balancer's configuration.
pub fn haproxy(inventory: &Inventory, host: &Subject) -> Option<Finding> {
    let os = &host.facts.os;
    let release = os.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if !inventory.balances(host.host) {
        return None;
    }
    Some(match release {
        Some(..=8) if os.family == "redhat" => HAPROXY.error(
            host.name,
            format!("1.8 or older, of {}", os.name),
            "install release 9 or newer of the distribution on it; or put a balancer of your own before the API servers and \
             name it in `cluster.endpoint.address`",
        ),
        _ => HAPROXY.ok(host.name, os.name.clone()),
    })
}
