//! The kernel: version, control groups, modules, and what it forbids.

use super::{
    Subject,
    finding::{Check, Finding},
    storage::ISCSI,
    survey::Survey,
};
use crate::inventory::{Cilium, Inventory, NO_CGROUP_V1, Plugin, Routing};

const VERSION: Check = Check { name: "kernel", checked: "the kernel's version", expected: "3.10 or newer" };
const CGROUP: Check = Check {
    name: "cgroup",
    checked: "the version of control groups",
    expected: "2: the kubelet calls version 1 outdated since 1.31 and refuses it since 1.35",
};
const CONTROLLERS: Check = Check {
    name: "cgroup-controllers",
    checked: "the enabled cgroup controllers",
    expected: "cpu, cpuset, memory and pids among them",
};
const MODULES: Check = Check {
    name: "kernel-modules",
    checked: "the modules that containers and their network need",
    expected: "all of them loaded, built in or loadable",
};
const SECCOMP: Check =
    Check { name: "seccomp", checked: "whether the kernel filters system calls", expected: "it does" };
const SELINUX: Check = Check {
    name: "selinux",
    checked: "whether SELinux enforces",
    expected: "permissive, or policies for containers",
};
const CILIUM: Check = Check {
    name: "cilium",
    checked: "what Cilium needs of the kernel",
    expected: "5.10 or newer (Red Hat's 4.18 of release 8.10 counts), with its types described (BTF)",
};

/// The oldest kernel that kubeadm's own verification lets pass.
const OLDEST: (u32, u32) = (3, 10);

/// What facts tell.
pub fn from_facts(inventory: &Inventory, host: &Subject) -> Vec<Finding> {
    vec![version(host), cgroup(inventory, host)]
}

fn version(host: &Subject) -> Finding {
    let kernel = host.facts.kernel.as_str();
    match number(kernel) {
        Some(version) if version >= OLDEST => VERSION.ok(host.name, kernel),
        Some(_) => VERSION.error(host.name, kernel, "install a newer kernel or distribution"),
        None => VERSION.skipped(host.name, format!("{kernel:?} is not a version")),
    }
}

