//! What only Kubernetes clusters need.

mod access;
pub mod kubeconfig;
pub mod reach;
pub mod sample;
mod session;
mod targets;

pub use access::{AccessError, api, speaker};
pub use session::{Session, Unreached};
pub use targets::{Observed, first, orphans, targets};
