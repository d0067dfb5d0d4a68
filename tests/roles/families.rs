//! The same roles on Debian, Ubuntu and Red Hat's family.

use hoist::{
    artifact::{File, Index},
    cluster::{Observed, targets},
    engine::{Library, RoleSteps, Templates, compile},
    facts::Facts,
    inventory,
    task::Task,
};

use super::bed::{index, written};

/// What a host of each kind answers, as far as roles look at it.
pub const DEBIAN_13: &str = "os.id=debian\nos.version=13\ninit=systemd\nvirtualization=none\npackages=apt\ncgroup=2\ntime_service=chrony\ncontainerd=containerd 1.7.24~ds1-6\ninitiator=iqn.1993-08.org.debian:01:template\n";
const UBUNTU_26: &str = "os.id=ubuntu\nos.like=debian\nos.version=26.04\ninit=systemd\nvirtualization=none\npackages=apt\ncgroup=2\ntime_service=chrony\ncloud_init=yes\ncontainerd=containerd 2.2.1-0ubuntu1\n";
const ROCKY_9: &str = "os.id=rocky\nos.like=rhel centos fedora\nos.version=9.6\ninit=systemd\nvirtualization=none\npackages=dnf\ncgroup=2\ntime_service=chronyd\ncontainerd=containerd.io 2.0.7\n";

