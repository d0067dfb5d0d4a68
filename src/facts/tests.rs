//! Answers of hosts and the facts that they become.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

const DEBIAN: &str = include_str!("../../tests/fixtures/facts/debian-nspawn.txt");

#[test]
fn reads_what_a_debian_node_answers() {
    let facts = Facts::parse(DEBIAN);
    assert_eq!(facts.os.family, "debian");
    assert_eq!((facts.init.as_str(), facts.packages.as_str(), facts.cgroup), ("systemd", "apt", 1));
    assert_eq!(facts.addresses[0].address.to_string(), "10.77.0.11");
    assert!(facts.container && facts.time_service.is_empty() && !facts.cloud_init);
    assert!(Facts::parse("cloud_init=yes\n").cloud_init);
    assert!(!facts.kubernetes.joined && facts.memory_kib > 0 && facts.free_kib > 0);
    assert_eq!(
        (facts.containerd.name.as_str(), facts.containerd.version.as_str()),
        ("containerd", "1.7.24~ds1-6+deb13u1")
    );
    assert_eq!(facts.initiator, "");
    assert_eq!(facts.fit(), Ok(()));
}

#[test]
fn reads_what_others_answer() {
    let container = Facts::parse(include_str!("../../tests/fixtures/facts/debian-12-container.txt"));
    assert!(container.container && container.fit().is_err());
    let interface = container.interface_of([192, 0, 2, 2].into()).unwrap();
    assert_eq!((interface.name.as_str(), interface.mtu, interface.hardware), ("eth0", 1400, true));
    assert_eq!(container.addresses[0].prefix, 24);

    let red_hat = Facts::parse(include_str!("../../tests/fixtures/facts/rhel-9-vmware.txt"));
    assert_eq!((red_hat.os.family.as_str(), red_hat.packages.as_str()), ("redhat", "dnf"));
    assert_eq!(red_hat.hardware.vendor, "VMware, Inc.");
    assert_eq!(red_hat.hardware.uuid, "42031f3a-9a3b-7c1d-2e4f-5a6b7c8d9e0f", "in lower case");
    assert_eq!(red_hat.swap, ["/dev/dm-1"]);
    assert_eq!(red_hat.containerd, Package { name: "containerd.io".into(), version: "2.1.4".into() });
    assert_eq!(red_hat.initiator, "iqn.1994-05.com.redhat:7d0a1c2be3f9");
    let interfaces: Vec<&str> = red_hat.interfaces.iter().map(|interface| interface.mac.as_str()).collect();
    assert_eq!(interfaces, ["00:50:56:83:4a:01", "52:54:00:12:34:56"], "each once, in lower case");
    assert!(!red_hat.container && red_hat.fit().is_ok());
}

#[test]
fn which_cluster_a_node_is_in() {
    let answer = "kubernetes.joined=yes\nkubernetes.authority=ab12\nkubernetes.control_plane=yes\n\
                      kubernetes.cluster=\"1234\"\n";
    let own = Facts::parse(answer).kubernetes;
    assert_eq!((own.authority.as_str(), own.cluster.as_str()), ("ab12", "1234"));
    assert!(own.joined && own.control_plane);
    // As somebody might write them by hand.
    let own =
        Facts::parse("kubernetes.endpoint=10.0.0.1:6443/\"\nkubernetes.pods=10.244.0.0/16\"\n").kubernetes;
    assert_eq!((own.endpoint.as_str(), own.pods.as_str()), ("10.0.0.1:6443", "10.244.0.0/16"));
}

