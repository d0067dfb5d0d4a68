//! The Kubernetes versions that can be installed.

use semver::Version;

/// Kubernetes minors, `(1, minor)`, that this version of hoist installs.
pub const SUPPORTED: &[(u64, u64)] = &[(1, 20)];

/// Whether any patch release of the version's minor can be installed.
pub(super) fn is_supported(version: &Version) -> bool {
    SUPPORTED.contains(&(version.major, version.minor))
}

/// The supported minors in words.
pub(super) fn supported() -> String {
    SUPPORTED.iter().map(|(major, minor)| format!("{major}.{minor}")).collect::<Vec<_>>().join(", ")
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
