//! etcd on hosts of its own, as far as one host can tell.

use serde::{Deserialize, Serialize};

/// What a host tells of its etcd. Where etcd runs on control planes, kubeadm runs it, and nothing of this is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Etcd {
    /// SHA-256 of the certificate of its authority, whose key is there, too; empty where it has none.
    pub ca: String,
    /// hoist is making it a member, or was killed at it: what was made so far does not count.
    pub interrupted: bool,
    /// It has the data of a member.
    pub data: bool,
    /// The identity of the member that runs there, in hexadecimal; empty where none answers.
    pub id: String,
    /// It could read what a majority agrees on: so there is one.
    pub quorum: bool,
    /// Kubernetes has written something into it.
    pub used: bool,
    /// The members that it knows.
    pub members: Vec<Listed>,
}

/// A line of `etcdctl member list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// In hexadecimal.
    pub id: String,
    /// Empty until it has started for the first time.
    pub name: String,
    /// Where other members reach it, without scheme and port.
    pub address: String,
    /// It copies the data and does not vote yet.
    pub learner: bool,
}

impl Etcd {
    /// Whether hoist has finished making this host a member, in this run or long ago.
    pub fn is_member(&self) -> bool {
        self.data && !self.interrupted
    }

    /// Whether it knows a member of this identity.
    pub fn lists(&self, id: &str) -> bool {
        self.members.iter().any(|member| member.id == id)
    }

    /// Takes in one line of the fact script's answer.
    pub(super) fn read(&mut self, key: &str, value: &str) {
        match key {
            "ca" => self.ca = value.to_string(),
            "interrupted" => self.interrupted = true,
            "data" => self.data = true,
            // `etcdctl endpoint status`: endpoint, identity, version, …
            "status" => self.id = value.split(", ").nth(1).unwrap_or_default().to_string(),
            "quorum" => self.quorum = true,
            "used" => self.used = true,
            "member" => self.members.extend(Listed::parse(value)),
            _ => {}
        }
    }
}

impl Listed {
    /// Reads `ID, started, NAME, PEER URLS, CLIENT URLS, LEARNER`.
    fn parse(line: &str) -> Option<Listed> {
        let [id, _, name, peers, _, learner] = line.split(", ").collect::<Vec<_>>().try_into().ok()?;
        let address = peers.split(',').next()?.split_once("://")?.1.rsplit_once(':')?.0;
        Some(Listed {
            id: id.to_string(),
            name: name.to_string(),
            address: address.to_string(),
            learner: learner == "true",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Facts;

    #[test]
    fn reads_what_a_member_answers() {
        let facts = Facts::parse(
            "etcd.ca=abcd\netcd.data=yes\netcd.quorum=yes\netcd.used=yes\n\
             etcd.status=https://127.0.0.1:2379, 8211f1d0f64f3269, 3.4.23, 20 kB, false, false, 2, 9, 9, \n\
             etcd.member=8211f1d0f64f3269, started, etcd1, https://10.77.0.21:2380, https://10.77.0.21:2379, false\n\
             etcd.member=91bc3c398fb3c146, unstarted, , https://10.77.0.22:2380, , true\n\
             etcd.member=nonsense\n",
        );
        let listed = |id: &str, name: &str, address: &str, learner| Listed {
            id: id.to_string(),
            name: name.to_string(),
            address: address.to_string(),
            learner,
        };
        let expected = Etcd {
            ca: "abcd".to_string(),
            data: true,
            id: "8211f1d0f64f3269".to_string(),
            quorum: true,
            used: true,
            members: vec![
                listed("8211f1d0f64f3269", "etcd1", "10.77.0.21", false),
                listed("91bc3c398fb3c146", "", "10.77.0.22", true),
            ],
            ..Etcd::default()
        };
        assert_eq!(facts.etcd, expected);
        assert!(facts.etcd.is_member());
        assert!(!Facts::parse("etcd.data=yes\netcd.interrupted=yes\n").etcd.is_member());
        assert!(!Facts::parse("etcd.ca=abcd\n").etcd.is_member());
    }
}
