//! Every embedded role, compiled for the sample inventories: golden files of all that would be put on a host.

mod kubeadm;
mod tunnel;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};

use hoist::{
    artifact::{File, Image, Index},
    cluster::{Observed, Rented, rented, targets},
    engine::{Library, RoleSteps, Templates, compile, lint, role_reference},
    facts::Facts,
    inventory,
    task::Task,
};
use serde_json::json;

fn index() -> Index {
    let file = |name: &str| File {
        name: name.into(),
        path: format!("/artifacts/{name}").into(),
        sha256: "ab".repeat(32),
        size: 1,
        ..File::default()
    };
    let image = |name: &str, reference: &str| Image {
        name: name.into(),
        reference: reference.into(),
        path: format!("/artifacts/{name}.tar").into(),
        sha256: "cd".repeat(32),
        size: 1,
        digest: format!("sha256:{}", "ef".repeat(32)),
        everywhere: false,
    };
    Index {
        kubernetes: "1.20.2".into(),
        origin: "a test".into(),
        files: vec![file("kubeadm"), file("kubelet")],
        images: vec![
            image("kube-apiserver", "k8s.gcr.io/kube-apiserver:v1.20.2"),
            image("kube-proxy", "k8s.gcr.io/kube-proxy:v1.20.2"),
            image("pause", "k8s.gcr.io/pause:3.2"),
            image("static-server", "hoist.local/static-server:1"),
        ],
        ..Index::default()
    }
}

/// A server of its own, and a virtual machine of VMware: what a host of each answers, as far as roles look at it.
const METAL: &str = "os.id=debian\nos.version=13\ninit=systemd\nvirtualization=none\npackages=apt\ncgroup=2\ntime_service=chrony\n";
const VMWARE: &str = "os.id=rocky\nos.like=rhel centos fedora\nos.version=9.4\ninit=systemd\nvirtualization=vmware\npackages=dnf\ncgroup=2\n";

/// All hosts of a sample inventory, or of a valid fixture, as they are before the first run. Those of the lab are
/// containers; of the others the second one is a virtual machine.
fn compiled(name: &str) -> Vec<(String, Vec<RoleSteps>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["inventory", "tests/fixtures/inventory/valid", "tests/fixtures/cluster"];
    let path =
        folders.map(|folder| root.join(folder).join(name)).into_iter().find(|path| path.exists()).unwrap();
    let inventory = inventory::load(&path).unwrap().inventory;
    let facts: Observed = inventory
        .hosts
        .keys()
        .enumerate()
        .map(|(index, host)| {
            let answer = match (name, index) {
                ("lab.yaml" | "etcd.yaml", _) => include_str!("../fixtures/facts/debian-nspawn.txt"),
                (_, 1) => VMWARE,
                _ => METAL,
            };
            let address = inventory.hosts[host].address;
            (host.clone(), Facts::parse(&format!("{answer}address=ens192 {address}/24\n")))
        })
        .collect();
    let library = Library::default();
    let templates = Templates::new(library.clone());
    targets(&inventory, &facts, Some(&index()), None)
        .into_iter()
        .map(|target| (target.name.clone(), compile(&library, &templates, &target).unwrap()))
        .collect()
}

/// What other hosts would give.
fn late() -> serde_json::Value {
    json!({
        "join": {"token": "TOKEN", "ca_hash": "HASH"},
        "place": {"made": "yes"},
        "settings": {"are": "there"},
        "etcd_ca": {"certificate": "CERTIFICATE", "key": "KEY"},
        "etcd_client": {"ca": "CA", "certificate": "CERTIFICATE"},
        "pki": {
            "ca_crt": "CA", "ca_key": "KEY", "sa_pub": "SA", "sa_key": "SAKEY", "front_proxy_ca_crt": "FRONT",
            "front_proxy_ca_key": "FRONTKEY", "etcd_ca_crt": "ETCD", "etcd_ca_key": "ETCDKEY",
        },
    })
}

/// The whole of what a host gets, readable.
fn written(roles: &[RoleSteps]) -> String {
    let mut text = String::new();
    for role in roles {
        writeln!(text, "=== {}", role.role).unwrap();
        for step in &role.steps {
            writeln!(text, "--- {}", step.name).unwrap();
            match &step.task {
                Task::File(file) => write!(text, "{} {}\n{}", file.path, file.mode, file.content).unwrap(),
                Task::Command(command) => {
                    writeln!(
                        text,
                        "{}\nunless: {:?}",
                        command.run.trim_end(),
                        command.unless.as_deref().unwrap_or_default()
                    )
                    .unwrap();
                    if let Some(stdin) = &command.stdin {
                        let mut context = role.context.clone();
                        context.set("late", late());
                        let input =
                            Templates::new(Library::default()).file(&stdin.template, &context).unwrap();
                        writeln!(text, "stdin:\n{input}").unwrap();
                    }
                }
                other => writeln!(text, "{other:?}").unwrap(),
            }
        }
    }
    text
}

