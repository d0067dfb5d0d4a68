//! What only Kubernetes clusters need.

mod access;
pub mod certificates;
mod components;
pub mod health;
pub mod kubeconfig;
pub mod limited;
mod members;
pub mod reach;
pub mod sample;
mod secrets;
pub mod serving;
mod session;
pub mod state;
mod targets;
mod work;

pub use access::{AccessError, api, speaker};
pub use members::{NoBeginning, Observed, first, living, may_begin};
pub use session::{Session, Unreached, Unusable, Visit};
pub use targets::targets;
pub use work::{Scope, Work, WorkError};