/// The script itself, in every shell that a host may have: the fingerprint is that of the first certificate, which
/// here is just a word, whatever stands around it.
#[tokio::test]
async fn a_node_tells_its_clusters_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    for within in ["pki", "manifests"] {
        std::fs::create_dir(folder.path().join(within)).unwrap();
    }
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let script = SCRIPT.replace("/etc/kubernetes", folder.path().to_str().unwrap());
    for shell in [&["/bin/sh"][..], &["/bin/bash", "--posix"], &["/bin/busybox", "sh"]] {
        if !std::path::Path::new(shell[0]).exists() {
            continue;
        }
        let host = transport::Local::with_shell("here", shell).await.unwrap();
        let ask = || async {
            let output = host.run(Script::new(script.clone())).await.unwrap();
            Facts::parse(&String::from_utf8_lossy(&output.stdout)).kubernetes
        };
        for name in [
            "kubelet.conf",
            "admin.conf",
            "pki/ca.crt",
            "manifests/kube-apiserver.yaml",
            "manifests/kube-controller-manager.yaml",
            "manifests/etcd.yaml",
        ] {
            let _ = std::fs::remove_file(folder.path().join(name));
        }
        assert_eq!(ask().await, Kubernetes::default(), "{shell:?}");
        write("kubelet.conf", "");
        assert_eq!(ask().await, Kubernetes { joined: true, ..Kubernetes::default() }, "{shell:?}");
        let certificate = |body| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        write("pki/ca.crt", &(format!("subject=office\n{}{}", certificate("b2\n5l"), certificate("dHdv"))));
        write(
            "admin.conf",
            "clusters:\n- cluster:\n    server: https://10.0.0.9:6443\n  name: office\ncontexts:\n- context:\n    \
             cluster: office\n",
        );
        let own = ask().await;
        // sha256("one")
        let one = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
        assert_eq!((own.authority.as_str(), own.cluster.as_str()), (one, "office"), "{shell:?}");
        assert_eq!(own.endpoint, "10.0.0.9:6443", "{shell:?}");
        assert!(own.version.is_empty() && !own.api_server, "there is no API server yet, {shell:?}");
        let manifest = |part: &str, flag: &str| {
            let image = format!("registry:5000/kube-{part}:v1.36.2");
            let command = format!("  - command:\n    - kube-{part}\n{flag}    image: {image}\n");
            write(&format!("manifests/kube-{part}.yaml"), &format!("spec:\n  containers:\n{command}"));
        };
        manifest(
            "apiserver",
            "    - --service-cluster-ip-range=10.96.0.0/12\n    - --tls-min-version=VersionTLS12\n",
        );
        let own = ask().await;
        assert_eq!((own.version.as_str(), own.services.as_str()), ("1.36.2", "10.96.0.0/12"), "{shell:?}");
        assert!(own.pods.is_empty() && own.api_server, "{shell:?}");
        manifest("controller-manager", "    - --cluster-cidr=10.244.0.0/16\n");
        assert_eq!(ask().await.pods, "10.244.0.0/16", "{shell:?}");
        for (servers, stacked) in [
            ("https://127.0.0.1:2379", "stacked"),
            ("https://10.0.0.21:2379", "external"),
            ("https://127.0.0.1:2379,https://10.0.0.21:2379", "external"),
        ] {
            let etcd = format!("    - --etcd-servers={servers}\n");
            manifest("apiserver", &format!("{etcd}    - --secure-port=6444\n"));
            let own = ask().await;
            assert_eq!((own.etcd.as_str(), own.api_port), (stacked, Some(6444)), "{shell:?} {servers}");
            assert_eq!((own.etcd_servers.join(","), own.etcd_authority.as_str()), (servers.to_owned(), ""));
        }
        let external = "    - --etcd-servers=https://10.0.0.21:2379\n";
        write("etcd-ca.crt", "one");
        for (authority, digest) in [("etcd-ca.crt", one), ("pki/ca.crt", ""), ("not-there", "")] {
            let file = folder.path().join(authority);
            manifest("apiserver", &format!("    - --etcd-cafile={}\n{external}", file.display()));
            let own = ask().await;
            let expected = (digest, "external");
            assert_eq!((own.etcd_authority.as_str(), own.etcd.as_str()), expected, "{shell:?} {authority}");
        }
        // Whoever told it of the other members, too.
        write("manifests/etcd.yaml", "");
        assert_eq!(ask().await.etcd, "stacked", "{shell:?}");
        // What is not said is not known.
        manifest("apiserver", "");
        manifest("controller-manager", "");
        let own = ask().await;
        assert_eq!((own.services.as_str(), own.pods.as_str()), ("", ""), "{shell:?}");
        assert_eq!((own.etcd.as_str(), own.api_port), ("", None), "{shell:?}");
    }
}

