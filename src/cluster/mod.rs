//! What only Kubernetes clusters need.

mod access;
mod balancer;
mod components;
mod kubeadm;
pub mod kubeconfig;
mod members;
pub mod reach;
pub mod sample;
mod session;
mod targets;
mod work;

pub use access::{AccessError, api, speaker};
pub use members::{NoBeginning, Observed, first, living, may_begin};
pub use session::{Session, Unreached, Unusable, Visit};
pub use targets::targets;
pub use work::{Scope, Work, WorkError};
