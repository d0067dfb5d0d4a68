//! Builds Kubernetes, pause and etcd in a chroot, out of Debian's own packages.

use std::{fs, path::Path, process::Command};

use super::{
    cache::{create_folder, remove},
    debian,
    error::LabError,
    step::Workshop,
};

/// What the binaries report.
pub const VERSION: &str = "1.20.2";

/// The last Kubernetes server in Debian; later releases carry only kubectl.
const SOURCE_VERSION: &str = "1.20.5+really1.20.2-1.1+deb12u1";

const SUITE: &str = "bookworm";
const PACKAGES: &[&str] = &[
    "ca-certificates",
    "dpkg-dev",
    "etcd-client",
    "etcd-server",
    "gcc",
    "git",
    "golang-github-modern-go-reflect2-dev",
    "golang-go",
    "jq",
    "libc6-dev",
    "make",
    "rsync",
];
const BUILD: &str = include_str!("scripts/kubernetes.sh");
const PAUSE: &str = include_str!("scripts/pause.c");
const COLLECT: &str = include_str!("scripts/collect.sh");

/// Where the artifacts come from, for `index.yaml`.
pub(crate) fn origin() -> String {
    format!("Debian source package kubernetes {SOURCE_VERSION}")
}

/// Everything that the result depends on.
pub(crate) fn inputs() -> Vec<&'static str> {
    let mut inputs = vec![VERSION, SOURCE_VERSION, SUITE, BUILD, PAUSE, COLLECT];
    inputs.extend(PACKAGES);
    inputs
}

/// Leaves the binaries in the folder `output`.
pub(crate) fn make(workshop: &mut Workshop<'_>, output: &Path) -> Result<(), LabError> {
    let root = workshop.work().join("chroot");
    let mut bootstrap = debian::bootstrap(PACKAGES);
    bootstrap.arg(SUITE).arg(&root).args(debian::sources(SUITE)).arg(debian::source_packages(SUITE));
    workshop.run(bootstrap)?;

    let resolver = root.join("etc/resolv.conf");
    // Through a link or not: the build needs the name servers that work here.
    fs::copy("/etc/resolv.conf", &resolver).map_err(LabError::io("write", &resolver))?;
    create_folder(&root.join("build"))?;
    for (name, content) in [("build.sh", BUILD), ("pause.c", PAUSE), ("collect.sh", COLLECT)] {
        let path = root.join("build").join(name);
        fs::write(&path, content).map_err(LabError::io("write", &path))?;
    }

    // What the script mounts is mounted in a namespace of its own and gone when it ends, however it ends.
    let mut build = Command::new("unshare");
    build.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "chroot"]);
    build.arg(&root).args(["sh", "/build/build.sh", SOURCE_VERSION, VERSION]);
    workshop.run(build)?;

    fs::rename(root.join("out"), output).map_err(LabError::io("rename", output))?;
    workshop.say("removing the build chroot");
    remove(&root)
}