#[test]
fn what_each_host_of_the_samples_gets() {
    for name in ["lab.yaml", "single.yaml", "three.yaml", "etcd.yaml"] {
        for (host, roles) in compiled(name) {
            let text = written(&roles);
            assert!(
                !text.contains("{{") && !text.contains("{%"),
                "{name} {host}: a template is left over:\n{text}"
            );
            insta::assert_snapshot!(format!("{}-{host}", name.trim_end_matches(".yaml")), text);
        }
    }
}

#[test]
fn what_cilium_needs_of_hosts() {
    let hosts = compiled("cilium.yaml");
    let (_, roles) = &hosts[0];
    let all = written(roles);
    assert!(all.contains("--skip-phases=addon/kube-proxy"), "{all}");
    assert!(all.contains("bin_dir = \"/opt/cni/bin\""), "{all}");
    assert!(!all.contains("cni0"), "no bridge: {all}");
    let of_cilium = |roles: &[RoleSteps]| -> Vec<RoleSteps> {
        roles.iter().filter(|role| role.role == "cilium").cloned().collect()
    };
    insta::assert_snapshot!("cilium", written(&of_cilium(roles)));
}

/// The statements of `etcd3`, where the two others are members already that know it from before, with etcd's release
/// among the artifacts.
fn joining(inventory: &str) -> Vec<RoleSteps> {
    let inventory = inventory::parse("etcd.yaml", inventory).unwrap().inventory;
    let node = include_str!("../fixtures/facts/debian-nspawn.txt");
    let member = |id: u8| {
        let list = "etcd.member=1, started, etcd1, https://10.77.0.21:2380, https://10.77.0.21:2379, false\n\
                    etcd.member=2, started, etcd2, https://10.77.0.22:2380, https://10.77.0.22:2379, false\n\
                    etcd.member=3, started, etcd3, https://10.77.0.23:2380, https://10.77.0.23:2379, false\n";
        let status = format!("etcd.status=https://127.0.0.1:2379, {id}, 3.4.23, 20 kB\n");
        format!("{node}\netcd.ca={}\netcd.data=yes\netcd.quorum=yes\n{status}{list}", "ca".repeat(32))
    };
    let facts = [("etcd1", member(1)), ("etcd2", member(2)), ("etcd3", node.to_string())];
    let facts: Observed =
        facts.into_iter().map(|(name, answer)| (name.to_string(), Facts::parse(&answer))).collect();
    let etcd = File {
        name: "etcd".into(),
        path: "/artifacts/etcd.tar.gz".into(),
        sha256: "ab".repeat(32),
        size: 1,
        version: "3.5.21".into(),
    };
    let index = Index { extras: vec![etcd], ..index() };
    let target = targets(&inventory, &facts, Some(&index), None).pop().unwrap();
    compile(&Library::default(), &Templates::new(Library::default()), &target).unwrap()
}

#[test]
fn what_a_host_gets_that_lost_its_disk_and_joins_etcd() {
    let text = written(&joining(include_str!("../fixtures/cluster/etcd.yaml")));
    let (_, etcd) = text.split_once("=== etcd-ca").unwrap();
    insta::assert_snapshot!("etcd-joins", etcd);
}

#[test]
fn what_an_inventory_says_of_etcd_counts() {
    let inventory = include_str!("../fixtures/cluster/etcd.yaml").replace(
        "vars:\n",
        "vars:\n  etcd: {heartbeat_ms: 300, election_ms: 3000, quota_bytes: 4294967296, snapshot_count: 5000, \
         compaction_retention: 1h, nice: 0, oom_score_adjust: 0}\n",
    );
    let text = written(&joining(&inventory));
    for line in [
        "ETCD_HEARTBEAT_INTERVAL=300\n",
        "ETCD_ELECTION_TIMEOUT=3000\n",
        "ETCD_QUOTA_BACKEND_BYTES=4294967296\n",
        "ETCD_SNAPSHOT_COUNT=5000\n",
        "ETCD_AUTO_COMPACTION_RETENTION=1h\n",
        "Nice=0\n",
        "OOMScoreAdjust=0\n",
    ] {
        assert!(text.contains(line), "{line}");
    }
    // Members at several sites do not take each other for dead at once.
    let apart = include_str!("../fixtures/cluster/etcd.yaml")
        .replace("hosts:\n", "sites: [north, south, witness]\n\nhosts:\n")
        .replace("21, roles: [etcd]", "21, roles: [etcd], site: north")
        .replace("22, roles: [etcd]", "22, roles: [etcd], site: south")
        .replace("23, roles: [etcd]", "23, roles: [etcd], site: witness")
        .replace("[control-plane]", "[control-plane], site: north")
        .replace("[worker]", "[worker], site: south");
    let text = written(&joining(&apart));
    assert!(text.contains("ETCD_HEARTBEAT_INTERVAL=250\nETCD_ELECTION_TIMEOUT=2500\n"));
}

