//! Settings of the NFS provisioner.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::storage_class::ReclaimPolicy;
use crate::yaml::schema;

/// Settings of the NFS provisioner: each volume is a folder on an NFS server that is there already.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NfsProvisioner {
    /// The NFS server.
    #[schemars(schema_with = "schema::host")]
    pub server: String,
    /// The folder that it exports.
    #[schemars(regex(pattern = r"^/[A-Za-z0-9._/-]*$"), example = "/srv/volumes")]
    pub path: String,
    /// Mount options, as nfs(5) has them.
    #[serde(default = "mount_options")]
    #[schemars(inner(regex(pattern = r"^[A-Za-z0-9_.,=:+-]+$")))]
    pub mount_options: Vec<String>,
    /// The name of the storage class.
    #[serde(default = "class")]
    #[schemars(schema_with = "schema::dns_label")]
    pub class: String,
    /// It is the storage class of claims that name none. Default: where Longhorn's is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_class: Option<bool>,
    /// What happens to a volume when its claim is deleted.
    #[serde(default)]
    pub reclaim_policy: ReclaimPolicy,
    /// The folder of a deleted volume is renamed to `archived-…` and stays on the server.
    #[serde(default = "yes")]
    pub archive_on_delete: bool,
    /// Values for its Helm chart, merged over those that hoist gives it.
    #[serde(default)]
    pub values: Map<String, Json>,
}

fn mount_options() -> Vec<String> {
    // Writes wait for a server that is away instead of being lost.
    vec![String::from("nfsvers=4.1"), String::from("hard")]
}

fn class() -> String {
    String::from("nfs")
}

fn yes() -> bool {
    true
}
