//! Settings of Prometheus and Grafana.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// Settings of Prometheus and Grafana.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prometheus {
    /// Values for its Helm chart, merged over those that hoist gives it.
    pub values: Map<String, Json>,
}
