//! Identities that were copied with a disk and can be made anew on the host itself.

use indexmap::IndexMap;

use super::Subject;

/// What can be made anew. MAC addresses, product UUIDs and SSH host keys are for whoever made the copy: they are the
/// hypervisor's, or known to those who log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    MachineId,
    Initiator,
    HostNqn,
}

impl Identity {
    const ALL: [Identity; 3] = [Identity::MachineId, Identity::Initiator, Identity::HostNqn];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Identity::MachineId => "/etc/machine-id",
            Identity::Initiator => "the iSCSI initiator name",
            Identity::HostNqn => "the NVMe host name (hostnqn)",
        }
    }

    fn of<'a>(self, host: &Subject<'a>) -> Option<&'a str> {
        let value = match self {
            Identity::MachineId => Some(host.facts.machine_id.as_str()),
            Identity::Initiator => host.survey.map(|survey| survey.iscsi.as_str()),
            Identity::HostNqn => host.survey.map(|survey| survey.nvme.as_str()),
        };
        value.filter(|value| !value.is_empty())
    }

    /// Makes it anew: a random one, put in place whole. Tools that derive one from the hardware would find the same
    /// again, for a copied machine's hardware is copied, too.
    fn script(self) -> &'static str {
        match self {
            Identity::MachineId => {
                "random | tr -d - >\"$etc/machine-id.new\" && chmod 444 \"$etc/machine-id.new\" &&
\tmv -f \"$etc/machine-id.new\" \"$etc/machine-id\" || exit 1
if [ -f \"$var/lib/dbus/machine-id\" ] && [ ! -L \"$var/lib/dbus/machine-id\" ]; then
\tln -sf /etc/machine-id \"$var/lib/dbus/machine-id\" || exit 1
fi
"
            }
            Identity::Initiator => {
                "file=$etc/iscsi/initiatorname.iscsi
own=$(sed -n 's/^InitiatorName=//p' \"$file\" | head -n 1)
# Whoever named it stays the same; RFC 3720 leaves what follows the colon to them.
(umask 077 && echo \"InitiatorName=${own%%:*}:$(random | tr -d - | cut -c 1-16)\" >\"$file.new\") &&
\tmv -f \"$file.new\" \"$file\" || exit 1
systemctl -q try-restart iscsid.service 2>/dev/null
"
            }
            Identity::HostNqn => {
                "id=$(random)
echo \"nqn.2014-08.org.nvmexpress:uuid:$id\" >\"$etc/nvme/hostnqn.new\" && echo \"$id\" >\"$etc/nvme/hostid.new\" &&
\tmv -f \"$etc/nvme/hostid.new\" \"$etc/nvme/hostid\" && mv -f \"$etc/nvme/hostnqn.new\" \"$etc/nvme/hostnqn\" || exit 1
"
            }
        }
    }
}

/// Which hosts have what of another. The one that keeps it is a node already, or else comes first in the inventory;
/// nodes are never changed, for the cluster knows them by it.
pub(super) fn copied(hosts: &[Subject]) -> IndexMap<String, Vec<Identity>> {
    let mut copied: IndexMap<String, Vec<Identity>> = IndexMap::new();
    for identity in Identity::ALL {
        let mut owners: IndexMap<&str, Vec<&Subject>> = IndexMap::new();
        for host in hosts {
            if let Some(value) = identity.of(host) {
                owners.entry(value).or_default().push(host);
            }
        }
        for owners in owners.into_values() {
            let keeper = owners.iter().position(|host| host.facts.kubernetes.joined).unwrap_or_default();
            let others = owners.iter().enumerate().filter(|(index, _)| *index != keeper);
            for (_, host) in others.filter(|(_, host)| !host.facts.kubernetes.joined) {
                copied.entry(host.name.to_owned()).or_default().push(identity);
            }
        }
    }
    copied
}

/// The script that makes these anew on a host. A second run of it makes them anew again: it is for hosts that
/// have them of another.
pub fn script(identities: &[Identity]) -> String {
    let parts: String = identities.iter().map(|identity| identity.script()).collect();
    format!("etc=/etc var=/var\n{SHARED}{parts}")
}

const SHARED: &str = "random() { cat /proc/sys/kernel/random/uuid; }\n";

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::{
        preflight::tests::Fleet,
        transport::{Host, Local, Script},
    };

    #[test]
    fn all_but_one_get_their_own_and_nodes_keep_what_they_have() {
        let mut fleet = Fleet::three();
        assert!(copied(&fleet.subjects()).is_empty());
        for host in ["cp1", "w1", "w2"] {
            fleet.facts(host).machine_id = "abc".into();
            fleet.survey(host).iscsi = "iqn.1993-08.org.debian:01:1".into();
        }
        fleet.survey("w1").nvme = "nqn.x".into();
        fleet.survey("w2").nvme = "nqn.x".into();
        let both = vec![Identity::MachineId, Identity::Initiator];
        let mut all = both.clone();
        all.push(Identity::HostNqn);
        let expected = IndexMap::from([("w1".to_owned(), both.clone()), ("w2".to_owned(), all)]);
        assert_eq!(copied(&fleet.subjects()), expected);
        // A node keeps what it has.
        fleet.facts("w2").kubernetes.joined = true;
        let mut w1 = both.clone();
        w1.push(Identity::HostNqn);
        let expected = IndexMap::from([("cp1".to_owned(), both), ("w1".to_owned(), w1)]);
        assert_eq!(copied(&fleet.subjects()), expected);
        // Two nodes are left as they are.
        for host in ["cp1", "w1"] {
            fleet.facts(host).kubernetes.joined = true;
        }
        assert!(copied(&fleet.subjects()).is_empty());
    }

    #[tokio::test]
    async fn what_is_made_is_new_and_well_formed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["iscsi", "nvme", "lib/dbus"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        fs::write(root.join("machine-id"), "old\n").unwrap();
        fs::write(root.join("lib/dbus/machine-id"), "old\n").unwrap();
        fs::write(root.join("iscsi/initiatorname.iscsi"), "InitiatorName=iqn.1993-08.org.debian:01:aaa\n")
            .unwrap();
        fs::write(root.join("nvme/hostnqn"), "nqn.old\n").unwrap();
        let place = format!("etc={0} var={0}\n", root.display());
        let text = script(&Identity::ALL).replace("etc=/etc var=/var\n", &place);
        let host = Local::open("here").await.unwrap();
        let output = host.run(Script::new(text)).await.unwrap();
        assert_eq!(output.status, 0, "{output:?}");
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        let id = read("machine-id");
        assert!(id.trim().len() == 32 && id.trim().chars().all(|digit| digit.is_ascii_hexdigit()), "{id}");
        assert_eq!(fs::metadata(root.join("machine-id")).unwrap().permissions().mode() & 0o777, 0o444);
        assert_eq!(
            fs::read_link(root.join("lib/dbus/machine-id")).unwrap().to_str(),
            Some("/etc/machine-id")
        );
        let name = read("iscsi/initiatorname.iscsi");
        assert!(
            name.starts_with("InitiatorName=iqn.1993-08.org.debian:") && !name.contains(":01:aaa"),
            "{name}"
        );
        let nqn = read("nvme/hostnqn");
        assert_eq!(nqn, format!("nqn.2014-08.org.nvmexpress:uuid:{}", read("nvme/hostid")));
    }
}
