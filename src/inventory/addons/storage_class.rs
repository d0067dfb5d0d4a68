//! What storage classes have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens to a volume when its claim is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReclaimPolicy {
    /// It is deleted, too.
    #[default]
    Delete,
    /// It stays until somebody deletes it.
    Retain,
}
