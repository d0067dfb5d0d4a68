//! What this machine needs from its distribution.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Something that must be on this machine, and the Debian package that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// A command to be found in `PATH` or the `sbin` folders, or a file when it begins with `/`.
    pub(crate) what: &'static str,
    pub(crate) package: &'static str,
}

const fn need(what: &'static str, package: &'static str) -> Requirement {
    Requirement { what, package }
}

/// For making nodes.
const SETUP: &[Requirement] = &[
    need("mmdebstrap", "mmdebstrap"),
    need("/usr/share/keyrings/debian-archive-trixie-automatic.gpg", "debian-archive-keyring"),
    need("chroot", "coreutils"),
    need("unshare", "util-linux"),
];

/// For making Debian's Kubernetes and the sample application.
const BUILD: &[Requirement] = &[
    need("cc", "gcc"),
    // rustc needs it for a static program.
    need("/usr/include/stdio.h", "libc6-dev"),
];

/// For running nodes.
pub(crate) const NODES: &[Requirement] = &[
    need("systemd-nspawn", "systemd-container"),
    need("ip", "iproute2"),
    need("bridge", "iproute2"),
    // For links that are cut.
    need("nft", "nftables"),
    need("mkfs.ext4", "e2fsprogs"),
    need("mount", "mount"),
    need("tar", "tar"),
    need("ssh", "openssh-client"),
    need("ssh-keygen", "openssh-client"),
];

/// For set-up: of all that it makes, or of nodes alone.
pub(crate) fn for_setup(whole: bool) -> Vec<Requirement> {
    [SETUP, NODES, if whole { BUILD } else { &[] }].concat()
}

/// For running nodes that are virtual machines.
pub(crate) const VIRTUAL: &[Requirement] = &[need(EMULATOR, "qemu-system-x86")];
/// What a virtual machine is.
pub(crate) const EMULATOR: &str = "qemu-system-x86_64";

/// Those of `wanted` that are not there.
pub(crate) fn missing(wanted: &[Requirement]) -> Vec<Requirement> {
    wanted.iter().filter(|requirement| find(requirement.what).is_none()).copied().collect()
}

/// The packages of requirements, sorted, each once.
pub(crate) fn names(requirements: &[Requirement]) -> Vec<&'static str> {
    let mut names: Vec<_> = requirements.iter().map(|requirement| requirement.package).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// `PATH` with the `sbin` folders, which root lacks after a plain `su`.
pub(crate) fn path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    // Fails only for a folder with a colon in its name, which cannot have come out of PATH.
    env::join_paths(folders).unwrap_or(path)
}

/// Where a command or a file is.
pub(crate) fn find(what: &str) -> Option<PathBuf> {
    if what.starts_with('/') {
        return Some(PathBuf::from(what)).filter(|path| path.exists());
    }
    env::split_paths(&path()).map(|folder| folder.join(what)).find(|file| file.is_file())
}

/// The Rust compiler, which rustup keeps in the home folder and out of root's `PATH`.
pub(crate) fn rustc() -> Option<PathBuf> {
    env::var_os("RUSTC")
        .map(PathBuf::from)
        .filter(|path| path.is_file())
        .or_else(|| find("rustc"))
        .or_else(|| env::home_dir().map(|home| home.join(".cargo/bin/rustc")).filter(|path| path.is_file()))
}

/// The Debian release of `/etc/os-release` text: `None` on any other distribution.
/// Testing and unstable have no number and count as newest.
pub(crate) fn debian_release(os_release: &str) -> Option<u32> {
    let value = |key: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|value| value.trim_matches('"'))
    };
    if value("ID")? != "debian" {
        return None;
    }
    Some(value("VERSION_ID").and_then(|version| version.parse().ok()).unwrap_or(u32::MAX))
}

/// The running machine's Debian release.
pub(crate) fn this_debian() -> Option<u32> {
    debian_release(&std::fs::read_to_string(Path::new("/etc/os-release")).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        for (text, expected) in [
            ("ID=debian\nVERSION_ID=\"12\"\n", Some(12)),
            ("PRETTY_NAME=\"Debian GNU/Linux forky/sid\"\nID=debian\n", Some(u32::MAX)),
            ("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n", None),
            ("", None),
        ] {
            assert_eq!(debian_release(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_found_out_and_named_once() {
        let wanted =
            [need("sh", "dash"), need("no-such-a", "b"), need("/no/such", "a"), need("no-such-b", "b")];
        let missing = missing(&wanted);
        assert_eq!(missing, wanted[1..]);
        assert_eq!(names(&missing), ["a", "b"]);
    }
}
