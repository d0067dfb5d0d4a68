//! From the output of a failed command to its likely cause. The entries are what users of installers report.

/// What a line of output means, and what to do about it.
struct Sign {
    /// Part of a line, in lower case.
    says: &'static str,
    cause: &'static str,
    next: &'static str,
}

const SIGNS: &[Sign] = &[
    Sign {
        says: "no space",
        cause: "the host's disk is full",
        next: "make room there (`df -h`, `journalctl --vacuum-size=200M`), then run the same command again",
    },
    Sign {
        says: "read-only file system",
        cause: "the host's file system is mounted read-only, often after a disk error",
        next: "look at `dmesg` there and repair the disk, then run the same command again",
    },
    Sign {
        says: "could not get lock",
        cause: "another program installs packages on the host, often unattended-upgrades",
        next: "wait for it, then run the same command again",
    },
    Sign {
        says: "unable to locate package",
        cause: "the host's package repositories do not have the package",
        next: "check /etc/apt/sources.list.d there and its way to the repository",
    },
    Sign {
        says: "temporary failure resolving",
        cause: "the host cannot resolve names",
        next: "mend /etc/resolv.conf there, or install the package from a repository it can reach",
    },
    Sign {
        says: "permission denied (13)",
        cause: "a security module or a mount option forbids it",
        next: "look at `ausearch -m avc` or `dmesg` there",
    },
    Sign {
        says: "is in use",
        cause: "another program listens on a port that Kubernetes needs",
        next: "find it with `ss -ltnp` there and stop it, then run the same command again",
    },
    Sign {
        says: "x509: certificate has expired or is not yet valid",
        cause: "the clocks of the hosts differ, or certificates have run out",
        next: "compare `date -u` on both hosts and turn on time synchronisation",
    },
    Sign {
        says: "connection refused",
        cause: "nothing listens at that address: the API server is down or the endpoint is wrong",
        next: "check `cluster.endpoint` in the inventory, and `crictl ps -a` on the control plane",
    },
    Sign {
        says: "cgroup",
        cause: "the host's cgroups are not as the kubelet needs them",
        next: "check that systemd manages them: `stat -fc %T /sys/fs/cgroup` there",
    },
];

/// The likely cause and the next step, when a line of the output is known.
pub(super) fn diagnose(output: &[String]) -> Option<(&'static str, &'static str)> {
    let lines: Vec<String> = output.iter().map(|line| line.to_lowercase()).collect();
    let sign = SIGNS.iter().find(|sign| lines.iter().any(|line| line.contains(sign.says)))?;
    Some((sign.cause, sign.next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_cause_of_known_output() {
        let output = |line: &str| vec!["some context".to_string(), line.to_string()];
        let full = output("ctr: write /var/lib/containerd/x: no space left on device: unknown");
        assert_eq!(diagnose(&full).unwrap().0, "the host's disk is full");
        let port = output("\t[ERROR Port-10250]: Port 10250 is in use");
        assert!(diagnose(&port).unwrap().1.contains("ss -ltnp"));
        assert_eq!(diagnose(&output("something new")), None);
        // What is looked for is in lower case, or it would never be found.
        assert!(SIGNS.iter().all(|sign| sign.says == sign.says.to_lowercase()));
    }
}
