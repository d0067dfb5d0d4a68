//! What is observed of a host before anything is decided: one script, one typed result.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::transport::{self, Host, Script};

/// What was observed of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub os: Os,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`, such as `x86_64`.
    pub architecture: String,
    pub hostname: String,
    pub machine_id: String,
    /// The name of process 1.
    pub init: String,
    /// What `systemd-detect-virt` says: `none` on metal, `vmware`, `kvm`, `systemd-nspawn` …
    pub virtualization: String,
    /// It is a container: kernel, clock and swap are those of the machine below.
    pub container: bool,
    /// The service that keeps the clock: the one that runs, or else one that is installed, or nothing.
    pub time_service: String,
    /// Seconds since the epoch, by the host's own clock.
    pub clock: u64,
    pub cpus: u32,
    pub memory_kib: u64,
    /// Free space below `/var`, where images and volumes go.
    pub free_kib: u64,
    /// 1 or 2.
    pub cgroup: u8,
    /// `apt`, `dnf`, or nothing that is known.
    pub packages: String,
    /// Global addresses and their interfaces.
    pub addresses: Vec<InterfaceAddress>,
    pub kubernetes: Kubernetes,
}

/// The operating system, from os-release(5).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Os {
    pub id: String,
    pub version: String,
    pub name: String,
    /// `debian`, `redhat` or `other`: which package names and paths apply.
    pub family: String,
}

/// An address of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceAddress {
    pub interface: String,
    pub address: IpAddr,
}

/// What kubeadm has finished on the host so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kubernetes {
    /// Its kubelet has credentials of a cluster.
    pub joined: bool,
    /// It has an administrator's credentials: it is a control plane.
    pub control_plane: bool,
}

/// Why facts could not be had.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Transport(#[from] transport::Error),
    #[error("{host} cannot become a node: {reason}")]
    #[diagnostic(help("{help}"))]
    Unfit { host: String, reason: String, help: String },
}

/// Asks a host.
///
/// # Errors
/// When the host is lost, or is no Linux with systemd that hoist knows.
pub async fn gather(host: &dyn Host) -> Result<Facts, Error> {
    let text = include_str!("probe.sh").to_string();
    let output = host.run(Script { text, stdin: None, timeout: Duration::from_secs(30) }).await?;
    let facts = Facts::parse(&String::from_utf8_lossy(&output.stdout));
    facts.fit().map_err(|(reason, help)| Error::Unfit { host: host.name().to_string(), reason, help })?;
    Ok(facts)
}

impl Facts {
    /// Reads the answer of the fact script. Lines it does not know are passed over.
    pub fn parse(answer: &str) -> Facts {
        let mut facts = Facts::default();
        let mut like = String::new();
        for (key, value) in answer.lines().filter_map(|line| line.split_once('=')) {
            let text = || value.to_string();
            match key {
                "os.id" => facts.os.id = text(),
                "os.version" => facts.os.version = text(),
                "os.name" => facts.os.name = text(),
                "os.like" => like = text(),
                "kernel" => facts.kernel = text(),
                "architecture" => facts.architecture = text(),
                "hostname" => facts.hostname = text(),
                "machine_id" => facts.machine_id = text(),
                "init" => facts.init = text(),
                "virtualization" => facts.virtualization = text(),
                "container" => facts.container = true,
                "time_service" => facts.time_service = text(),
                "packages" => facts.packages = text(),
                "clock" => facts.clock = value.parse().unwrap_or_default(),
                "cpus" => facts.cpus = value.parse().unwrap_or_default(),
                "memory_kib" => facts.memory_kib = value.parse().unwrap_or_default(),
                "free_kib" => facts.free_kib = value.parse().unwrap_or_default(),
                "cgroup" => facts.cgroup = value.parse().unwrap_or_default(),
                "kubernetes.joined" => facts.kubernetes.joined = true,
                "kubernetes.control_plane" => facts.kubernetes.control_plane = true,
                "address" => {
                    facts.addresses.extend(value.split_once(' ').and_then(|(interface, address)| {
                        Some(InterfaceAddress {
                            interface: interface.to_string(),
                            address: address.parse().ok()?,
                        })
                    }))
                }
                _ => {}
            }
        }
        facts.os.family = family(&facts.os.id, &like).to_string();
        facts
    }

    /// Whether hoist can do anything with this host; if not, why and what to do.
    fn fit(&self) -> Result<(), (String, String)> {
        if self.init != "systemd" {
            let reason = format!("its process 1 is \"{}\", not systemd", self.init);
            return Err((reason, "nodes need systemd: install a distribution that boots it".to_string()));
        }
        if self.packages.is_empty() {
            let reason = format!("{} has neither apt nor dnf", self.os.name);
            return Err((reason, "use Debian, Ubuntu, or a distribution of the Red Hat family".to_string()));
        }
        Ok(())
    }
}

fn family(id: &str, like: &str) -> &'static str {
    let names = || like.split(' ').chain([id]);
    if names().any(|name| matches!(name, "debian" | "ubuntu")) {
        "debian"
    } else if names().any(|name| matches!(name, "rhel" | "fedora" | "centos")) {
        "redhat"
    } else {
        "other"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = include_str!("../../tests/fixtures/facts/debian-nspawn.txt");

    #[test]
    fn reads_what_a_debian_node_answers() {
        let facts = Facts::parse(DEBIAN);
        assert_eq!(facts.os.family, "debian");
        assert_eq!((facts.init.as_str(), facts.packages.as_str(), facts.cgroup), ("systemd", "apt", 1));
        assert_eq!(facts.addresses[0].address.to_string(), "10.77.0.11");
        assert!(facts.container && facts.time_service.is_empty());
        assert!(!facts.kubernetes.joined && facts.memory_kib > 0 && facts.free_kib > 0);
        assert_eq!(facts.fit(), Ok(()));
    }

    #[test]
    fn names_the_family_by_descent() {
        for (id, like, expected) in [
            ("ubuntu", "debian", "debian"),
            ("rocky", "rhel centos fedora", "redhat"),
            ("fedora", "", "redhat"),
            ("alpine", "", "other"),
        ] {
            assert_eq!(family(id, like), expected, "{id}");
        }
    }

    #[test]
    fn refuses_what_cannot_be_a_node() {
        let mut facts = Facts::parse(DEBIAN);
        facts.init = "init".to_string();
        assert!(facts.fit().unwrap_err().0.contains("not systemd"));
        assert!(
            Facts { packages: String::new(), ..Facts::parse(DEBIAN) }
                .fit()
                .unwrap_err()
                .0
                .contains("apt nor dnf")
        );
    }
}
