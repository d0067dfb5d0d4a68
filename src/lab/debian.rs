//! How root file systems are made with mmdebstrap.

use std::process::Command;

const MIRROR: &str = "http://deb.debian.org/debian";
const SECURITY: &str = "http://deb.debian.org/debian-security";

/// mmdebstrap with the options that every root file system has; suite, target and sources come after.
pub(crate) fn bootstrap(packages: &[&str]) -> Command {
    let mut command = Command::new("mmdebstrap");
    command
        .arg("--mode=root")
        .arg("--variant=minbase")
        // Nobody needs these files to survive a power cut half-way.
        .arg("--dpkgopt=force-unsafe-io")
        .arg("--aptopt=Acquire::Languages \"none\"")
        .arg(format!("--include={}", packages.join(",")));
    command
}

/// Lines of sources.list for the binary packages of a release.
pub(crate) fn sources(suite: &str) -> [String; 2] {
    [format!("deb {MIRROR} {suite} main"), format!("deb {SECURITY} {suite}-security main")]
}

/// The line of sources.list for the source packages of a release.
pub(crate) fn source_packages(suite: &str) -> String {
    format!("deb-src {MIRROR} {suite} main")
}
