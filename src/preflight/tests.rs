//! Hosts for tests, as they should be; each test breaks one thing.

use indexmap::IndexMap;

use super::*;
use crate::facts::{Hardware, Interface, InterfaceAddress, Kubernetes, Os};
use survey::{Disk, Lookup, SshServer};

/// The hosts of an inventory and what is known of them.
pub struct Fleet {
    pub inventory: Inventory,
    facts: IndexMap<String, Facts>,
    surveys: IndexMap<String, Survey>,
}

impl Fleet {
    /// The hosts of `inventory/three.yaml`, cp1, w1 and w2, with nothing wrong.
    pub fn three() -> Fleet {
        let text = include_str!("../../inventory/three.yaml");
        let inventory = inventory::parse("three.yaml", text).unwrap().inventory;
        let facts = inventory.hosts.iter().map(|(name, host)| (name.clone(), healthy(name, host))).collect();
        let surveys = inventory.hosts.iter().map(|(name, host)| (name.clone(), unremarkable(host))).collect();
        Fleet { inventory, facts, surveys }
    }

    pub fn facts(&mut self, host: &str) -> &mut Facts {
        &mut self.facts[host]
    }

    pub fn all_facts(&self) -> IndexMap<String, Facts> {
        self.facts.clone()
    }

    pub fn survey(&mut self, host: &str) -> &mut Survey {
        &mut self.surveys[host]
    }

    pub fn disk(&mut self, host: &str, folder: &str) -> &mut Disk {
        self.survey(host).disks.iter_mut().find(|disk| disk.folder == folder).unwrap()
    }

    pub fn subjects(&self) -> Vec<Subject<'_>> {
        let hosts = self.inventory.hosts.iter();
        hosts
            .map(|(name, host)| Subject {
                name,
                host,
                facts: &self.facts[name],
                survey: Some(&self.surveys[name]),
            })
            .collect()
    }
}

fn healthy(name: &str, host: &inventory::Host) -> Facts {
    let last = host.address.octets()[3];
    Facts {
        os: Os { name: "Debian GNU/Linux 13 (trixie)".into(), family: "debian".into(), ..Os::default() },
        kernel: "6.12.48+deb13-amd64".into(),
        architecture: "x86_64".into(),
        hostname: name.into(),
        machine_id: format!("0b1f0c6f9d9b4f7e8f2a7f3f5d0a1c{last}"),
        hardware: Hardware {
            uuid: format!("4203a1b2-0000-4000-8000-000000000{last}"),
            vendor: "VMware, Inc.".into(),
            product: "VMware7,1".into(),
        },
        init: "systemd".into(),
        virtualization: "vmware".into(),
        cpus: 8,
        memory_kib: 16 << 20,
        free_kib: 50 << 20,
        cgroup: 2,
        packages: "apt".into(),
        addresses: vec![InterfaceAddress {
            interface: "eth0".into(),
            address: host.address.into(),
            prefix: 24,
        }],
        interfaces: vec![Interface {
            name: "eth0".into(),
            mac: format!("00:50:56:83:00:{last:02x}"),
            mtu: 1500,
            hardware: true,
        }],
        ..Facts::default()
    }
}

