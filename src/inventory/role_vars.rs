//! What the inventory may say to the built-in roles. The doc comments are the reference that users read; the defaults
//! are those of the roles' own files.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

/// Values for roles, by the role's name. Those of the built-in roles are checked. Any other name is free, for roles of your
/// own (`--roles`); one that takes the place of a built-in role has what it adds under such a name, too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default)]
pub struct RoleVars {
    /// What every host needs.
    pub base: BaseVars,
    /// How nodes run containers.
    pub containerd: ContainerdVars,
    /// How etcd is tuned.
    pub etcd: EtcdVars,
    /// What attaches volumes, and where their replicas are.
    pub storage: StorageVars,
}

impl RoleVars {
    /// The names under `vars` that belong to built-in roles.
    pub const NAMES: [&str; 4] = ["base", "containerd", "etcd", "storage"];
}

/// What is false here is left to somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BaseVars {
    /// The host is named as in the inventory.
    pub hostname: bool,
    /// `/etc/hosts` has every host of the inventory.
    pub hosts: bool,
    /// A service keeps the clock right.
    pub time: bool,
}

impl Default for BaseVars {
    fn default() -> Self {
        BaseVars { hostname: true, hosts: true, time: true }
    }
}

/// How nodes run containers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContainerdVars {
    /// No container is protected better than containerd itself when memory is short. Only for hosts that may not raise the
    /// priority of processes, such as nested containers.
    pub restrict_oom_score_adj: bool,
    /// Confines containers by SELinux, on hosts that have it.
    pub selinux: bool,
}

/// How etcd is tuned. Where it is `stacked`, only what is said for all hosts counts, and of that neither `snapshot_count`,
/// `nice` nor `oom_score_adjust`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EtcdVars {
    /// Milliseconds between two signs of life of the leader. 0 is by the sites: etcd's own 100, or 250 where members are at
    /// several.
    #[schemars(range(min = 0, max = 10_000))]
    pub heartbeat_ms: u32,
    /// Milliseconds without a sign of life until another leader is elected: at least five heartbeats. 0 is by the sites:
    /// etcd's own 1000, or 2500 where members are at several.
    #[schemars(range(min = 0, max = 50_000))]
    pub election_ms: u32,
    /// So many bytes may the data have; etcd's own limit of 2 GiB is soon reached, and then it takes no more.
    pub quota_bytes: u64,
    /// Changes between two snapshots: fewer of them need less memory and more writing.
    #[schemars(range(min = 1))]
    pub snapshot_count: u64,
    /// So much of the past is kept, should nobody else compact it. API servers do, every five minutes.
    #[schemars(schema_with = "retention")]
    pub compaction_retention: String,
    /// Its priority at the processor: below 0 it is before other programs, and needs CAP_SYS_NICE.
    #[schemars(range(min = -20, max = 19))]
    pub nice: i32,
    /// How soon it is killed when memory is short: below 0 it is among the last, and needs CAP_SYS_RESOURCE.
    #[schemars(range(min = -1000, max = 1000))]
    pub oom_score_adjust: i32,
}

impl Default for EtcdVars {
    fn default() -> Self {
        EtcdVars {
            heartbeat_ms: 0,
            election_ms: 0,
            quota_bytes: 8 << 30,
            snapshot_count: 10_000,
            compaction_retention: "8h".to_string(),
            nice: -10,
            oom_score_adjust: -900,
        }
    }
}

/// As etcd reads it: hours, or a duration.
fn retention(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["string", "integer"], "format": "hours-or-duration", "minimum": 0})
}

/// What is false here is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StorageVars {
    /// Volumes are attached over iSCSI, as Longhorn does.
    pub iscsi: bool,
    /// Volumes that several pods write are mounted over NFS.
    pub nfs: bool,
    /// Where replicas are on a host without disks of its own for them.
    #[schemars(regex(pattern = "^(/[A-Za-z0-9._-]+)+$"), example = "/var/lib/longhorn")]
    pub path: String,
}

impl Default for StorageVars {
    fn default() -> Self {
        StorageVars { iscsi: true, nfs: true, path: "/var/lib/longhorn".to_string() }
    }
}
