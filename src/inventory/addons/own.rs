//! Charts and manifests of the user's own.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::super::Chart;

/// An add-on of your own: a chart, a folder of manifests, or both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// The namespace of its release, and of its objects that do not say another. It is made where there is none.
    #[schemars(regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"), length(max = 63))]
    pub namespace: String,
    /// A Helm chart: `hoist lock` pins it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Chart")]
    pub chart: Option<Chart>,
    /// A folder on this machine whose files `*.yaml` and `*.yml` are applied, after the chart where there is one. What
    /// is taken out of it is deleted from the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<PathBuf>,
    /// Values for its chart.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub values: Map<String, Json>,
    /// The add-ons that come before this one where they are wanted. Where one of them fails, this one is not begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Seconds that it may take until it is ready.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 1))]
    pub timeout: u32,
}

fn five_minutes() -> u32 {
    300
}
