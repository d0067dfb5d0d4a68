//! What must be true of this machine before the lab does anything. All failures are found at once.

use std::{fmt, fs, path::Path, thread};

use nix::{
    sched::{CloneFlags, unshare},
    sys::statvfs::statvfs,
    unistd::geteuid,
};

use super::{
    cgroup::Cgroups,
    error::LabError,
    mounts,
    packages::{self, Requirement},
    process,
};

/// The oldest Debian that the lab installs packages on.
const OLDEST_DEBIAN: u32 = 12;

/// Capabilities without which no node boots, by bit number (capabilities(7)).
const CAPABILITIES: &[(u32, &str)] =
    &[(12, "CAP_NET_ADMIN"), (18, "CAP_SYS_CHROOT"), (21, "CAP_SYS_ADMIN"), (27, "CAP_MKNOD")];

/// A check that did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Short stable name of the check.
    pub check: &'static str,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub fix: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.check, self.found, self.fix)
    }
}

fn failure(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Failure {
    Failure { check, found: found.into(), fix: fix.into() }
}

/// Checks before set-up, of all that it makes or of nodes alone: `disk` is how many bytes the pending steps need in
/// `cache` while they work.
pub(crate) fn before_setup(cache: &Path, disk: u64, whole: bool) -> Result<(), LabError> {
    let mut failures = before_nodes_failures();
    failures.extend(packages_failure(&packages::for_setup(whole), installs_packages()));
    if whole && packages::rustc().is_none() {
        failures.push(failure(
            "rustc",
            "the Rust compiler is neither in PATH nor in ~/.cargo/bin",
            "install it with rustup, or set RUSTC to where it is",
        ));
    }
    failures.extend(disk_failure(cache, disk));
    report(failures)
}

/// Checks before nodes start: `disk` is how many bytes they need in `cache`.
pub(crate) fn before_nodes(cache: &Path, disk: u64) -> Result<(), LabError> {
    let mut failures = before_nodes_failures();
    // Set-up is what installs packages; here they must be there.
    failures.extend(packages_failure(packages::NODES, false).map(|failure| match installs_packages() {
        true => Failure { fix: "run `hoist lab setup`, which installs them".to_owned(), ..failure },
        false => failure,
    }));
    failures.extend(disk_failure(cache, disk));
    report(failures)
}

/// Whether set-up installs packages on this machine.
fn installs_packages() -> bool {
    packages::this_debian().is_some_and(|release| release >= OLDEST_DEBIAN)
}

fn report(failures: Vec<Failure>) -> Result<(), LabError> {
    if failures.is_empty() { Ok(()) } else { Err(LabError::Checks { failures }) }
}

fn before_nodes_failures() -> Vec<Failure> {
    if !geteuid().is_root() {
        // What follows cannot be looked at without root.
        return vec![failure("root", "not running as root", "run the same command as root or with sudo")];
    }
    let mut failures = Vec::new();
    failures.extend(capability_failure(&fs::read_to_string("/proc/self/status").unwrap_or_default()));
    failures.extend(overlay_failure());
    failures.extend(network_failure());
    match mounts::all().map(|mounts| Cgroups::find(&mounts)) {
        Ok(Ok(_)) => {}
        Ok(Err(missing)) => failures.push(failure(
            "cgroups",
            format!("no {missing} hierarchy is mounted below /sys/fs/cgroup"),
            "mount the cgroup file systems, or use a machine that is not itself a restricted container",
        )),
        Err(error) => failures.push(failure("cgroups", error.to_string(), "make /proc readable")),
    }
    failures
}

fn packages_failure(wanted: &[Requirement], installable: bool) -> Option<Failure> {
    let missing = packages::missing(wanted);
    if missing.is_empty() || installable {
        return None;
    }
    let what: Vec<_> = missing.iter().map(|requirement| requirement.what).collect();
    let fix = if packages::this_debian().is_some() {
        format!("apt-get install {}", packages::names(&missing).join(" "))
    } else {
        format!(
            "only Debian {OLDEST_DEBIAN} or newer is set up by itself; install what Debian calls {}",
            packages::names(&missing).join(", ")
        )
    };
    Some(failure("packages", format!("missing {}", what.join(", ")), fix))
}

fn disk_failure(cache: &Path, needed: u64) -> Option<Failure> {
    let existing = cache.ancestors().find(|path| path.exists())?;
    let free = match statvfs(existing) {
        Ok(stat) => stat.blocks_available() * stat.fragment_size(),
        Err(error) => return Some(failure("disk", format!("{}: {error}", existing.display()), "mount it")),
    };
    (free < needed).then(|| {
        failure(
            "disk",
            format!(
                "{} are free in {}, {} are needed",
                gigabytes(free),
                existing.display(),
                gigabytes(needed)
            ),
            "free some space, or set HOIST_CACHE to a folder on a larger disk",
        )
    })
}

fn capability_failure(status: &str) -> Option<Failure> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())?;
    let lacking: Vec<_> =
        CAPABILITIES.iter().filter(|(bit, _)| effective & (1 << bit) == 0).map(|(_, name)| *name).collect();
    (!lacking.is_empty()).then(|| {
        failure(
            "capabilities",
            format!("root lacks {} here", lacking.join(", ")),
            "run on a real or virtual machine, or in a privileged container",
        )
    })
}