/// Longhorn is told the disks of storage hosts, and other nodes have no label that asks for some.
#[test]
fn longhorn_keeps_replicas_on_storage_hosts_alone() {
    let own = |(host, roles): (String, Vec<RoleSteps>)| {
        let names: Vec<String> = roles.iter().map(|role| role.role.clone()).collect();
        let own: Vec<RoleSteps> = roles.into_iter().filter(|role| role.role == "longhorn").collect();
        (host, names.contains(&"storage".to_string()), written(&own))
    };
    let hosts: Vec<_> = compiled("volumes.yaml").into_iter().map(own).collect();
    let attach: Vec<bool> = hosts.iter().map(|(_, storage, _)| *storage).collect();
    assert_eq!(attach, [false, true, true, true]);
    assert!(hosts[0].2.is_empty() && hosts[1].2.is_empty());
    insta::assert_snapshot!("longhorn-folder", hosts[2].2);
    insta::assert_snapshot!("longhorn-disks", hosts[3].2);
}

/// Debian and Red Hat, with and without the virtual address.
#[test]
fn what_balancers_get() {
    for (host, roles) in compiled("balancers.yaml").into_iter().filter(|(host, _)| host != "cp3") {
        let own: Vec<RoleSteps> = roles.into_iter().filter(|role| role.role == "load-balancer").collect();
        insta::assert_snapshot!(format!("balancers-{host}"), written(&own));
    }
    // Alone, without anybody to hand the address to.
    let (_, roles) = compiled("balancers.yaml").remove(0);
    let mut context = roles.iter().find(|role| role.role == "load-balancer").unwrap().context.clone();
    let mut host = context.get("host").clone();
    host["balancer"]["vrrp"]["peers"] = json!([]);
    context.set("host", host);
    let alone = Templates::new(Library::default()).file("keepalived/keepalived.conf", &context).unwrap();
    assert!(!alone.contains("unicast") && alone.contains("vrrp_mcast_group4"), "{alone}");
    // Clients and the API servers have different ports on the same hosts.
    let init = roles.iter().find(|role| role.role == "control-plane").unwrap();
    let init = Templates::new(Library::default()).file("kubeadm/init.yaml", &init.context).unwrap();
    let documents: Vec<serde_json::Value> = serde_yaml::from_multiple(&init).unwrap();
    assert_eq!(documents[0]["localAPIEndpoint"]["bindPort"], 8444);
    assert_eq!(documents[1]["controlPlaneEndpoint"], "127.0.0.1:8443");
    let names = documents[1]["apiServer"]["certSANs"].as_array().unwrap();
    for name in ["127.0.0.1", "192.168.18.200"] {
        assert!(names.contains(&json!(name)), "{names:?}");
    }
}

/// What a host of each kind answers, as far as roles look at it.
const DEBIAN_13: &str = "os.id=debian\nos.version=13\ninit=systemd\nvirtualization=none\npackages=apt\ncgroup=2\ntime_service=chrony\ncontainerd=containerd 1.7.24~ds1-6\ninitiator=iqn.1993-08.org.debian:01:template\n";
const UBUNTU_26: &str = "os.id=ubuntu\nos.like=debian\nos.version=26.04\ninit=systemd\nvirtualization=none\npackages=apt\ncgroup=2\ntime_service=chrony\ncontainerd=containerd 2.2.1-0ubuntu1\n";
const ROCKY_9: &str = "os.id=rocky\nos.like=rhel centos fedora\nos.version=9.6\ninit=systemd\nvirtualization=none\npackages=dnf\ncgroup=2\ntime_service=chronyd\ncontainerd=containerd.io 2.0.7\n";

