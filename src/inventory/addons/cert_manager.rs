//! Settings of cert-manager.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Settings of cert-manager.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CertManager {
    /// Values for its Helm chart, merged over those that hoist gives it.
    pub values: Map<String, Json>,
}
