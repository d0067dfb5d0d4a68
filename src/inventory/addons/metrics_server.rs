//! Settings of metrics-server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Settings of metrics-server.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsServer {
    /// Values for its Helm chart, merged over those that hoist gives it.
    pub values: Map<String, Json>,
}
