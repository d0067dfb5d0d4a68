//! Hosts that were copied from one another and still think that they are the same machine.

use indexmap::IndexMap;

use super::{
    Subject,
    finding::{Check, Finding},
};

/// An identity that no two hosts may share.
struct Identity {
    check: Check,
    /// What a host has of it; nothing when it has none.
    of: fn(&Subject) -> Vec<String>,
    /// Whether a shared one breaks an installation.
    fatal: bool,
    fix: &'static str,
}

const OWN: &str = "different on every host";

/// kubeadm's documentation asks for unique product UUIDs and MAC addresses; the others are what VMware's templates
/// and disk images copy.
const FROM_FACTS: [Identity; 4] = [
    Identity {
        check: Check {
            name: "clone-product-uuid",
            checked: "the product UUID of the hardware",
            expected: OWN,
        },
        // Containers see that of the machine they share.
        of: |host| {
            if host.facts.container { Vec::new() } else { vec![host.facts.hardware.uuid.clone()] }
        },
        // Whole series of cheap boards have the same one, and nobody can change it.
        fatal: false,
        fix: "give all but one a new UUID. vSphere: power the machine off, then \
              `govc vm.change -vm NAME -e uuid.action=create` (or delete `uuid.bios` from its .vmx), and power it on; \
              libvirt: a new <uuid>, or `virt-clone`",
    },
    Identity {
        check: Check { name: "clone-machine-id", checked: "/etc/machine-id", expected: OWN },
        of: |host| vec![host.facts.machine_id.clone()],
        fatal: true,
        fix: "`hoist preflight --repair` gives all but one another; by hand, on these: `rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup`, then reboot. \
              systemd-networkd and NetworkManager tell DHCP servers who they are by it: two of one are given one address, \
              and with a new one the address may change",
    },
    Identity {
        check: Check {
            name: "clone-mac",
            checked: "the MAC addresses of the network interfaces",
            expected: OWN,
        },
        of: macs,
        fatal: true,
        fix: "give all but one a new MAC address. vSphere: remove the network adapter and add it again; check also for a \
              fixed address in /etc/systemd/network, /etc/netplan or the interface's profile",
    },
    Identity {
        check: Check { name: "clone-hostname", checked: "the host name that is set", expected: OWN },
        of: |host| vec![host.facts.hostname.clone()],
        fatal: false,
        fix: "on each: `hostnamectl set-hostname NAME`, with its name in the inventory",
    },
];

const FROM_SURVEY: [Identity; 4] = [
    Identity {
        check: Check {
            name: "clone-ssh-host-key",
            checked: "the host keys of the SSH server",
            expected: OWN,
        },
        of: |host| host.survey.map(|survey| survey.ssh_host_keys.clone()).unwrap_or_default(),
        fatal: false,
        fix: "whoever has one of them can pose as the others. On all but one: `rm /etc/ssh/ssh_host_*`, then `ssh-keygen -A` \
              and `systemctl restart ssh` (or sshd); then `hoist trust` after removing the old key from known_hosts",
    },
    Identity {
        check: Check { name: "clone-iscsi", checked: "the iSCSI initiator name", expected: OWN },
        of: |host| host.survey.map(|survey| vec![survey.iscsi.clone()]).unwrap_or_default(),
        fatal: false,
        fix: "two initiators of one name corrupt shared volumes. `hoist preflight --repair` gives all but one another; or there: \
              `echo InitiatorName=$(iscsi-iname) > /etc/iscsi/initiatorname.iscsi && systemctl restart iscsid`",
    },
    Identity {
        check: Check { name: "clone-nvme", checked: "the NVMe host name (hostnqn)", expected: OWN },
        of: |host| host.survey.map(|survey| vec![survey.nvme.clone()]).unwrap_or_default(),
        fatal: false,
        fix: "`hoist preflight --repair` gives all but one another; or there: `nvme gen-hostnqn > /etc/nvme/hostnqn` and `uuidgen > /etc/nvme/hostid`",
    },
    Identity {
        check: Check {
            name: "clone-dhcp",
            checked: "the DUID by which DHCP servers know the host, of dhclient or dhcpcd",
            expected: OWN,
        },
        of: |host| host.survey.map(|survey| survey.dhcp.clone()).unwrap_or_default(),
        fatal: false,
        fix: "a DHCP server takes them for one machine and gives them one address. On all but one: stop the network, \
              `rm -f /var/lib/dhcp/*.leases /var/lib/dhclient/*.leases` (dhcpcd: `rm -f /var/lib/dhcpcd/duid`), and reboot. \
              systemd-networkd and NetworkManager make theirs of /etc/machine-id",
    },
];

