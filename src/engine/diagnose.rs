//! From the output of a failed command to its likely cause. The entries are what users of installers report.

/// What a line of output means, and what to do about it.
struct Sign {
    /// Parts of one line, in lower case.
    says: &'static [&'static str],
    /// The cause, and what to do.
    means: (&'static str, &'static str),
}

const CGROUPS: (&str, &str) = (
    "the host's cgroups are not as the kubelet needs them",
    "check that systemd manages them: `stat -fc %T /sys/fs/cgroup` there",
);
const DISK_FULL: (&str, &str) = (
    "the host's disk is full",
    "make room there (`df -h`, `journalctl --vacuum-size=200M`), then run the same command again",
);
const PORT_TAKEN: (&str, &str) = (
    "another program listens on a port that Kubernetes needs",
    "find it with `ss -ltnp` there and stop it, then run the same command again",
);
const CONFLICT: (&str, &str) = (
    "the package conflicts with others that are installed, and hoist removes none",
    "see above which ones; if nothing needs them, remove them there, then run the same command again",
);
const MEMBER_AWAY: (&str, &str) = (
    "etcd takes no new member while one of its members is away",
    "bring that one back; if its host is lost for good, take the member out on a control plane that lives, CP: `kubectl \
     --kubeconfig /etc/kubernetes/admin.conf -n kube-system exec etcd-CP -- etcdctl --cacert /etc/kubernetes/pki/etcd/ca.crt --cert \
     /etc/kubernetes/pki/etcd/server.crt --key /etc/kubernetes/pki/etcd/server.key member list`, then the same with `member \
     remove ID`",
);
const TOKEN: (&str, &str) = (
    "the token to join with has expired or was deleted, or the controller manager, which signs it, does not run",
    "run the same command again, which asks for a new one; if that fails, look at `crictl ps -a` on the control planes",
);
const KUBELET_EXPIRED: (&str, &str) = (
    "the kubelet's certificate has expired, as after months of being off: without one it can ask for no other",
    "a control plane: `hoist certificates renew`; a worker: `kubeadm reset --force` there, then run the same command \
     again, and it joins anew",
);

const SIGNS: &[Sign] = &[
    Sign { says: &["no space left on device"], means: DISK_FULL },
    Sign { says: &["you don't have enough free space in"], means: DISK_FULL },
    Sign {
        says: &["read-only file system"],
        means: (
            "the host's file system is mounted read-only, often after a disk error",
            "look at `dmesg` there and repair the disk, then run the same command again",
        ),
    },
    Sign {
        says: &["could not get lock"],
        means: (
            "another program installs packages on the host, often unattended-upgrades",
            "wait for it, then run the same command again",
        ),
    },
    Sign { says: &["packages need to be removed but remove is disabled"], means: CONFLICT },
    Sign { says: &["package ", " conflicts with ", " provided by "], means: CONFLICT },
    Sign {
        says: &["unable to locate package"],
        means: (
            "the host's package repositories do not have the package",
            "check /etc/apt/sources.list.d there and its way to the repository",
        ),
    },
    Sign {
        says: &["unable to find a match: "],
        means: (
            "the host's package repositories do not have the package",
            "check /etc/yum.repos.d there (`dnf repolist`) and the package's name in that distribution",
        ),
    },
    Sign {
        says: &["failed to download metadata for repo"],
        means: (
            "the host does not reach one of its package repositories",
            "check `dnf repolist` there, the proxy in /etc/dnf/dnf.conf, and its way to the repository",
        ),
    },
    Sign {
        says: &["temporary failure resolving"],
        means: (
            "the host cannot resolve names",
            "mend /etc/resolv.conf there, or install the package from a repository it can reach",
        ),
    },
    Sign {
        says: &["permission denied (13)"],
        means: (
            "a security module or a mount option forbids it",
            "look at `ausearch -m avc` or `dmesg` there",
        ),
    },
    Sign {
        // In the words of a shell, which is root's.
        says: &["sh: ", ": permission denied"],
        means: (
            "a file has no mode to be run, its file system is mounted noexec, or a security module forbids it",
            "look at `ls -l FILE`, `findmnt -T FILE` and `dmesg` there",
        ),
    },
    Sign { says: &["[error port-", "is in use"], means: PORT_TAKEN },
    Sign { says: &["address already in use"], means: PORT_TAKEN },
    // The kubelet, pkg/kubelet/certificate/bootstrap.
    Sign {
        says: &["part of the existing bootstrap client certificate", "is expired"],
        means: KUBELET_EXPIRED,
    },
    Sign {
        says: &["unable to load bootstrap kubeconfig", "bootstrap-kubelet.conf: no such file or directory"],
        means: KUBELET_EXPIRED,
    },
    Sign {
        says: &["x509: certificate has expired or is not yet valid"],
        means: (
            "the clocks of the hosts differ, or certificates have run out",
            "compare `date -u` on both hosts and turn on time synchronisation; where they agree, `hoist \
             certificates show` tells which have run out",
        ),
    },
    // The kubelet's own words, and those of kubeadm's and runc's checks.
    Sign { says: &["failed to run kubelet", "cgroup"], means: CGROUPS },
    Sign { says: &["failed to start containermanager", "cgroup"], means: CGROUPS },
    Sign { says: &["failed to start container manager", "cgroup"], means: CGROUPS },
    Sign { says: &["not run on a host using cgroup v1"], means: CGROUPS },
    Sign { says: &["[error systemverification]", "cgroup"], means: CGROUPS },
    Sign { says: &["expected cgroupspath to be of format"], means: CGROUPS },
    // etcd, server/etcdserver/errors.go, in the words of its clients, and kubeadm's check of it.
    Sign { says: &["etcdserver: unhealthy cluster"], means: MEMBER_AWAY },
    Sign { says: &["re-configuration failed due to not enough started members"], means: MEMBER_AWAY },
    Sign { says: &["etcd cluster is not healthy"], means: MEMBER_AWAY },
    // kubeadm, cmd/kubeadm/app/discovery/token and app/util/pubkeypin.
    Sign { says: &["could not find a jws signature in the cluster-info"], means: TOKEN },
    Sign { says: &["token id", "is invalid for this cluster or it has expired"], means: TOKEN },
    Sign {
        says: &["none of the public keys", "are pinned"],
        means: (
            "another cluster answers at the API server's address",
            "check `cluster.endpoint` in the inventory, and who has that address: `hoist preflight`",
        ),
    },
];

