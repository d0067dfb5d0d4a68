//! Answers that were recorded, answers written by hand, and the answers of real shells.

use std::path::Path;

use super::*;
use crate::transport::Local;

const CAPTURED: &str = include_str!("../../tests/fixtures/preflight/debian-12-container.txt");
const TYPED: &str = include_str!("../../tests/fixtures/preflight/rhel-9-vmware.txt");

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn what_a_container_without_systemd_answered() {
    let survey = Survey::parse(CAPTURED);
    assert_eq!(survey.ssh_host_keys.len(), 3);
    assert_eq!((survey.iscsi.as_str(), survey.nvme.as_str()), ("", ""));
    assert_eq!(survey.localhost[0], address("127.0.0.1"));
    assert_eq!(survey.wildcard, Some(Lookup::Nothing));
    assert_eq!(survey.nameservers, ["10.255.255.53"]);
    assert_eq!(survey.disks.len(), 6);
    let disk = survey.disk("/var/lib/etcd").unwrap();
    assert!(disk.size_kib > disk.free_kib && disk.inodes > disk.inodes_free && disk.has("rw"), "{disk:?}");
    assert!(survey.modules.iter().all(|(_, there)| *there));
    assert!(survey.controllers.iter().any(|controller| controller == "memory"));
    assert_eq!((survey.seccomp, survey.btf, survey.selinux), (Some(true), Some(true), None));
    // Nobody is asked who does not answer: that is not the same as "not active".
    assert_eq!((survey.active, survey.synchronized), (None, None));
    let [route] = &survey.routes[..] else { panic!("{:?}", survey.routes) };
    assert_eq!((route.network.to_string().as_str(), route.device.as_str()), ("192.0.2.0/24", "eth0"));
    assert_eq!(survey.outward, Some([192, 0, 2, 2].into()));
}