/// The MACs of the hardware, and of the interface by which the other hosts know it. Bridges and the like are left
/// out: Docker's has the same address everywhere.
fn macs(host: &Subject) -> Vec<String> {
    let known = host.facts.interface_of(host.host.address.into());
    let all = host.facts.interfaces.iter();
    all.filter(|interface| interface.hardware || known.is_some_and(|known| known.name == interface.name))
        .map(|interface| interface.mac.clone())
        .collect()
}

/// What facts tell.
pub fn from_facts(hosts: &[Subject]) -> Vec<Finding> {
    compare(hosts, &FROM_FACTS)
}

/// What only the survey tells.
pub fn from_surveys(hosts: &[Subject]) -> Vec<Finding> {
    compare(hosts, &FROM_SURVEY)
}

fn compare(hosts: &[Subject], identities: &[Identity]) -> Vec<Finding> {
    identities.iter().flat_map(|identity| identity.compare(hosts)).collect()
}

impl Identity {
    fn compare(&self, hosts: &[Subject]) -> Vec<Finding> {
        let mut owners: IndexMap<String, Vec<String>> = IndexMap::new();
        for host in hosts {
            let mut values = (self.of)(host);
            values.retain(|value| !meaningless(value));
            values.sort();
            values.dedup();
            for value in values {
                owners.entry(value).or_default().push(host.name.to_owned());
            }
        }
        // What is shared by the same hosts is said once: a copied disk has all of its keys copied.
        let mut shared: IndexMap<&[String], Vec<String>> = IndexMap::new();
        for (value, owners) in owners.iter().filter(|(_, owners)| owners.len() > 1) {
            shared.entry(owners).or_default().push(shorten(value));
        }
        let mut findings: Vec<Finding> = shared
            .into_iter()
            .map(|(owners, values)| {
                let observed = format!("the same on {}: {}", owners.join(", "), values.join(", "));
                let finding = match self.fatal {
                    true => self.check.error("", observed, self.fix),
                    false => self.check.warning("", observed, self.fix),
                };
                finding.about(owners.to_vec())
            })
            .collect();
        if findings.is_empty() && !owners.is_empty() {
            let mut all: Vec<String> = owners.into_values().flatten().collect();
            all.dedup();
            findings.push(self.check.ok("", "no two are the same").about(all));
        }
        findings
    }
}

/// Values that say that there is none: empty ones, and UUIDs and MACs that are all zeros or all ones.
fn meaningless(value: &str) -> bool {
    let digits = || value.chars().filter(|char| !matches!(char, '-' | ':'));
    digits().all(|char| char == '0') || digits().all(|char| char == 'f')
}

