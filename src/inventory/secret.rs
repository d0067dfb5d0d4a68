//! Secrets: an inventory says where they are, never what they are.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a secret comes from, when hoist runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum SecretSource {
    /// An environment variable of hoist.
    Env(String),
    /// A file on the administrator's machine; a newline at its end is not part of the secret.
    File(PathBuf),
}
