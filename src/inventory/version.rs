//! The Kubernetes releases that are known.

use semver::Version;

/// What differs from one Kubernetes minor to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// The N of 1.N.
    pub minor: u64,
    /// The version of kubeadm's configuration that its kubeadm reads without a warning:
    /// https://kubernetes.io/docs/reference/config-api/
    pub kubeadm_api: &'static str,
    /// Whether those who built this version of hoist have installed it.
    pub proven: bool,
}

/// The first minor whose kubelet does not start on cgroup v1 unless it is told to.
pub const NO_CGROUP_V1: u64 = 35;

const fn release(minor: u64, kubeadm_api: &'static str, proven: bool) -> Release {
    Release { minor, kubeadm_api, proven }
}

/// The releases that an inventory may name.
pub const RELEASES: &[Release] = &[
    release(20, "v1beta2", true),
    release(31, "v1beta4", false),
    release(32, "v1beta4", false),
    release(33, "v1beta4", false),
    release(34, "v1beta4", false),
    release(35, "v1beta4", false),
    release(36, "v1beta4", false),
    release(37, "v1beta4", false),
];

impl Release {
    /// The release that a version belongs to; `None` when it is not known.
    pub fn of(version: &Version) -> Option<&'static Release> {
        RELEASES.iter().find(|release| (version.major, version.minor) == (1, release.minor))
    }
}

/// Some releases in words: `1.20, 1.31`.
pub(super) fn listed(which: impl Fn(&Release) -> bool) -> String {
    let names =
        RELEASES.iter().filter(|release| which(release)).map(|release| format!("1.{}", release.minor));
    names.collect::<Vec<_>>().join(", ")
}

/// serde's view of a version: its text.
pub(super) mod text {
    use semver::Version;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(version: &Version, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(version)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