fn overlay_failure() -> Option<Failure> {
    let known = || {
        fs::read_to_string("/proc/filesystems")
            .is_ok_and(|list| list.lines().any(|line| line.ends_with("\toverlay")))
    };
    if !known() {
        // A kernel with modules knows overlay only once it is loaded.
        let _ = process::output(process::command("modprobe", &["overlay"]));
    }
    (!known()).then(|| {
        failure("overlay", "the kernel has no overlay file system", "use a kernel with CONFIG_OVERLAY_FS")
    })
}

/// Makes a bridge and a veth pair for real, in a network namespace that ends with the thread.
fn network_failure() -> Option<Failure> {
    // Without it there is nothing to probe with, and another check says so.
    packages::find("ip")?;
    let probe = thread::spawn(|| -> Result<(), String> {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("no network namespace: {error}"))?;
        for arguments in [
            &["link", "add", "probe-bridge", "type", "bridge"][..],
            &["link", "add", "probe-a", "type", "veth", "peer", "name", "probe-b"][..],
        ] {
            process::output(process::command("ip", arguments)).map_err(|error| error.to_string())?;
        }
        Ok(())
    });
    let found = match probe.join() {
        Ok(Ok(())) => return None,
        Ok(Err(found)) => found,
        Err(_) => "the probe ended early".to_owned(),
    };
    Some(failure("network", found, "use a kernel with CONFIG_NET_NS, CONFIG_BRIDGE and CONFIG_VETH"))
}

/// Bytes as gigabytes with one decimal, as disks are sold.
pub(crate) fn gigabytes(bytes: u64) -> String {
    let tenths = bytes.saturating_add(50_000_000) / 100_000_000;
    format!("{}.{} GB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_disk_says_both_numbers() {
        assert_eq!(disk_failure(Path::new("/no/such/folder"), 1), None);
        let failure = disk_failure(Path::new("/"), u64::MAX).unwrap().to_string();
        assert!(failure.contains("are free in /,") && failure.contains("HOIST_CACHE"), "{failure}");
    }

    #[test]
    fn missing_packages_are_named_unless_they_will_be_installed() {
        let wanted = [Requirement { what: "no-such-command", package: "some-package" }];
        assert_eq!(packages_failure(&wanted, true), None);
        let failure = packages_failure(&wanted, false).unwrap();
        assert!(failure.found.contains("no-such-command"), "{failure}");
        assert!(failure.fix.contains("some-package"), "{failure}");
    }

    #[test]
    fn capabilities_are_read_from_the_mask() {
        assert_eq!(capability_failure("CapEff:\t000001fffeffffff\n"), None);
        let failure = capability_failure("CapEff:\t00000000a80425fb\n").unwrap();
        assert_eq!(failure.found, "root lacks CAP_NET_ADMIN, CAP_SYS_ADMIN here");
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(gigabytes(3_949_999_999), "3.9 GB");
        assert_eq!(gigabytes(3_950_000_000), "4.0 GB");
    }
}
