//! What is observed of a host before anything is decided: one script, one typed result.

mod etcd;
mod owners;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use etcd::{Etcd, Listed};
pub use owners::Owners;

use crate::transport::{self, Host, Output, Script};

/// What every host is asked: POSIX sh whose answer [`Facts::parse`] reads.
pub const SCRIPT: &str = include_str!("probe.sh");

/// How long a host may take to answer it.
pub const TIMEOUT: Duration = Duration::from_secs(30);

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
    pub hardware: Hardware,
    /// The name of process 1.
    pub init: String,
    /// What `systemd-detect-virt` says: `none` on metal, `vmware`, `kvm`, `systemd-nspawn` …
    pub virtualization: String,
    /// It is a container: kernel, clock, firmware and swap are those of the machine below.
    pub container: bool,
    /// The service that keeps the clock: the one that runs, or else one that is installed, or nothing.
    pub time_service: String,
    /// Seconds since the epoch, by the host's own clock.
    pub clock: u64,
    pub cpus: u32,
    pub memory_kib: u64,
    /// The devices and files that memory is swapped out to.
    pub swap: Vec<String>,
    /// Free space below `/var`, where images and volumes go.
    pub free_kib: u64,
    /// 1 or 2.
    pub cgroup: u8,
    /// cloud-init is there, which sets what it knows anew at every boot.
    pub cloud_init: bool,
    /// `apt`, `dnf`, or nothing that is known.
    pub packages: String,
    /// Global addresses and their interfaces.
    pub addresses: Vec<InterfaceAddress>,
    /// The interfaces that have these addresses.
    pub interfaces: Vec<Interface>,
    /// The package with containerd: the one that is installed, or that the package manager would install.
    pub containerd: Package,
    /// The iSCSI initiator name; empty where there is none.
    pub initiator: String,
    /// Whom its keepalived hands the virtual address to and hears; `None` where it keeps none for hoist.
    pub keeper: Option<Vec<Ipv4Addr>>,
    pub kubernetes: Kubernetes,
    pub etcd: Etcd,
}

/// A package of the distribution. Empty where none is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
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

impl Os {
    /// Distribution and release as far as packages differ: `debian-12`, `ubuntu-24.04`, `rocky-9`.
    pub fn release(&self) -> String {
        let version = match self.family.as_str() {
            // Minor releases of one major one share their repositories.
            "redhat" => self.version.split('.').next().unwrap_or_default(),
            _ => self.version.as_str(),
        };
        if version.is_empty() { self.id.clone() } else { format!("{}-{version}", self.id) }
    }
}

/// What the firmware says of the machine. Containers see the firmware of the machine that they share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// The product UUID, as root reads it; empty where there is none.
    pub uuid: String,
    /// Such as `VMware, Inc.`
    pub vendor: String,
    pub product: String,
}

/// An address of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceAddress {
    pub interface: String,
    pub address: IpAddr,
    /// How many bits of it are the network's.
    pub prefix: u8,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    pub name: String,
    /// In lower case; empty for interfaces that have none.
    pub mac: String,
    /// The largest packet that it sends, in bytes.
    pub mtu: u32,
    /// Whether a device is behind it, be it virtual hardware; not so for bridges, tunnels and containers.
    pub hardware: bool,
}

/// What kubeadm has finished on the host so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kubernetes {
    /// Its kubelet has credentials of a cluster.
    pub joined: bool,
    /// It has an administrator's credentials: it is a control plane.
    pub control_plane: bool,
    /// Its kubelet is told to run an API server.
    pub api_server: bool,
    /// The SHA-256 fingerprint of the certificate authority of the cluster that it is in, in lower-case hexadecimal;
    /// empty where there is none to read.
    pub authority: String,
    /// On a control plane: the name of its cluster, as its administrator's kubeconfig has it.
    pub cluster: String,
    /// On a control plane: the version of its API server, by the tag of its image; empty where that says nothing.
    pub version: String,
    /// On a control plane: where the API server is reached, as its administrator's kubeconfig has it: `HOST:PORT`.
    pub endpoint: String,
    /// On a control plane: where Services get their addresses, as its API server is told; empty where it is not.
    pub services: String,
    /// On a control plane: where pods get their addresses, as its controller manager is told; empty where it is not.
    pub pods: String,
    /// On a control plane: where its API server is told that etcd is, in the inventory's words, `stacked` or `external`; empty
    /// where it is not told.
    pub etcd: String,
    /// On a control plane: the URLs of the members of etcd that its API server asks.
    pub etcd_servers: Vec<String>,
    /// On a control plane whose etcd is elsewhere: SHA-256 of the certificate of the authority of that etcd, as
    /// [`Etcd::ca`]; empty where it cannot be read.
    pub etcd_authority: String,
    /// On a control plane: the port that its API server itself listens on, as it is told.
    pub api_port: Option<u16>,
    /// It has a key for the cluster's Secrets. Only that of a control plane counts: another host's may be a leftover.
    pub encryption_key: bool,
    /// kubeadm is at work there for hoist, or was killed at it: what it made so far does not count.
    pub interrupted: bool,
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

/// Asks a host, and refuses it if it cannot be a node.
///
/// # Errors
/// When the host is lost, or is no Linux with systemd that hoist knows.
pub async fn gather(host: &dyn Host) -> Result<Facts, Error> {
    let facts = observe(host).await?;
    facts.fit().map_err(|(reason, help)| Error::Unfit { host: host.name().to_string(), reason, help })?;
    Ok(facts)
}