/// Where the API server should be and nothing is. Last, for it follows from much else that is said beside it.
const API_REFUSES: (&str, &str) = (
    "nothing listens at the API server's address: it does not run, or that is not its address",
    "look at `crictl ps -a` on the control plane; where it runs, check `cluster.endpoint` in the inventory",
);

/// The likely cause and the next step, when a line of the output is known. `api` is where the API server is reached, as
/// `ADDRESS:PORT`.
///
/// What kubeadm ends with, and the explanation of the step behind it, count before all that was said on the way there.
pub(super) fn diagnose(output: &[String], api: &[String]) -> Option<(&'static str, &'static str)> {
    let lines: Vec<String> = output.iter().map(|line| line.trim().to_lowercase()).collect();
    let verdict = lines.iter().position(|line| is_verdict(line)).unwrap_or(0);
    let (before, after) = lines.split_at(verdict);
    [after, before].into_iter().find_map(|lines| {
        let lines: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !is_guess(line)).collect();
        let fits = |sign: &&Sign| lines.iter().any(|line| sign.says.iter().all(|part| line.contains(part)));
        let sign = SIGNS.iter().find(fits).map(|sign| sign.means);
        sign.or_else(|| lines.iter().any(|line| is_refused(line, api)).then_some(API_REFUSES))
    })
}

/// With what kubeadm says why it ends.
fn is_verdict(line: &str) -> bool {
    line.contains("error execution phase ") || line.starts_with("[error ")
}

/// What kubeadm says of every kubelet that it waited for in vain, and what it only warns of.
fn is_guess(line: &str) -> bool {
    ["[kubelet-check]", "[warning ", "- the kubelet is "].iter().any(|begin| line.starts_with(begin))
}