/// A storage host of this kind, with a proxy and mirrors; another host has the same iSCSI name.
fn of_family(answer: &str, index: &Index) -> Vec<RoleSteps> {
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

/// The iSCSI name is made where there is none and where another host has the same, and stays otherwise. In a mount
/// namespace with files of its own; the program that makes up names is not on every machine.
#[test]
fn a_host_gets_an_iscsi_name_of_its_own_and_keeps_it() {
    if std::process::Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|it| !it.success())
    {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "nothing may be skipped in CI");
        eprintln!("skipped: no namespaces here");
        return;
    }
    let roles = of_family(DEBIAN_13, &index());
    let steps = roles.iter().flat_map(|role| &role.steps);
    let command =
        steps.filter(|step| step.name.starts_with("the iSCSI initiator has a name")).find_map(|step| {
            if let Task::Command(command) = &step.task { Some(command.clone()) } else { None }
        });
    let command = command.unwrap();
    let bed = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/iscsi /mnt/bin && cp -a /etc/. /mnt/ && mount --bind /mnt /etc && \
               printf '#!/bin/sh\\necho iqn.2016-04.com.open-iscsi:new\\n' > /mnt/bin/iscsi-iname && chmod +x /mnt/bin/iscsi-iname && \
               PATH=/mnt/bin:$PATH && file=/etc/iscsi/initiatorname.iscsi";
    let made =
        "# Written by hoist: a name of its own, once.\nInitiatorName=iqn.2016-04.com.open-iscsi:new\n600\n";
    for (before, then) in [
        ("", made),
        ("GenerateName=yes\n", made),
        ("InitiatorName=\n", made),
        // The name that the other host has.
        ("InitiatorName=iqn.1993-08.org.debian:01:template\n", made),
        (
            "InitiatorName=iqn.1993-08.org.debian:01:own\n",
            "InitiatorName=iqn.1993-08.org.debian:01:own\n644\n",
        ),
    ] {
        let script = format!(
            "{bed} && printf '{}' > $file || exit 9\n(\n{}\n) || (\n{}\n) || exit 8\n(\n{}\n) || exit 7\ncat $file; stat -c %a $file",
            before.replace('\n', "\\n"),
            command.unless.as_deref().unwrap(),
            command.run,
            command.unless.as_deref().unwrap(),
        );
        let output =
            std::process::Command::new("unshare").args(["--mount", "sh", "-c", &script]).output().unwrap();
        assert!(output.status.success(), "{before}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), then, "{before}");
    }
}

/// What a node is that the inventory does not have.
fn rented_node() -> Vec<RoleSteps> {
    let inventory =
        inventory::parse("burst.yaml", include_str!("../../inventory/burst.yaml")).unwrap().inventory;
    let node = Rented {
        name: "burst-1",
        address: "172.16.0.9",
        provider_id: "aws:///eu-central-1a/i-1",
        capacity: "spot",
        labels: &BTreeMap::new(),
        taints: &[],
    };
    let target = rented(&inventory, Some(&index()), &Facts::parse(METAL), &node);
    let library = Library::default();
    compile(&library, &Templates::new(library.clone()), &target).unwrap()
}

#[test]
fn the_samples_between_them_use_every_role() {
    let mut roles = BTreeSet::new();
    for name in [
        "lab.yaml",
        "single.yaml",
        "three.yaml",
        "etcd.yaml",
        "balancers.yaml",
        "volumes.yaml",
        "nfs.yaml",
        "cilium.yaml",
        "burst.yaml",
    ] {
        roles.extend(compiled(name).into_iter().flat_map(|(_, roles)| roles).map(|role| role.role));
    }
    roles.extend(of_family(DEBIAN_13, &index()).into_iter().map(|role| role.role));
    roles.extend(rented_node().into_iter().map(|role| role.role));
    // A verb of its own applies this one: `hoist certificates renew`.
    roles.insert("renewal".to_string());
    assert_eq!(roles.into_iter().collect::<Vec<_>>(), Library::default().roles());
}

#[test]
fn the_roles_and_templates_have_no_mistake() {
    let found = lint(&Library::default(), &[]).unwrap();
    assert!(found.is_empty(), "{:?}", found.iter().map(|file| file.to_json()).collect::<Vec<_>>());
}

#[test]
fn the_reference_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/roles.md");
    let reference = role_reference();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &reference).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == reference,
        "docs/roles.md is out of date: run `UPDATE=1 cargo test --test roles`"
    );
}

#[test]
fn what_programs_read_is_what_they_can_read() {
    for (host, roles) in compiled("lab.yaml") {
        let steps = || roles.iter().flat_map(|role| &role.steps);
        let content = |wanted: &str| {
            steps().find_map(|step| match &step.task {
                Task::File(file) if file.path == wanted => Some(file.content.clone()),
                _ => None,
            })
        };
        let network: serde_json::Value =
            serde_json::from_str(&content("/etc/cni/net.d/10-bridge.conflist").unwrap()).unwrap();
        let subnet = network["plugins"][0]["ipam"]["ranges"][0][0]["subnet"].as_str().unwrap();
        assert!(subnet.starts_with("10.244.1") && subnet.ends_with(".0/24"), "{host}: {subnet}");
        // No host has a route to its own pods, which are on its bridge.
        let routes = content("/etc/systemd/system/pod-routes.service").unwrap();
        assert!(
            !routes.contains(&format!("route replace {subnet} "))
                && routes.matches("route replace").count() == 2
        );
    }
}
