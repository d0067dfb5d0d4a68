//! Disks of hosts that hold volumes. The doc comments are the reference that users read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A disk for volumes: mounted at boot and now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// The block device, best by a name that stays when disks are added: `/dev/disk/by-id/…`.
    #[schemars(
        regex(pattern = "^/dev/[A-Za-z0-9/._:+@-]+$"),
        example = "/dev/disk/by-id/wwn-0x5002538e40a1b2c3"
    )]
    pub device: String,
    /// Where it is mounted.
    #[serde(default = "longhorn")]
    #[schemars(regex(pattern = "^(/[A-Za-z0-9._-]+)+$"), example = "/var/lib/longhorn")]
    pub path: String,
    /// Which file system is on it.
    #[serde(default)]
    pub filesystem: Filesystem,
    /// Makes the file system when the device is empty. A device with anything on it is never written to: not with a
    /// file system, not with partitions, not with a member of a volume group or an array.
    #[serde(default)]
    pub format: bool,
    /// Mount options, as fstab(5) has them. `nofail`: the host boots without the disk, too.
    #[serde(default = "options")]
    #[schemars(regex(pattern = r"^[A-Za-z0-9_.,=:+-]+$"))]
    pub options: String,
}

/// A file system that replicas of volumes can be kept on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Filesystem {
    #[default]
    Ext4,
    Xfs,
}

impl Filesystem {
    /// As mount(8) and mkfs(8) have it.
    pub fn name(self) -> &'static str {
        match self {
            Filesystem::Ext4 => "ext4",
            Filesystem::Xfs => "xfs",
        }
    }
}

fn longhorn() -> String {
    "/var/lib/longhorn".to_string()
}

fn options() -> String {
    "defaults,noatime,nofail".to_string()
}