/// Whether somebody was refused at one of these addresses. One line may tell of several.
fn is_refused(line: &str, addresses: &[String]) -> bool {
    let refused = |part: &str| part.contains("connection refused") || part.contains("was refused");
    let names = |part: &str, address: &str| {
        part.match_indices(address).any(|(at, _)| {
            let (before, after) = (&part[..at], &part[at + address.len()..]);
            let inside = |other: Option<char>| other.is_some_and(|c| c.is_ascii_alphanumeric() || c == '.');
            !inside(before.chars().next_back()) && !after.starts_with(|c: char| c.is_ascii_digit())
        })
    };
    line.split(", ")
        .filter(|part| refused(part))
        .any(|part| addresses.iter().any(|address| names(part, &address.to_lowercase())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// kubeadm 1.20 to 1.28, init and join.
    const TIME_OUT: &str = r#"
[wait-control-plane] Waiting for the kubelet to boot up the control plane as static Pods from directory "/etc/kubernetes/manifests". This can take up to 4m0s
[kubelet-check] Initial timeout of 40s passed.
[kubelet-check] It seems like the kubelet isn't running or healthy.
[kubelet-check] The HTTP call equal to 'curl -sSL http://localhost:10248/healthz' failed with error: Get "http://localhost:10248/healthz": dial tcp 127.0.0.1:10248: connect: connection refused.

	Unfortunately, an error has occurred:
		timed out waiting for the condition

	This error is likely caused by:
		- The kubelet is not running
		- The kubelet is unhealthy due to a misconfiguration of the node in some way (required cgroups disabled)

	If you are on a systemd-powered system, you can try to troubleshoot the error with the following commands:
		- 'systemctl status kubelet'
		- 'journalctl -xeu kubelet'

	Additionally, a control plane component may have crashed or exited when started by the container runtime.
	To troubleshoot, list all containers using your preferred container runtimes CLI.

	[WARNING SystemVerification]: missing optional cgroups: hugetlb
error execution phase wait-control-plane: couldn't initialize a Kubernetes cluster
To see the stack trace of this error execute with --v=5 or higher
"#;
    /// kubeadm 1.31 and later, where the kubelet does not come up.
    const NO_KUBELET: &str = r#"
[kubelet-check] Waiting for a healthy kubelet at http://127.0.0.1:10248/healthz. This can take up to 4m0s
[kubelet-check] The kubelet is not healthy after 4m0.000771671s

Unfortunately, an error has occurred, likely caused by:
	- The kubelet is not running
	- The kubelet is unhealthy due to a misconfiguration of the node in some way (required cgroups disabled)

	[WARNING SystemVerification]: failed to get cgroups v2 subsystems: open /sys/fs/cgroup/cgroup.controllers: no such file or directory
error: error execution phase wait-control-plane: failed while waiting for the kubelet to start: The HTTP call equal to 'curl -sSL http://127.0.0.1:10248/healthz' returned error: Get "http://127.0.0.1:10248/healthz": dial tcp 127.0.0.1:10248: connect: connection refused

To see the stack trace of this error execute with --v=5 or higher
"#;
    /// kubeadm 1.34, where its own components do not come up, but the API server is slow rather than away.
    const NO_SCHEDULER: &str = r#"
error: error execution phase wait-control-plane: failed while waiting for the control plane to start: [kube-scheduler check failed at https://127.0.0.1:10259/livez: Get "https://127.0.0.1:10259/livez": dial tcp 127.0.0.1:10259: connect: connection refused, kube-apiserver check failed at https://10.0.0.5:6443/livez: client rate limiter Wait returned an error: context deadline exceeded, kube-controller-manager check failed at https://127.0.0.1:10257/healthz: Get "https://127.0.0.1:10257/healthz": dial tcp 127.0.0.1:10257: connect: connection refused]
"#;

    /// A part of the cause, if there is one.
    fn says(output: &str) -> Option<&'static str> {
        let lines: Vec<String> = output.lines().map(String::from).collect();
        let api = ["10.0.0.5:6443", "api.example.lan:8443"].map(String::from);
        let (cause, _) = diagnose(&lines, &api)?;
        let parts = [
            "disk is full",
            "a port",
            "clocks",
            "cgroups",
            "another cluster",
            "API server's address",
            "repositories",
            "noexec",
            "token to join",
            "hoist removes none",
            "no new member",
            "the kubelet's certificate",
        ];
        Some(parts.into_iter().find(|part| cause.contains(part)).unwrap_or(cause))
    }

    #[test]
    fn names_the_cause_of_known_output() {
        let refused = "dial tcp 10.0.0.5:6443: connect: connection refused";
        for (output, part) in [
            ("ctr: write /var/lib/containerd/x: no space left on device: unknown".to_string(), "disk is full"),
            ("\t[ERROR Port-10250]: Port 10250 is in use".into(), "a port"),
            ("haproxy: cannot bind socket (Address already in use) [0.0.0.0:6443]".into(), "a port"),
            ("\t[ERROR SystemVerification]: missing required cgroups: memory".into(), "cgroups"),
            ("E: Unable to locate package containerd".into(), "repositories"),
            ("E: Packages need to be removed but remove is disabled.".into(), "hoist removes none"),
            (
                " Problem: package docker-1.5-2.noarch from test conflicts with containerd provided by containerd-2.0-1.noarch from @System".into(),
                "hoist removes none",
            ),
            (
                r#"error execution phase preflight: couldn't validate the identity of the API Server: could not find a JWS signature in the cluster-info ConfigMap for token ID "abcdef""#.into(),
                "token to join",
            ),
            (
                r#"cluster CA found in cluster-info ConfigMap is invalid: none of the public keys "sha256:ab" are pinned"#.into(),
                "another cluster",
            ),
            ("error execution phase control-plane-join/etcd: error creating local etcd static pod manifest file: etcdserver: unhealthy cluster".into(), "no new member"),
            ("etcdserver: re-configuration failed due to not enough started members".into(), "no new member"),
            (
                r#"error execution phase check-etcd: etcd cluster is not healthy: failed to dial endpoint https://10.0.0.9:2379 with maintenance client: context deadline exceeded"#.into(),
                "no new member",
            ),
            (
                r#"E1122 bootstrap.go:266] part of the existing bootstrap client certificate in /etc/kubernetes/kubelet.conf is expired: 2026-03-01 09:12:44 +0000 UTC"#.into(),
                "the kubelet's certificate",
            ),
            (
                r#"F1122 server.go:269] failed to run Kubelet: unable to load bootstrap kubeconfig: stat /etc/kubernetes/bootstrap-kubelet.conf: no such file or directory"#.into(),
                "the kubelet's certificate",
            ),
            ("Error: Unable to find a match: containerd.io".into(), "repositories"),
            ("Error: Failed to download metadata for repo 'baseos': Cannot prepare internal mirrorlist".into(), "repositories"),
            ("sh: 3: /opt/x/run: Permission denied".into(), "noexec"),
            (
                format!(r#"error execution phase preflight: couldn't validate the identity of the API Server: Get "https://10.0.0.5:6443/api/v1/namespaces/kube-public/configmaps/cluster-info?timeout=10s": {refused}"#),
                "API server's address",
            ),
            (
                r#"Get "https://api.example.lan:8443/livez": dial tcp 10.0.0.7:8443: connect: connection refused"#.into(),
                "API server's address",
            ),
            ("The connection to the server 10.0.0.5:6443 was refused - did you specify the right host or port?".into(), "API server's address"),
            (
                format!("error: error execution phase wait-control-plane: failed while waiting for the control plane to start: [kube-apiserver check failed at https://10.0.0.5:6443/livez: {refused}, kube-scheduler check failed at https://127.0.0.1:10259/livez: dial tcp 127.0.0.1:10259: connect: connection refused]"),
                "API server's address",
            ),
            // What the explanation says, behind kubeadm's words.
            (
                format!(r#"{TIME_OUT}E1122 "command failed" err="failed to run Kubelet: misconfiguration: kubelet cgroup driver: \"systemd\" is different from docker cgroup driver: \"cgroupfs\"""#),
                "cgroups",
            ),
            (
                format!("{NO_KUBELET}E1122 run.go:72] \"command failed\" err=\"failed to validate kubelet configuration, error: kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is in maintenance mode\""),
                "cgroups",
            ),
            (format!("{NO_KUBELET}kubelet.go:1511] \"Failed to start ContainerManager\" err=\"system validation failed - Following Cgroup subsystem not mounted: [memory]\""), "cgroups"),
            (format!("{TIME_OUT}E1122 reflector.go:138] Failed to watch *v1.Node: {refused}"), "API server's address"),
            // The verdict counts before what was said earlier, and a cause before what follows from it.
            (format!("{refused}\n[ERROR Port-6443]: Port 6443 is in use"), "a port"),
            ("listen tcp: address already in use\nerror execution phase x: y\nwrite: no space left on device".into(), "disk is full"),
            (format!("{refused}\nx509: certificate has expired or is not yet valid: current time"), "clocks"),
            (format!("E: no space left on device{TIME_OUT}"), "disk is full"),
        ] {
            assert_eq!(says(&output), Some(part), "{output}");
        }
    }

    #[test]
    fn what_says_nothing_has_no_cause() {
        for output in [
            "something new",
            "Error from server: open /etc/x: permission denied",
            TIME_OUT,
            NO_KUBELET,
            NO_SCHEDULER,
            "dial tcp 10.0.0.9:5000: connect: connection refused",
            "dial tcp 10.0.0.5:64430: connect: connection refused",
            "dial tcp 110.0.0.5:6443: connect: connection refused",
            "dial tcp 127.0.0.1:10248: connect: connection refused",
            "I1122 container_manager_linux.go:272] \"Creating Container Manager object based on Node Config\" nodeConfig={CgroupsPerQOS:true}",
            "umount: /var/lib/kubelet: target is busy, the mount is in use",
            "dial tcp 10.0.0.5:6443: i/o timeout",
        ] {
            assert_eq!(says(output), None, "{output}");
        }
    }

    #[test]
    fn what_is_looked_for_is_in_lower_case() {
        assert!(SIGNS.iter().flat_map(|sign| sign.says).all(|part| *part == part.to_lowercase()));
    }
}