#[test]
fn what_a_template_of_red_hat_would_answer() {
    let survey = Survey::parse(TYPED);
    assert_eq!(survey.iscsi, "iqn.1994-05.com.redhat:8a3f2c1d9e");
    assert!(survey.nvme.starts_with("nqn.2014-08"));
    assert_eq!(survey.own_name, [address("192.168.18.211"), address("fe80::250:56ff:fe83:4a01")]);
    assert_eq!(survey.wildcard, Some(Lookup::Address(address("203.0.113.9"))));
    assert_eq!(survey.nameservers, ["127.0.0.53"]);
    assert_eq!(survey.search, ["example.lan", "wild.example.lan"], "the last line wins");
    assert_eq!(survey.resolved, ["192.168.18.1"]);
    assert_eq!(survey.resolved_search, ["example.lan"]);
    assert!(survey.resolv_author.contains("systemd-resolved"));
    assert_eq!(survey.dhcp, [r#""\000\001\000\001.\030\314\347\000PV\203\000\013""#]);
    assert_eq!((survey.swap_in.len(), survey.swap_masked), (2, true));
    assert_eq!(survey.conntrack, Some(131_072));
    let server = SshServer { startups: Some(10), sessions: Some(10), looks_up: Some(false) };
    assert_eq!(survey.sshd, server);
    assert_eq!(survey.sudo_path.as_deref(), Some("/sbin:/bin:/usr/sbin:/usr/bin"));
    assert_eq!((survey.disks[0].kind.as_str(), survey.disks[1].kind.as_str()), ("xfs", ""));
    assert_eq!(survey.disks.len(), 2, "what cannot be read is not there");
    assert_eq!((survey.disks[1].inodes, survey.disks[1].has("noexec")), (0, true));
    assert_eq!(survey.modules[1], ("br_netfilter".into(), false));
    assert!(survey.is_active("firewalld") && !survey.is_active("docker"));
    assert_eq!((survey.selinux, survey.synchronized), (Some(true), Some(true)));
    assert!(survey.drops[0].starts_with("chain filter_INPUT"));
    let seen: Vec<_> = survey
        .listeners
        .iter()
        .map(|listener| (listener.address, listener.port, listener.process.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [
            (address("0.0.0.0"), 6443, Some("k3s-server")),
            (address("::1"), 10250, None),
            (address("127.0.0.1"), 10250, None),
        ]
    );
    assert_eq!(survey.locked, ["/var/lib/rpm/.rpm.lock dnf"]);
    let routes: Vec<_> = survey
        .routes
        .iter()
        .map(|route| format!("{} {:?} {}", route.network, route.via, route.device))
        .collect();
    assert_eq!(
        routes,
        ["192.168.18.0/24 None ens192", "10.244.7.9/32 Some(192.168.18.1) ens192", "10.96.0.0/12 None "]
    );
    assert_eq!(survey.outward, Some([192, 168, 18, 211].into()));
}

/// Every shell that a host may have as /bin/sh answers the same.
#[tokio::test]
async fn real_shells_answer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for shell in [&["/bin/sh"][..], &["/bin/bash", "--posix"], &["/bin/busybox", "sh"]] {
        if !Path::new(shell[0]).exists() {
            continue;
        }
        let host = Local::with_shell("here", shell).await.unwrap();
        let survey =
            ask(&host, "it's a name", &[port, 6443], Some("/var/lib/longhorn"), Depth::Whole).await.unwrap();
        assert!(survey.localhost.iter().any(IpAddr::is_loopback), "{shell:?}: {survey:?}");
        assert!(survey.wildcard.is_some(), "{shell:?}");
        assert_eq!(survey.disks.len(), 8, "{shell:?}: {survey:?}");
        let disk = survey.disk("/var/lib/longhorn").unwrap();
        assert_eq!(disk.kind.is_empty(), disk.options.is_empty(), "{shell:?}: {disk:?}");
        let limit = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max");
        assert_eq!(survey.conntrack, limit.ok().and_then(|text| text.trim().parse().ok()), "{shell:?}");
        // Where no program can tell of those that are not loaded, only the others are named.
        let told = ["/sbin/modprobe", "/usr/sbin/modprobe"].iter().any(|path| Path::new(path).exists());
        assert!(!told || survey.modules.len() == 6, "{shell:?}: {:?}", survey.modules);
        // Not every kernel tells.
        let told = Path::new("/proc/sys/net/ipv4/conf/all/rp_filter").exists();
        assert_eq!(survey.reverse_path.iter().any(|(name, _)| name == "all"), told, "{shell:?}: {survey:?}");
        let quick = ask(&host, "it's a name", &[port, 6443], None, Depth::Quick).await.unwrap();
        assert_eq!((quick.wildcard, quick.localhost.len()), (None, 0), "{shell:?}: no name server is asked");
        assert_eq!(quick.listeners, survey.listeners, "{shell:?}");
        assert!(survey.seccomp.is_some() && survey.btf.is_some(), "{shell:?}");
        assert!(!survey.controllers.is_empty(), "{shell:?}");
        let own = survey.listeners.iter().find(|listener| listener.port == port).unwrap();
        assert_eq!(own.address, address("127.0.0.1"), "{shell:?}");
        if nix::unistd::geteuid().is_root() {
            let name = std::fs::read_to_string("/proc/self/comm").unwrap();
            assert_eq!(own.process.as_deref(), Some(name.trim()), "{shell:?}");
            let said = |program: &str, arguments: &[&str]| {
                let output = std::process::Command::new(program).args(arguments).output().ok()?;
                output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
            };
            let sshd = said("/usr/sbin/sshd", &["-T", "-C", "user=root,host=a,addr=192.0.2.1"]);
            assert_eq!(sshd.is_some(), survey.sshd != SshServer::default(), "{shell:?}: {survey:?}");
            for value in [survey.sshd.startups, survey.sshd.sessions] {
                assert_eq!(sshd.is_some(), value.is_some(), "{shell:?}: {:?}", survey.sshd);
            }
            let sudo = said("sudo", &["-V"]);
            let path = survey.sudo_path.as_deref();
            assert_eq!(sudo.is_some(), path.is_some(), "{shell:?}");
            assert!(sudo.is_none_or(|sudo| sudo.contains(path.unwrap())), "{shell:?}: {path:?}");
        }
    }
}