/// A storage host of this kind, with a proxy and mirrors; another host has the same iSCSI name.
pub fn of_family(answer: &str, index: &Index) -> Vec<RoleSteps> {
    let text = r#"
cluster:
  name: families
  kubernetes: "1.36.2"
  proxy: {http: "http://proxy.office.lan:3128", no_proxy: [.office.lan, mirror.office.lan]}
  registries:
    registry.k8s.io:
      - {url: "https://mirror.office.lan/v2/k8s", override_path: true, capabilities: [pull]}
      - {url: "https://10.0.0.9:5000/", ca: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"}
    _default: [{url: "https://all.office.lan", skip_verify: true}]
hosts:
  cp1: {address: 10.0.0.1, roles: [control-plane]}
  s1:
    address: 10.0.0.2
    roles: [storage]
    disks:
      - {device: /dev/disk/by-id/wwn-0x5002, format: true}
      - {device: /dev/mapper/vg-replicas, path: /srv/replicas, filesystem: xfs, options: defaults}
"#;
    let inventory = inventory::parse("families.yaml", text).unwrap().inventory;
    let facts: Observed = [("cp1", DEBIAN_13), ("s1", answer)]
        .map(|(name, answer)| (name.to_string(), Facts::parse(answer)))
        .into_iter()
        .collect();
    let library = Library::default();
    let templates = Templates::new(library.clone());
    let target = targets(&inventory, &facts, Some(index), None).remove(1);
    compile(&library, &templates, &target).unwrap()
}

#[test]
fn what_each_role_is_on_each_family() {
    let mut artifacts = index();
    let extra = |name: &str, version: &str| File {
        name: name.into(),
        path: format!("/artifacts/extras/{name}").into(),
        sha256: "01".repeat(32),
        size: 1,
        version: version.into(),
    };
    artifacts.extras =
        vec![extra("containerd", "2.1.5"), extra("runc", "1.3.5"), extra("cni-plugins", "1.9.1")];
    for (family, answer, index) in [
        ("debian", DEBIAN_13, index()),
        ("ubuntu", UBUNTU_26, index()),
        ("redhat", ROCKY_9, index()),
        ("artifacts", ROCKY_9, artifacts),
    ] {
        let roles = of_family(answer, &index);
        for name in ["base", "containerd", "kubernetes", "storage"] {
            let role: Vec<RoleSteps> = roles.iter().filter(|role| role.role == name).cloned().collect();
            assert_eq!(role.len(), 1, "{family} has {name}");
            // Where containerd comes from makes no difference to the other roles.
            if name == "containerd" || family != "artifacts" {
                insta::assert_snapshot!(format!("{name}-{family}"), written(&role));
            }
        }
    }
}

/// cloud-init is told to leave alone what the inventory does not leave to somebody else.
#[test]
fn cloud_init_undoes_nothing_that_hoist_does() {
    let written = |answer: &str, vars: &str| -> Option<String> {
        let text = format!(
            "cluster: {{name: names, kubernetes: \"1.36.2\"}}\nvars: {{base: {vars}}}\n\
             hosts: {{cp1: {{address: 10.0.0.1, roles: [control-plane]}}}}\n"
        );
        let inventory = inventory::parse("names.yaml", &text).unwrap().inventory;
        let facts: Observed = [("cp1".to_string(), Facts::parse(answer))].into_iter().collect();
        let library = Library::default();
        let target = targets(&inventory, &facts, Some(&index()), None).remove(0);
        let roles = compile(&library, &Templates::new(library.clone()), &target).unwrap();
        let mut steps = roles.iter().flat_map(|role| &role.steps);
        steps.find_map(|step| match &step.task {
            Task::File(file) if file.path == "/etc/cloud/cloud.cfg.d/99-hoist.cfg" => Some(
                file.content.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(", "),
            ),
            _ => None,
        })
    };
    for (vars, expected) in [
        ("{}", Some("preserve_hostname: true, manage_etc_hosts: false")),
        ("{hosts: false}", Some("preserve_hostname: true")),
        ("{hostname: false}", Some("manage_etc_hosts: false")),
        ("{hostname: false, hosts: false}", None),
    ] {
        assert_eq!(written(UBUNTU_26, vars).as_deref(), expected, "{vars}");
    }
    assert_eq!(written(DEBIAN_13, "{}"), None, "no cloud-init");
}

/// A control plane of Red Hat 9 as it comes, without a time service and with nothing of containerd, and a worker of
/// release 8, in a cluster with a virtual address, etcd of its own and everything that hardens it.
fn red_hat() -> Vec<(String, Vec<RoleSteps>)> {
    let text = r#"
cluster:
  name: red
  kubernetes: "1.36.2"
  etcd: external
  endpoint: {vip: 10.0.0.9, local: true}
  security: {encryption: true, kernel_defaults: true, benchmark: true, audit: {enabled: true}}
hosts:
  cp1: {address: 10.0.0.1, roles: [etcd, control-plane]}
  w1: {address: 10.0.0.2, roles: [worker]}
"#;
    let inventory = inventory::parse("red.yaml", text).unwrap().inventory;
    let release = |version: &str| {
        let answer = include_str!("../fixtures/facts/rhel-9-vmware.txt").replace("os.version=9.6", version);
        let answer = answer.replace("192.168.18.211/24", "10.0.0.1/24\naddress=ens192 10.0.0.2/24");
        Facts::parse(&answer)
    };
    let facts: Observed = [("cp1", release("os.version=9.6")), ("w1", release("os.version=8.10"))]
        .map(|(name, facts)| (name.to_string(), facts))
        .into_iter()
        .collect();
    let library = Library::default();
    let templates = Templates::new(library.clone());
    let hosts = targets(&inventory, &facts, Some(&index()), None);
    hosts.into_iter().map(|host| (host.name.clone(), compile(&library, &templates, &host).unwrap())).collect()
}

#[test]
fn what_red_hat_s_own_release_gets() {
    let hosts = red_hat();
    let of = |host: usize, name: &str| -> String {
        let roles = hosts[host].1.iter().filter(|role| role.role == name);
        let text = written(&roles.cloned().collect::<Vec<_>>());
        assert!(
            !text.is_empty(),
            "{name}: {:?}",
            hosts[host].1.iter().map(|role| &role.role).collect::<Vec<_>>()
        );
        text
    };
    for name in
        ["base", "containerd", "kubernetes", "load-balancer", "hardening", "hardened", "etcd", "vmware"]
    {
        insta::assert_snapshot!(format!("{name}-rhel9"), of(0, name));
    }
    // Release 8 has no variant of iptables with another name.
    assert!(
        of(1, "kubernetes").contains(r#"["conntrack-tools", "ethtool", "iptables", "iproute-tc", "socat"]"#)
    );
}

/// Words that only the other family has: of packages, of its tools and of where it keeps settings.
#[test]
fn nothing_of_debian_s_is_on_red_hat() {
    for (host, roles) in red_hat() {
        let text = written(&roles);
        for word in [
            "apt-get",
            "/etc/apt",
            "dpkg",
            "open-iscsi",
            "iproute2",
            "nfs-common",
            "systemd-timesyncd",
            "/etc/default/",
            "\"conntrack\"",
            "\"ebtables\"",
            "etcd-server",
            "/usr/lib/cni",
        ] {
            let line = text.lines().find(|line| line.contains(word));
            assert_eq!(line, None, "{host}: {word}");
        }
    }
}
