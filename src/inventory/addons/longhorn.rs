//! Settings of Longhorn.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::storage_class::ReclaimPolicy;
use crate::{inventory::SecretSource, yaml::schema};

/// Settings of Longhorn. Replicas are kept on hosts with the role `storage` alone: on their `disks`, and where a host
/// has none, in the folder that `vars.storage.path` names (`/var/lib/longhorn`).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Longhorn {
    /// On how many hosts each volume is kept. Default: on as many as have the role `storage`, at most 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub replicas: Option<u32>,
    /// Its storage class, `longhorn`, is that of claims that name none.
    pub default_class: bool,
    /// What happens to a volume of that class when its claim is deleted.
    pub reclaim_policy: ReclaimPolicy,
    /// How much may be promised of a disk, in percent of what it has: a volume takes room as it is written to.
    #[schemars(range(min = 1, max = 1000))]
    pub over_provisioning: u32,
    /// How much of a disk must be free for another replica on it, in percent.
    #[schemars(range(max = 100))]
    pub minimal_available: u32,
    /// Which pods with volumes are deleted when their node does not answer, so that they start elsewhere.
    pub node_down: NodeDown,
    /// The priority class of all its pods. The default one comes with its chart.
    #[schemars(schema_with = "schema::dns_label")]
    pub priority_class: String,
    /// How much of each node's CPU is reserved for what serves volumes there, in percent.
    #[schemars(range(max = 40))]
    pub instance_manager_cpu: u32,
    /// Where backups go. Default: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Backup")]
    pub backup: Option<Backup>,
    /// What is done with every volume again and again, by a name of yours.
    #[schemars(extend("propertyNames" = {"format": "dns-label"}))]
    pub recurring_jobs: IndexMap<String, RecurringJob>,
    /// Values for its Helm chart, merged over those that hoist gives it.
    pub values: Map<String, Json>,
}

impl Default for Longhorn {
    fn default() -> Self {
        Longhorn {
            replicas: None,
            default_class: true,
            reclaim_policy: ReclaimPolicy::default(),
            // These four are Longhorn's own: https://longhorn.io/docs/1.12.1/references/settings/
            over_provisioning: 100,
            minimal_available: 25,
            priority_class: String::from("longhorn-critical"),
            instance_manager_cpu: 12,
            node_down: NodeDown::default(),
            backup: None,
            recurring_jobs: IndexMap::new(),
            values: Map::new(),
        }
    }
}

/// Which pods with volumes are deleted when their node does not answer. Without it, a volume that one pod writes stays
/// with the dead node until somebody deletes the pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodeDown {
    DoNothing,
    DeleteStatefulsetPod,
    DeleteDeploymentPod,
    #[default]
    DeleteBothStatefulsetAndDeploymentPod,
}

/// Where backups of volumes go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// `s3://BUCKET@REGION/PATH`, where the path may be empty, or `nfs://SERVER:/PATH`. Outside of the cluster.
    #[schemars(example = "s3://backups@eu-central-1/longhorn")]
    pub target: String,
    /// The address of an S3 service that is not AWS', such as MinIO.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        regex(pattern = r"^https?://[^/@\s]+$"),
        extend("examples" = ["https://minio.office.lan:9000"])
    )]
    pub endpoint: Option<String>,
    /// The ID of the key to S3. It needs to list, read, write and delete the bucket's objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretSource")]
    pub access_key: Option<SecretSource>,
    /// The secret of the key to S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretSource")]
    pub secret_key: Option<SecretSource>,
    /// The certificate of the authority that signed the endpoint's own, as PEM text. Default: the authorities that
    /// Longhorn's images trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretSource")]
    pub certificate: Option<SecretSource>,
    /// The bucket is part of the endpoint's name, as some services want it, and not of the path.
    #[serde(default)]
    pub virtual_hosted_style: bool,
    /// After how many seconds the target is looked at for backups of others again; 0: never.
    #[serde(default = "five_minutes")]
    pub poll: u32,
}

fn five_minutes() -> u32 {
    300
}

/// What is done with every volume that has no jobs of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecurringJob {
    pub task: RecurringTask,
    /// When, in UTC: minute, hour, day of the month, month, day of the week.
    #[schemars(schema_with = "schema::cron", example = "0 2 * * *")]
    pub cron: String,
    /// How many snapshots or backups of a volume are kept.
    #[serde(default = "a_week")]
    #[schemars(range(min = 1, max = 250))]
    pub retain: u32,
    /// With how many volumes at a time.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub concurrency: u32,
}

fn a_week() -> u32 {
    7
}

fn one() -> u32 {
    1
}

/// What a recurring job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecurringTask {
    /// Remembers what is on the volume, on the same disks.
    Snapshot,
    /// Copies what is on the volume to the backup target.
    Backup,
    /// Gives the room of deleted files back to the disks. `retain` has no effect.
    FilesystemTrim,
}