/// The script itself, with what hoist writes for three control planes, for one, and what somebody else may have there.
#[tokio::test]
async fn whom_a_keeper_of_the_virtual_address_knows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keepalived.conf");
    let script = SCRIPT.replace("/etc/keepalived/keepalived.conf", path.to_str().unwrap());
    let peers =
        "    unicast_src_ip 10.0.0.1\n    unicast_peer {\n        10.0.0.2\n        10.0.0.3\n    }\n";
    let address = "    virtual_ipaddress {\n        10.0.0.9/32 dev eth0\n    }\n";
    for shell in [&["/bin/sh"][..], &["/bin/bash", "--posix"], &["/bin/busybox", "sh"]] {
        if !std::path::Path::new(shell[0]).exists() {
            continue;
        }
        let host = transport::Local::with_shell("here", shell).await.unwrap();
        let _ = std::fs::remove_file(&path);
        for (text, expected) in [
            (None, None),
            (
                Some(format!("vrrp_instance api {{\n{peers}{address}}}\n")),
                Some(vec![[10, 0, 0, 2], [10, 0, 0, 3]]),
            ),
            (Some(format!("vrrp_instance api {{\n{address}}}\n")), Some(vec![])),
            (Some(format!("vrrp_instance VI_1 {{\n{address}}}\n")), None),
        ] {
            if let Some(text) = &text {
                std::fs::write(&path, text).unwrap();
            }
            let output = host.run(Script::new(script.clone())).await.unwrap();
            let facts = Facts::parse(&String::from_utf8_lossy(&output.stdout));
            let expected = expected.map(|peers| peers.into_iter().map(Ipv4Addr::from).collect::<Vec<_>>());
            assert_eq!(facts.keeper, expected, "{text:?} {shell:?}");
        }
    }
}

#[test]
fn addresses_and_interfaces_in_all_their_forms() {
    for (text, expected) in [
        ("eth0 10.0.0.1/24", Some(("10.0.0.1", 24))),
        ("tun0 10.0.0.1", Some(("10.0.0.1", 32))),
        ("eth0 2001:db8::1/64", Some(("2001:db8::1", 64))),
        ("tun0 2001:db8::1", Some(("2001:db8::1", 128))),
        ("eth0 10.0.0.1/99", Some(("10.0.0.1", 32))),
        ("eth0 nonsense", None),
        ("eth0", None),
    ] {
        let parsed = InterfaceAddress::parse(text);
        let found = parsed.map(|own| (own.address, own.prefix));
        let expected = expected.map(|(address, prefix)| (address.parse().unwrap(), prefix));
        assert_eq!(found, expected, "{text}");
    }
    assert_eq!(Interface::parse("tun0 - 1420 virtual").map(|interface| interface.mac), Some(String::new()));
    assert_eq!(Interface::parse("eth0 00:00 many hardware"), None);
}