/// Asks a host, whatever it is.
///
/// # Errors
/// When the host is lost, or answers with a part only.
pub async fn observe(host: &dyn Host) -> Result<Facts, transport::Error> {
    let output = host.run(Script::new(SCRIPT.to_string()).timeout(TIMEOUT)).await?;
    Facts::answered(host, output)
}

impl Facts {
    /// Reads what [`SCRIPT`] left on this host.
    ///
    /// # Errors
    /// When it did not come to its end, as on a host that can start no process.
    pub fn answered(host: &dyn Host, output: Output) -> Result<Facts, transport::Error> {
        Ok(Facts::parse(&output.whole(host.name(), "the script that asks for facts")?))
    }

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
                "hardware.uuid" => facts.hardware.uuid = value.to_lowercase(),
                "hardware.vendor" => facts.hardware.vendor = text(),
                "hardware.product" => facts.hardware.product = text(),
                "swap" => facts.swap.push(text()),
                "init" => facts.init = text(),
                "virtualization" => {
                    facts.container = CONTAINERS.contains(&value);
                    facts.virtualization = text();
                }
                "time_service" => facts.time_service = text(),
                "cloud_init" => facts.cloud_init = true,
                "packages" => facts.packages = text(),
                "clock" => facts.clock = value.parse().unwrap_or_default(),
                "cpus" => facts.cpus = value.parse().unwrap_or_default(),
                "memory_kib" => facts.memory_kib = value.parse().unwrap_or_default(),
                "free_kib" => facts.free_kib = value.parse().unwrap_or_default(),
                "cgroup" => facts.cgroup = value.parse().unwrap_or_default(),
                "containerd" => {
                    let (name, version) = value.split_once(' ').unwrap_or((value, ""));
                    facts.containerd = Package { name: name.to_string(), version: version.to_string() };
                }
                "initiator" => facts.initiator = text(),
                "keeper" => {
                    facts.keeper.get_or_insert_default();
                }
                "keeper.peer" => facts.keeper.get_or_insert_default().extend(value.parse::<Ipv4Addr>()),
                "kubernetes.joined" => facts.kubernetes.joined = true,
                "kubernetes.authority" => facts.kubernetes.authority = text(),
                "kubernetes.cluster" => facts.kubernetes.cluster = value.trim_matches('"').to_owned(),
                "kubernetes.version" => facts.kubernetes.version = value.trim_start_matches('v').to_owned(),
                "kubernetes.endpoint" => {
                    facts.kubernetes.endpoint = value.trim_matches('"').trim_end_matches('/').to_owned();
                }
                "kubernetes.services" => facts.kubernetes.services = value.trim_matches('"').to_owned(),
                "kubernetes.etcd" => facts.kubernetes.etcd = text(),
                "kubernetes.etcd_servers" => {
                    facts.kubernetes.etcd_servers = value.split(',').map(str::to_owned).collect();
                }
                "kubernetes.etcd_authority" => facts.kubernetes.etcd_authority = text(),
                "kubernetes.api_port" => facts.kubernetes.api_port = value.parse().ok(),
                "kubernetes.pods" => facts.kubernetes.pods = value.trim_matches('"').to_owned(),
                "kubernetes.control_plane" => facts.kubernetes.control_plane = true,
                "kubernetes.api_server" => facts.kubernetes.api_server = true,
                "kubernetes.encryption_key" => facts.kubernetes.encryption_key = true,
                "kubernetes.interrupted" => facts.kubernetes.interrupted = true,
                "address" => facts.addresses.extend(InterfaceAddress::parse(value)),
                "interface" => {
                    // It is named once for each of its addresses.
                    let interface = Interface::parse(value);
                    facts.interfaces.extend(interface.filter(|new| !facts.interfaces.contains(new)));
                }
                _ => {
                    if let Some(key) = key.strip_prefix("etcd.") {
                        facts.etcd.read(key, value);
                    }
                }
            }
        }
        facts.os.family = family(&facts.os.id, &like).to_string();
        facts
    }

    /// Whether the host can become a node; if not, why and what to do.
    pub fn fit(&self) -> Result<(), (String, String)> {
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

    /// The interface that has this address.
    pub fn interface_of(&self, address: IpAddr) -> Option<&Interface> {
        let name = &self.addresses.iter().find(|own| own.address == address)?.interface;
        self.interfaces.iter().find(|interface| interface.name == *name)
    }
}

/// Those that systemd-detect-virt(1) can tell and that have a systemd of their own.
const CONTAINERS: [&str; 9] =
    ["systemd-nspawn", "lxc", "lxc-libvirt", "docker", "podman", "openvz", "rkt", "proot", "container-other"];

impl InterfaceAddress {
    /// Reads `INTERFACE ADDRESS[/PREFIX]`; without a prefix the address is a network of its own.
    fn parse(text: &str) -> Option<InterfaceAddress> {
        let (interface, network) = text.split_once(' ')?;
        let (address, prefix) = network.split_once('/').unwrap_or((network, ""));
        let address: IpAddr = address.parse().ok()?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= whole).unwrap_or(whole);
        Some(InterfaceAddress { interface: interface.to_string(), address, prefix })
    }
}

impl Interface {
    /// Reads `NAME MAC MTU KIND`; the MAC is `-` where there is none.
    fn parse(text: &str) -> Option<Interface> {
        let [name, mac, mtu, kind] = text.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let mac = if mac == "-" { String::new() } else { mac.to_lowercase() };
        Some(Interface { name: name.to_string(), mac, mtu: mtu.parse().ok()?, hardware: kind == "hardware" })
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
mod tests;
