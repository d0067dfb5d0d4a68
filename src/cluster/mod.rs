//! What only Kubernetes clusters need.

mod targets;

pub use targets::{Observed, first, targets};