/// The first two numbers of a kernel's version.
fn number(kernel: &str) -> Option<(u32, u32)> {
    let mut numbers = kernel.split(['.', '-', '+']).map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn cgroup(inventory: &Inventory, host: &Subject) -> Finding {
    const FIX: &str = "boot with `systemd.unified_cgroup_hierarchy=1` on the kernel's command line, or install a \
                       distribution of 2021 or newer";
    let minor = inventory.cluster.kubernetes.minor;
    let allowed = inventory.cluster.kubelet.get("failCgroupV1") == Some(&false.into());
    match host.facts.cgroup {
        1 if minor >= NO_CGROUP_V1 && !allowed => {
            let fix = format!(
                "{FIX}; or let the kubelet start with `cluster: {{kubelet: {{failCgroupV1: false}}}}`"
            );
            CGROUP.error(host.name, "1", fix)
        }
        1 if minor >= 31 => CGROUP.warning(host.name, "1", FIX),
        0 => CGROUP.skipped(host.name, "the host did not tell"),
        version => CGROUP.ok(host.name, format!("{version}, which Kubernetes 1.{minor} takes")),
    }
}

/// What only the survey tells.
pub fn from_survey(inventory: &Inventory, host: &Subject, survey: &Survey) -> Vec<Finding> {
    let mut findings = vec![
        controllers(host, survey),
        modules(inventory, host, survey),
        seccomp(host, survey),
        selinux(host, survey),
    ];
    findings.extend(network(inventory, host, survey));
    findings
}

/// The modules that role `base` loads, without which it stops. The kernel gets others when they are asked for.
pub fn base(host: &Subject, survey: &Survey) -> Finding {
    let loaded =
        survey.modules.iter().filter(|(name, _)| ["overlay", "br_netfilter"].contains(&name.as_str()));
    let (there, missing): (Vec<_>, Vec<_>) = loaded.partition(|(_, there)| *there);
    match (there.is_empty(), missing.is_empty()) {
        (true, true) => MODULES.skipped(host.name, "the host did not tell"),
        (false, true) => MODULES.ok(host.name, names(&there)),
        (_, false) => lacks(host, &missing),
    }
}

/// What the network plugin needs, where that is more than Kubernetes does.
pub fn network(inventory: &Inventory, host: &Subject, survey: &Survey) -> Option<Finding> {
    (inventory.cluster.network.plugin == Plugin::Cilium).then(|| cilium(host, survey))
}

/// Cilium's documentation, "System Requirements".
fn cilium(host: &Subject, survey: &Survey) -> Finding {
    const OLDEST: (u32, u32) = (5, 10);
    let kernel = host.facts.kernel.as_str();
    let new = number(kernel) >= Some(OLDEST) || (kernel.starts_with("4.18.") && kernel.contains(".el8_10"));
    match (new, survey.btf) {
        (false, _) => CILIUM.error(host.name, kernel, "install a newer kernel or distribution"),
        (true, Some(false)) => CILIUM.error(
            host.name,
            format!("{kernel} without /sys/kernel/btf/vmlinux"),
            "use a kernel with CONFIG_DEBUG_INFO_BTF, as distributions have it",
        ),
        (true, Some(true)) => CILIUM.ok(host.name, kernel),
        (true, None) => CILIUM.skipped(host.name, "the host did not tell"),
    }
}

fn controllers(host: &Subject, survey: &Survey) -> Finding {
    if survey.controllers.is_empty() {
        return CONTROLLERS.skipped(host.name, "the host did not tell");
    }
    let there = |name: &&str| survey.controllers.iter().any(|controller| controller == name);
    let missing: Vec<&str> =
        ["cpu", "cpuset", "memory", "pids"].into_iter().filter(|name| !there(name)).collect();
    if missing.is_empty() {
        return CONTROLLERS.ok(host.name, survey.controllers.join(", "));
    }
    CONTROLLERS.error(
        host.name,
        format!("missing: {}", missing.join(", ")),
        "enable them on the kernel's command line; on a Raspberry Pi: `cgroup_enable=memory cgroup_memory=1` in cmdline.txt",
    )
}

fn modules(inventory: &Inventory, host: &Subject, survey: &Survey) -> Finding {
    if survey.modules.is_empty() {
        return MODULES.skipped(host.name, "the host did not tell");
    }
    let cilium = inventory.cilium();
    let needed = survey.modules.iter().filter(|(name, _)| match name.as_str() {
        // Who needs that one is asked for it where volumes are.
        ISCSI => false,
        "vxlan" => cilium.as_ref().is_some_and(|cilium| cilium.routing == Routing::Vxlan),
        "wireguard" => cilium.as_ref().is_some_and(Cilium::encrypts),
        _ => true,
    });
    let (there, missing): (Vec<_>, Vec<_>) = needed.partition(|(_, there)| *there);
    let tunnel = inventory.burst.has_gateway()
        && survey.modules.iter().any(|(name, there)| name == "wireguard" && !there)
        && missing.is_empty();
    match host.facts.packages.as_str() {
        "apt" if tunnel => {
            let words =
                "wireguard is missing: its program wireguard-go, which is slower, makes the tunnel to EC2";
            return MODULES.ok(host.name, format!("{}; {words}", names(&there)));
        }
        // The role `tunnel` stops there, unless wireguard-go is installed.
        _ if tunnel => {
            return MODULES.warning(
                host.name,
                "missing: wireguard, for the tunnel to EC2",
                "boot a newer kernel of the distribution, or install wireguard-go: packages of this one have none",
            );
        }
        _ => {}
    }
    if missing.is_empty() {
        return MODULES.ok(host.name, names(&there));
    }
    lacks(host, &missing)
}

fn names(modules: &[&(String, bool)]) -> String {
    modules.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The packages are named with the kernel's version, for without it the package managers take those of a newer kernel.
fn lacks(host: &Subject, missing: &[&(String, bool)]) -> Finding {
    let fix = if host.facts.container {
        "a container cannot load modules: load them on the machine that it runs on"
    } else {
        "install the modules of the running kernel (Ubuntu: linux-modules-extra-$(uname -r); Red Hat: kernel-modules-$(uname -r), \
         and since release 10 also kernel-modules-extra-$(uname -r)); if the kernel was updated or no repository has them any \
         more, install those of the newest kernel with that kernel and reboot"
    };
    MODULES.error(host.name, format!("missing: {}", names(missing)), fix)
}

fn seccomp(host: &Subject, survey: &Survey) -> Finding {
    match survey.seccomp {
        Some(true) => SECCOMP.ok(host.name, "it does"),
        Some(false) => SECCOMP.warning(
            host.name,
            "it does not",
            "pods with a seccomp profile will not start: use a kernel with CONFIG_SECCOMP_FILTER",
        ),
        None => SECCOMP.skipped(host.name, "the host did not tell"),
    }
}

fn selinux(host: &Subject, survey: &Survey) -> Finding {
    match survey.selinux {
        None => SELINUX.ok(host.name, "there is no SELinux"),
        Some(false) => SELINUX.ok(host.name, "permissive"),
        Some(true) => SELINUX.warning(
            host.name,
            "enforcing",
            "hoist sets no labels: install container-selinux, or `setenforce 0` and SELINUX=permissive in \
             /etc/selinux/config, as kubeadm's documentation says",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{
        Severity::{self, Error, Ok, Skipped, Warning},
        tests::Fleet,
    };

    fn say(fleet: &Fleet, check: &str) -> Severity {
        let hosts = fleet.subjects();
        let mut all = from_facts(&fleet.inventory, &hosts[1]);
        all.extend(from_survey(&fleet.inventory, &hosts[1], hosts[1].survey.unwrap()));
        all.into_iter().find(|finding| finding.check == check).unwrap().severity
    }

    #[test]
    fn kernels() {
        for (kernel, severity) in [
            ("6.12.48+deb13-amd64", Ok),
            ("3.10.0-1160.el7.x86_64", Ok),
            ("4.0-rc1", Ok),
            ("3.2.0-4-amd64", Error),
            ("2.6.32", Error),
            ("", Skipped),
        ] {
            let mut fleet = Fleet::three();
            fleet.facts("w1").kernel = kernel.into();
            assert_eq!(say(&fleet, "kernel"), severity, "{kernel}");
        }
    }

    #[test]
    fn kernels_for_cilium() {
        for (kernel, btf, severity) in [
            ("6.12.48+deb13-amd64", Some(true), Ok),
            ("5.10.0-36-amd64", Some(true), Ok),
            ("4.18.0-553.el8_10.x86_64", Some(true), Ok),
            ("4.18.0-372.el8.x86_64", Some(true), Error),
            ("5.4.0-42-generic", Some(true), Error),
            ("6.12.48", Some(false), Error),
            ("6.12.48", None, Skipped),
        ] {
            let mut fleet = Fleet::three();
            fleet.facts("w1").kernel = kernel.into();
            fleet.survey("w1").btf = btf;
            fleet.inventory.cluster.network.plugin = Plugin::Cilium;
            assert_eq!(say(&fleet, "cilium"), severity, "{kernel} {btf:?}");
        }
    }

    #[test]
    fn modules_that_role_base_stops_without() {
        let mut fleet = Fleet::three();
        let finding = |fleet: &Fleet| {
            let hosts = fleet.subjects();
            base(&hosts[1], hosts[1].survey.unwrap())
        };
        assert_eq!(finding(&fleet).observed, "overlay, br_netfilter");
        let lose = |fleet: &mut Fleet, lost: &str| {
            for (_, there) in fleet.survey("w1").modules.iter_mut().filter(|(name, _)| name == lost) {
                *there = false;
            }
        };
        // This one comes when rules ask for it, in a container, too.
        lose(&mut fleet, "nf_conntrack");
        assert_eq!(finding(&fleet).severity, Ok);
        lose(&mut fleet, "br_netfilter");
        let found = finding(&fleet);
        assert_eq!((found.severity, found.observed.as_str()), (Error, "missing: br_netfilter"));
        assert!(found.fix.contains("kernel-modules-extra-$(uname -r)"), "{}", found.fix);
        fleet.survey("w1").modules.clear();
        assert_eq!(finding(&fleet).severity, Skipped);
    }

    #[test]
    fn modules_that_only_cilium_needs() {
        let mut fleet = Fleet::three();
        for (_, there) in
            fleet.survey("w1").modules.iter_mut().filter(|(name, _)| name == "vxlan" || name == "wireguard")
        {
            *there = false;
        }
        assert_eq!(say(&fleet, "kernel-modules"), Ok);
        fleet.inventory.cluster.network.plugin = Plugin::Cilium;
        assert_eq!(say(&fleet, "kernel-modules"), Error, "packets travel in VXLAN");
        let cilium = fleet.inventory.addons.cilium.get_or_insert_default();
        cilium.routing = Routing::Native;
        assert_eq!(say(&fleet, "kernel-modules"), Ok);
        fleet.inventory.addons.cilium.get_or_insert_default().encryption = Some(true);
        assert_eq!(say(&fleet, "kernel-modules"), Error, "packets are encrypted");
    }

    #[test]
    fn a_machine_without_wireguard_makes_its_tunnel_to_ec2_with_a_program() {
        let mut fleet = Fleet::three();
        let burst = &mut fleet.inventory.burst;
        (burst.region, burst.subnets) = (Some("eu-central-1".into()), vec!["172.16.0.0/22".parse().unwrap()]);
        assert!(burst.has_gateway());
        let finding = |fleet: &Fleet| {
            let hosts = fleet.subjects();
            modules(&fleet.inventory, &hosts[1], hosts[1].survey.unwrap())
        };
        assert!(!finding(&fleet).observed.contains("wireguard-go"), "its kernel has it");
        for (_, there) in fleet.survey("w1").modules.iter_mut().filter(|(name, _)| name == "wireguard") {
            *there = false;
        }
        fleet.facts("w1").packages = "apt".into();
        let found = finding(&fleet);
        assert_eq!(found.severity, Ok);
        assert!(found.observed.contains("wireguard-go"), "{}", found.observed);
        fleet.facts("w1").packages = "dnf".into();
        assert_eq!(finding(&fleet).severity, Warning, "there it is no package");
        fleet.inventory.burst.connection = crate::inventory::Connection::Vpn;
        assert_eq!(finding(&fleet).severity, Ok);
    }

    #[test]
    fn control_groups_by_version() {
        for (cgroup, kubernetes, allowed, severity) in [
            (2, "1.36.2", false, Ok),
            (1, "1.36.2", false, Error),
            (1, "1.36.2", true, Warning),
            (1, "1.35.0", false, Error),
            (1, "1.34.1", false, Warning),
            (1, "1.20.2", false, Ok),
            (0, "1.20.2", false, Skipped),
        ] {
            let mut fleet = Fleet::three();
            fleet.facts("w1").cgroup = cgroup;
            fleet.inventory.cluster.kubernetes = kubernetes.parse().unwrap();
            if allowed {
                fleet.inventory.cluster.kubelet.insert("failCgroupV1".into(), false.into());
            }
            assert_eq!(say(&fleet, "cgroup"), severity, "{cgroup} {kubernetes} {allowed}");
        }
    }

    #[test]
    fn what_the_kernel_must_have() {
        let mut fleet = Fleet::three();
        for check in ["cgroup-controllers", "kernel-modules", "seccomp", "selinux"] {
            assert_eq!(say(&fleet, check), Ok, "{check}");
        }
        let survey = fleet.survey("w1");
        survey.controllers.retain(|controller| controller != "memory");
        survey.modules[1].1 = false;
        survey.seccomp = Some(false);
        survey.selinux = Some(true);
        for (check, severity) in [
            ("cgroup-controllers", Error),
            ("kernel-modules", Error),
            ("seccomp", Warning),
            ("selinux", Warning),
        ] {
            assert_eq!(say(&fleet, check), severity, "{check}");
        }
        *fleet.survey("w1") = Survey { selinux: Some(false), ..Survey::default() };
        for (check, severity) in [
            ("cgroup-controllers", Skipped),
            ("kernel-modules", Skipped),
            ("seccomp", Skipped),
            ("selinux", Ok),
        ] {
            assert_eq!(say(&fleet, check), severity, "{check}");
        }
    }
}