#[test]
fn releases_are_named_as_far_as_packages_differ() {
    for (id, version, family, expected) in [
        ("debian", "12", "debian", "debian-12"),
        ("ubuntu", "24.04", "debian", "ubuntu-24.04"),
        ("rocky", "9.4", "redhat", "rocky-9"),
        ("debian", "", "debian", "debian"),
    ] {
        let own = |text: &str| text.to_string();
        let os = Os { id: own(id), version: own(version), family: own(family), name: String::new() };
        assert_eq!(os.release(), expected);
    }
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

/// A host that can start no more processes stops in the middle, where it may have told that it is a node, and not yet that
/// it is a control plane.
#[tokio::test]
async fn half_an_answer_is_none() {
    let host = transport::Local::open("here").await.unwrap();
    let half = |status| {
        let (stdout, stderr) = (b"kubernetes.joined=yes\n".to_vec(), b"sh: Cannot fork".to_vec());
        Facts::answered(&host, Output { status, stdout, stderr })
    };
    assert!(half(0).unwrap().kubernetes.joined);
    let error = half(2).unwrap_err();
    assert!(
        matches!(&error, transport::Error::ShellEnded { output, .. } if output == "sh: Cannot fork"),
        "{error}"
    );
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

/// The script itself, with the units' files and what `systemctl show` says where there are several.
#[tokio::test]
async fn the_time_service_that_runs_counts() {
    let unit = |name: &str, load: &str, active: &str| {
        format!("Id={name}.service\nLoadState={load}\nActiveState={active}\n")
    };
    let ours = unit("systemd-timesyncd", "loaded", "inactive");
    let nobody_asks: Vec<String> = Vec::new();
    for (files, units, expected) in [
        (vec![], nobody_asks.clone(), ""),
        (vec![("sshd", "[Unit]")], nobody_asks.clone(), ""),
        (vec![("chrony", "[Unit]")], nobody_asks.clone(), "chrony"),
        (vec![("systemd-timesyncd", "[Unit]"), ("ntp", "")], nobody_asks.clone(), "systemd-timesyncd"),
        (
            vec![("chrony", "[Unit]"), ("chronyd", "[Unit]"), ("systemd-timesyncd", "[Unit]")],
            vec![unit("chrony", "loaded", "active"), unit("chrony", "loaded", "active"), ours.clone()],
            "chrony",
        ),
        (
            vec![("openntpd", "[Unit]"), ("systemd-timesyncd", "[Unit]")],
            vec![unit("openntpd", "masked", "active"), ours.clone()],
            "systemd-timesyncd",
        ),
        (
            vec![("ntp", "[Unit]"), ("systemd-timesyncd", "[Unit]")],
            vec![unit("ntp", "loaded", "active"), ours],
            "ntp",
        ),
    ] {
        let host = Pretended::new();
        for (name, text) in &files {
            fs::write(host.folder.path().join(format!("{name}.service")), text).unwrap();
        }
        let answer = units.join("\n");
        host.program("systemctl", &format!("[ $# -gt {} ] && cat <<'END'\n{answer}END\n", 6 + files.len()));
        let facts = host.facts().await;
        assert_eq!(facts.time_service, expected, "{files:?} {units:?}");
        assert!(!facts.architecture.is_empty() && facts.memory_kib > 0, "the rest is told as well");
    }
}

/// The script itself, with dpkg's file, and without dpkg.
#[tokio::test]
async fn the_containerd_that_is_installed_counts() {
    let stanza = |name: &str, status: &str, version: &str| {
        format!(
            "Package: {name}\nStatus: {status}\nArchitecture: amd64\nVersion: {version}\nDepends: runc\n\n"
        )
    };
    let installed = "install ok installed";
    for (status, expected) in [
        (stanza("containerd", installed, "1.7.24~ds1-6"), "containerd 1.7.24~ds1-6"),
        (stanza("containerd", "hold ok installed", "1.7"), "containerd 1.7"),
        (
            stanza("containerd", "deinstall ok config-files", "1.6")
                + &stanza("containerd.io", installed, "2.1-1"),
            "containerd.io 2.1-1",
        ),
        (stanza("containerd", "install ok half-installed", "1.6"), "containerd 9.9"),
        // What comes next in the file is another package.
        (
            stanza("containerd", "deinstall ok config-files", "1.6") + &stanza("zsh", installed, "5.9"),
            "containerd 9.9",
        ),
        (stanza("containerd-shim", installed, "1.6"), "containerd 9.9"),
        (String::new(), "containerd 9.9"),
    ] {
        let host = Pretended::new();
        host.program("apt-cache", "echo '  Candidate: 9.9'");
        fs::write(host.folder.path().join("status"), &status).unwrap();
        let found = host.facts().await.containerd;
        assert_eq!(format!("{} {}", found.name, found.version), expected, "{status}");
    }
    let host = Pretended::new();
    host.program(
        "rpm",
        "echo package containerd.io is not installed
         printf \"$(printf %s \"$3\" | sed 's/%{NAME}/containerd/; s/%{VERSION}/2.0.7/')\"",
    );
    let found = host.facts().await.containerd;
    assert_eq!((found.name.as_str(), found.version.as_str()), ("containerd", "2.0.7"));
}

/// This machine, but for the files that are looked for in a folder, and the programs that are there.
struct Pretended {
    folder: tempfile::TempDir,
}

impl Pretended {
    fn new() -> Pretended {
        Pretended { folder: tempfile::tempdir().unwrap() }
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    async fn facts(&self) -> Facts {
        let folder = self.folder.path().display().to_string();
        let mut script = format!("PATH={folder}:$PATH\n{SCRIPT}");
        for (theirs, ours) in [
            ("folders='/etc/systemd/system ", format!("folders='{folder} {folder}/none'\n: '")),
            ("/var/lib/dpkg/status", format!("{folder}/status")),
            ("/usr/local/bin/containerd", format!("{folder}/containerd")),
            ("command -v dpkg-query", format!("[ -e {folder}/status ]")),
        ] {
            assert!(script.contains(theirs), "{theirs}");
            script = script.replace(theirs, &ours);
        }
        let host = transport::Local::open("here").await.unwrap();
        let output = host.run(Script::new(script)).await.unwrap();
        Facts::parse(&String::from_utf8_lossy(&output.stdout))
    }
}
