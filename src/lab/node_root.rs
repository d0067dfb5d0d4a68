//! Makes the root file system that every node starts from: a freshly installed Debian server.

use std::{fs, path::Path, process::Command};

use super::{cache::create_folder, debian, error::LabError, step::Workshop};

/// The release that nodes have.
pub(crate) const SUITE: &str = "trixie";

/// A small server, and the packages that the roles need: nodes have no package sources to install from.
const PACKAGES: &[&str] = &[
    "ca-certificates",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "curl",
    "dbus",
    "ebtables",
    "etcd-client",
    "etcd-server",
    "ethtool",
    "haproxy",
    "iproute2",
    "iptables",
    "iputils-arping",
    "iputils-ping",
    "keepalived",
    "kmod",
    "netbase",
    "nftables",
    "open-iscsi",
    "openssh-server",
    "openssl",
    "procps",
    "runc",
    "socat",
    "sudo",
    "systemd-sysv",
    "udev",
    "wireguard-go",
    "wireguard-tools",
];

/// What goes into the node: path and content. The script that lays them down also enables the units.
const FILES: &[(&str, &str)] = &[
    ("usr/local/lib/lab/prepare.sh", include_str!("scripts/node-prepare.sh")),
    ("etc/systemd/system/lab-prepare.service", include_str!("scripts/lab-prepare.service")),
    ("etc/systemd/system/lab-network.service", include_str!("scripts/lab-network.service")),
];
const CUSTOMIZE: &str = include_str!("scripts/node-customize.sh");

/// Everything that the result depends on.
pub(crate) fn inputs() -> Vec<String> {
    let mut inputs = vec![SUITE.into(), CUSTOMIZE.into(), format!("{:?}", debian::bootstrap(PACKAGES))];
    inputs.extend(FILES.iter().flat_map(|(path, content)| [(*path).into(), (*content).into()]));
    inputs
}

/// Writes the root file system to the tar archive `output`.
pub(crate) fn make(workshop: &mut Workshop<'_>, output: &Path) -> Result<(), LabError> {
    build(workshop, &[], |bootstrap| {
        bootstrap.arg("--format=tar").arg(SUITE).arg(output).args(debian::sources(SUITE));
    })
}

/// Runs mmdebstrap for a node with `more` packages; `finish` adds the last of its arguments: hooks of its own that come
/// after those of every node, and where the result goes.
pub(crate) fn build(
    workshop: &mut Workshop<'_>,
    more: &[&str],
    finish: impl FnOnce(&mut Command),
) -> Result<(), LabError> {
    let overlay = workshop.work().join("overlay");
    for (name, content) in FILES {
        let path = overlay.join(name);
        if let Some(folder) = path.parent() {
            create_folder(folder)?;
        }
        fs::write(&path, content).map_err(LabError::io("write", &path))?;
    }
    let script = workshop.work().join("customize.sh");
    fs::write(&script, CUSTOMIZE).map_err(LabError::io("write", &script))?;

    let mut bootstrap = debian::bootstrap(&[PACKAGES, more].concat());
    for excluded in ["man", "locale", "doc", "info"] {
        bootstrap.arg(format!("--dpkgopt=path-exclude=/usr/share/{excluded}/*"));
    }
    bootstrap.arg("--dpkgopt=path-include=/usr/share/doc/*/copyright");
    // mmdebstrap gives hooks to a shell: what varies goes in by the environment, where it is no syntax.
    bootstrap.env("LAB_OVERLAY", &overlay).env("LAB_CUSTOMIZE", &script);
    bootstrap.arg(r#"--customize-hook=cp --recursive "$LAB_OVERLAY"/. "$1"/"#);
    bootstrap.arg(r#"--customize-hook=sh "$LAB_CUSTOMIZE" "$1""#);
    finish(&mut bootstrap);
    workshop.run(bootstrap)
}