/// A key is told by its end.
fn shorten(value: &str) -> String {
    match value.split_once(' ') {
        Some((kind, key)) if key.len() > 16 => format!("{kind} …{}", &key[key.len() - 16..]),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{Severity, tests::Fleet};

    fn said(fleet: &Fleet, check: &str) -> (Severity, Vec<String>) {
        let hosts = fleet.subjects();
        let all = [from_facts(&hosts), from_surveys(&hosts)].concat();
        let mut found = all.into_iter().filter(|finding| finding.check == check);
        let finding = found.next().unwrap();
        assert_eq!(found.next(), None);
        (finding.severity, finding.hosts)
    }

    #[test]
    fn each_identity_is_compared() {
        type Set = fn(&mut Fleet, &str);
        let sets: [(&str, Severity, Set); 7] = [
            ("clone-product-uuid", Severity::Warning, |fleet, host| {
                fleet.facts(host).hardware.uuid = "4203-a".into()
            }),
            ("clone-machine-id", Severity::Error, |fleet, host| fleet.facts(host).machine_id = "abc".into()),
            ("clone-hostname", Severity::Warning, |fleet, host| {
                fleet.facts(host).hostname = "template".into()
            }),
            ("clone-ssh-host-key", Severity::Warning, |fleet, host| {
                fleet.survey(host).ssh_host_keys.push("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5".into());
            }),
            ("clone-iscsi", Severity::Warning, |fleet, host| {
                fleet.survey(host).iscsi = "iqn.1993-08:a".into()
            }),
            ("clone-nvme", Severity::Warning, |fleet, host| fleet.survey(host).nvme = "nqn.2014-08:a".into()),
            ("clone-dhcp", Severity::Warning, |fleet, host| {
                fleet.survey(host).dhcp = vec![r#""\000\001\000\001.\030\314\347\000PV\203\000\013""#.into()];
            }),
        ];
        for (check, severity, set) in sets {
            let mut fleet = Fleet::three();
            set(&mut fleet, "w1");
            assert_eq!(said(&fleet, check).0, Severity::Ok, "{check}");
            set(&mut fleet, "cp1");
            assert_eq!(said(&fleet, check), (severity, vec!["cp1".into(), "w1".into()]), "{check}");
        }
    }

    #[test]
    fn bridges_have_the_same_mac_everywhere_and_the_lan_must_not() {
        let mut fleet = Fleet::three();
        assert_eq!(said(&fleet, "clone-mac").0, Severity::Ok);
        for host in ["cp1", "w1"] {
            let mut bridge = fleet.facts(host).interfaces[0].clone();
            bridge.name = "docker0".into();
            bridge.mac = "02:42:ac:11:00:01".into();
            bridge.hardware = false;
            fleet.facts(host).interfaces.push(bridge);
        }
        assert_eq!(said(&fleet, "clone-mac").0, Severity::Ok);
        let mac = fleet.facts("w2").interfaces[0].mac.clone();
        fleet.facts("cp1").interfaces[0].mac = mac.clone();
        // A bridge that has the host's address counts.
        fleet.facts("cp1").interfaces[0].hardware = false;
        assert_eq!(said(&fleet, "clone-mac"), (Severity::Error, vec!["cp1".into(), "w2".into()]));
    }

    #[test]
    fn what_the_same_hosts_share_is_said_once() {
        let mut fleet = Fleet::three();
        let keys =
            ["ecdsa AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY1", "ed25519 AAAAC3NzaC1lZDI1NTE52"].map(str::to_owned);
        for host in ["cp1", "w1"] {
            fleet.survey(host).ssh_host_keys = keys.to_vec();
        }
        let all = from_surveys(&fleet.subjects());
        let found: Vec<&Finding> =
            all.iter().filter(|finding| finding.check == "clone-ssh-host-key").collect();
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(
            found[0].observed,
            "the same on cp1, w1: ecdsa …YTItbmlzdHAyNTY1, ed25519 …3NzaC1lZDI1NTE52"
        );
    }

    #[test]
    fn containers_share_the_hardware_of_their_machine() {
        let mut fleet = Fleet::three();
        for host in ["cp1", "w1", "w2"] {
            fleet.facts(host).hardware.uuid = "4203-a".into();
            fleet.facts(host).container = true;
        }
        let all = from_facts(&fleet.subjects());
        assert!(all.iter().all(|finding| finding.check != "clone-product-uuid"), "{all:?}");
    }

    #[test]
    fn what_is_not_there_is_not_the_same() {
        for nothing in ["", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"] {
            let mut fleet = Fleet::three();
            fleet.facts("cp1").hardware.uuid = nothing.into();
            fleet.facts("w1").hardware.uuid = nothing.into();
            assert_eq!(said(&fleet, "clone-product-uuid").0, Severity::Ok, "{nothing}");
        }
    }
}