fn unremarkable(host: &inventory::Host) -> Survey {
    let last = host.address.octets()[3];
    let disk = |folder: &&str| Disk {
        folder: (*folder).into(),
        size_kib: 100 << 20,
        free_kib: 50 << 20,
        inodes: 1000,
        inodes_free: 900,
        options: vec!["rw".into(), "relatime".into()],
        kind: "ext4".into(),
    };
    let folders = ["/", "/etc", "/usr/local/bin", "/var/lib/etcd", "/var/lib/kubelet", "/var/lib/containerd"];
    Survey {
        ssh_host_keys: vec![format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{last}")],
        localhost: vec!["127.0.0.1".parse().unwrap()],
        wildcard: Some(Lookup::Nothing),
        nameservers: vec!["192.168.18.1".into()],
        disks: folders.iter().map(disk).collect(),
        modules: ["overlay", "br_netfilter", "nf_conntrack", "vxlan", "wireguard", "iscsi_tcp"]
            .map(|name| (name.to_owned(), true))
            .into(),
        controllers: ["cpuset", "cpu", "io", "memory", "pids"].map(str::to_owned).into(),
        seccomp: Some(true),
        btf: Some(true),
        active: Some(vec![]),
        reverse_path: vec![("all".into(), 0), ("eth0".into(), 2)],
        synchronized: Some(true),
        outward: Some(host.address),
        conntrack: Some(262_144),
        sshd: SshServer { startups: Some(10), sessions: Some(10), looks_up: Some(false) },
        sudo_path: Some("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
        ..Survey::default()
    }
}

/// Name and severity of what is not fine.
fn complaints(findings: &[Finding]) -> Vec<(&'static str, Severity)> {
    let bad = findings.iter().filter(|finding| finding.severity != Severity::Ok);
    bad.map(|finding| (finding.check, finding.severity)).collect()
}

#[test]
fn hosts_as_they_should_be_have_nothing_wrong() {
    let fleet = Fleet::three();
    let subjects = fleet.subjects();
    let mut findings =
        [together(&fleet.inventory, &subjects), surveyed_together(&fleet.inventory, &subjects)].concat();
    for subject in &subjects {
        findings.extend(alone(&fleet.inventory, subject));
        findings.extend(surveyed(&fleet.inventory, subject, subject.survey.unwrap()));
    }
    assert_eq!(complaints(&findings), []);
    assert!(findings.len() > 70, "{}", findings.len());
    assert!(findings.iter().all(|finding| !finding.hosts.is_empty() && !finding.observed.is_empty()));
}

#[test]
fn hosts_of_two_architectures_are_no_cluster() {
    let mut fleet = Fleet::three();
    fleet.facts("w2").architecture = "aarch64".into();
    let found = from_facts(&fleet.inventory, &fleet.facts);
    assert_eq!(complaints(&found), [("architecture", Severity::Error)]);
    let error = found.iter().find(|finding| finding.severity == Severity::Error).unwrap();
    assert_eq!(
        (&error.hosts[..], &error.observed[..]),
        (&["w2".to_owned()][..], "aarch64, and cp1 has x86_64")
    );
    // New ones are like the nodes, however many they are; where all are nodes, nothing is said.
    fleet.facts("w2").kubernetes.joined = true;
    let found = from_facts(&fleet.inventory, &fleet.facts);
    let error = found.iter().find(|finding| finding.severity == Severity::Error).unwrap();
    assert_eq!(
        (&error.hosts[..], &error.observed[..]),
        (&["cp1".to_owned(), "w1".to_owned()][..], "x86_64, and w2 has aarch64")
    );
    for name in ["cp1", "w1"] {
        fleet.facts(name).kubernetes.joined = true;
    }
    let found = from_facts(&fleet.inventory, &fleet.facts);
    assert!(found.iter().all(|finding| finding.check != "architecture"), "{found:?}");
}

#[test]
fn artifacts_fit_the_processors() {
    let mut fleet = Fleet::three();
    assert_eq!(of_programs(None, &fleet.facts), [], "nothing is known of them");
    assert_eq!(complaints(&of_programs(Some("x86_64"), &fleet.facts)), []);
    fleet.facts("w2").architecture = "aarch64".into();
    fleet.facts("cp1").architecture.clear();
    let found = of_programs(Some("x86_64"), &fleet.facts);
    assert_eq!(complaints(&found), [("artifact-architecture", Severity::Error)]);
    assert_eq!(found.len(), 2, "cp1 has not told");
    assert!(found.iter().any(|finding| finding.observed == "x86_64, and the processor is aarch64"));
}

#[test]
fn a_balancer_needs_a_haproxy_of_this_time() {
    let mut fleet = Fleet::three();
    let red_hat = |version: &str| Os {
        id: "rocky".into(),
        name: format!("Rocky Linux {version}"),
        version: version.into(),
        family: "redhat".into(),
    };
    fleet.facts("w1").os = red_hat("8.10");
    fleet.facts("cp1").os = red_hat("9.4");
    assert_eq!(complaints(&from_facts(&fleet.inventory, &fleet.facts)), [], "no balancer");
    fleet.inventory.cluster.endpoint.local = true;
    let found = from_facts(&fleet.inventory, &fleet.facts);
    assert_eq!(complaints(&found), [("haproxy", Severity::Error)]);
    let error = found.iter().find(|finding| finding.severity == Severity::Error).unwrap();
    assert_eq!(error.hosts, ["w1"]);
    assert!(error.observed.contains("Rocky Linux 8.10"), "{error:?}");
}

#[test]
fn new_hosts_are_judged_and_nodes_are_not() {
    let mut fleet = Fleet::three();
    assert_eq!(complaints(&from_facts(&fleet.inventory, &fleet.facts)), []);
    // Too small, and a copy of another.
    fleet.facts("cp1").cpus = 1;
    let id = fleet.facts("cp1").machine_id.clone();
    fleet.facts("w1").machine_id = id;
    let errors = [("cpus", Severity::Error), ("clone-machine-id", Severity::Error)];
    assert_eq!(complaints(&from_facts(&fleet.inventory, &fleet.facts)), errors);
    // A new host that is a copy of a node is found; what the node itself is like is not asked again.
    let node = |control_plane| Kubernetes {
        joined: true,
        control_plane,
        authority: "aa".into(),
        ..Kubernetes::default()
    };
    fleet.facts("cp1").kubernetes = node(true);
    assert_eq!(complaints(&from_facts(&fleet.inventory, &fleet.facts)), errors[1..]);
    fleet.facts("w1").kubernetes = node(false);
    assert_eq!(complaints(&from_facts(&fleet.inventory, &fleet.facts)), []);
    // Nodes of another cluster are found all the same.
    fleet.facts("w1").kubernetes.authority = "bb".into();
    let stranger = [("foreign-cluster", Severity::Error)];
    assert_eq!(complaints(&from_facts(&fleet.inventory, &fleet.facts)), stranger);
    assert_eq!(complaints(&super::foreign(&fleet.inventory, &fleet.facts)), stranger);
}

#[test]
fn what_is_not_in_the_inventory_is_not_judged() {
    let mut fleet = Fleet::three();
    let facts = Facts { cpus: 1, ..Facts::default() };
    fleet.facts.insert("stranger".into(), facts);
    assert_eq!(complaints(&from_facts(&fleet.inventory, &fleet.facts)), []);
}

#[test]
fn a_host_without_systemd_is_no_node() {
    let mut fleet = Fleet::three();
    fleet.facts("w2").init = "init".into();
    assert_eq!(complaints(&from_facts(&fleet.inventory, &fleet.facts)), [("system", Severity::Error)]);
}

#[test]
fn hosts_for_etcd_alone_are_no_nodes() {
    let text = include_str!("../../inventory/ha.yaml");
    let inventory = inventory::parse("ha.yaml", text).unwrap().inventory;
    let nodes: Vec<&str> =
        inventory.hosts.iter().filter(|(_, host)| is_node(host)).map(|(name, _)| name.as_str()).collect();
    assert_eq!(nodes, ["cp1", "cp2", "w1", "w2", "s1", "s2"]);
    assert_eq!(occupied::ports(&inventory, &inventory.hosts["witness"]), [2379, 2380, 2381]);
}

/// The page for administrators has every check, in the words of the code, and none that there is not.
#[test]
fn the_page_of_checks_is_what_the_code_says() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(folder.join("docs/preflight.md")).unwrap();
    let check = regex::Regex::new(
        r#"Check\s*\{\s*name:\s*"([^"]+)",\s*checked:\s*"([^"]*)",\s*expected:\s*(?:"([^"]*)"|OWN)"#,
    )
    .unwrap();
    let breaks = regex::Regex::new(r"\\\n\s*").unwrap();
    let mut rows = std::collections::BTreeSet::new();
    for file in ["src/preflight", "src/preflight/vip"].iter().flat_map(|path| {
        let files = std::fs::read_dir(folder.join(path)).unwrap();
        files.map(|file| file.unwrap().path()).filter(|path| path.is_file())
    }) {
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("\nmod tests {").next().unwrap();
        for found in check.captures_iter(code) {
            let expected = found.get(3).map_or("different on every host", |expected| expected.as_str());
            let words = |text: &str| breaks.replace_all(text, "").into_owned();
            rows.insert(format!("| `{}` | {} | {} |", &found[1], words(&found[2]), words(expected)));
        }
    }
    assert!(rows.len() > 50, "{rows:?}");
    let listed: std::collections::BTreeSet<String> =
        page.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    assert_eq!(listed, rows);
}
