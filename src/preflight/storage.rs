//! What volumes need of the hosts that keep them.

use super::{
    Subject,
    finding::{Check, Finding},
    survey::Survey,
};
use crate::inventory::{Inventory, Role};

const VOLUMES: Check = Check {
    name: "iscsi",
    checked: "whether volumes can be attached over iSCSI",
    expected: "the module iscsi_tcp, and no multipathd that takes the devices",
};

/// The kernel module that attaches volumes.
pub const ISCSI: &str = "iscsi_tcp";

/// For every node where Longhorn is asked for, because volumes are attached where pods are, and for hosts that keep
/// volumes.
pub fn from_survey(inventory: &Inventory, host: &Subject, survey: &Survey) -> Option<Finding> {
    let longhorn = inventory.addons.longhorn.is_some();
    let attaches = longhorn && host.host.has(Role::Worker);
    if !(attaches || host.host.has(Role::Storage)) {
        return None;
    }
    let Some((_, module)) = survey.modules.iter().find(|(name, _)| name == ISCSI) else {
        return Some(VOLUMES.skipped(host.name, "the host did not tell"));
    };
    if !module {
        let (observed, fix) = (
            "there is no module iscsi_tcp",
            "install the modules of the running kernel (Ubuntu: linux-modules-extra-$(uname -r)); a container cannot have \
             volumes over iSCSI",
        );
        return Some(match longhorn {
            true => VOLUMES.error(host.name, observed, fix),
            false => VOLUMES.warning(host.name, observed, fix),
        });
    }
    if survey.is_active("multipathd") && !survey.blacklist {
        return Some(VOLUMES.warning(
            host.name,
            "multipathd runs, and no blacklist keeps it from the devices of volumes",
            "`blacklist { devnode \"^sd[a-z0-9]+\" }` in /etc/multipath.conf, then `systemctl restart multipathd`; or \
             `systemctl disable --now multipathd` where nothing needs it",
        ));
    }
    Some(VOLUMES.ok(host.name, if survey.iscsi.is_empty() { "iscsi_tcp" } else { &survey.iscsi }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{
        Severity::{self, Error, Ok, Skipped, Warning},
        tests::Fleet,
    };

    fn say(change: impl FnOnce(&mut Fleet)) -> Option<Severity> {
        let mut fleet = Fleet::three();
        fleet.inventory.hosts["w1"].roles.push(Role::Storage);
        change(&mut fleet);
        let hosts = fleet.subjects();
        from_survey(&fleet.inventory, &hosts[1], hosts[1].survey.unwrap()).map(|finding| finding.severity)
    }

    fn without_module(fleet: &mut Fleet) {
        let modules = &mut fleet.survey("w1").modules;
        modules.iter_mut().filter(|(name, _)| name == ISCSI).for_each(|(_, there)| *there = false);
    }

    #[test]
    fn hosts_that_keep_volumes() {
        assert_eq!(say(|_| {}), Some(Ok));
        assert_eq!(say(without_module), Some(Warning));
        let longhorn = |fleet: &mut Fleet| {
            without_module(fleet);
            fleet.inventory.addons.longhorn = Some(Default::default());
        };
        assert_eq!(say(longhorn), Some(Error));
        assert_eq!(say(|fleet| fleet.survey("w1").modules.clear()), Some(Skipped));
        let multipath = |fleet: &mut Fleet| fleet.survey("w1").active = Some(vec!["multipathd".into()]);
        assert_eq!(say(multipath), Some(Warning));
        let told = |fleet: &mut Fleet| {
            multipath(fleet);
            fleet.survey("w1").blacklist = true;
        };
        assert_eq!(say(told), Some(Ok));
        assert_eq!(say(|fleet| fleet.inventory.hosts["w1"].roles = vec![Role::Worker]), None);
    }
}
