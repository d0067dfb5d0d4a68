//! Settings of the NFS provisioner.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Settings of the NFS provisioner.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NfsProvisioner {
    /// Values for its Helm chart, merged over those that hoist gives it.
    pub values: Map<String, Json>,
}
