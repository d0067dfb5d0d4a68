//! What only Kubernetes clusters need.

mod access;
mod balancer;
pub mod certificates;
mod components;
mod etcd;
mod files;
pub mod health;
mod identity;
mod kubeadm;
pub mod kubeconfig;
pub mod limited;
pub mod marks;
mod members;
pub mod packages;
pub mod reach;
mod rented;
mod runtime;
pub mod sample;
mod secrets;
pub mod serving;
mod session;
pub mod state;
mod targets;
mod version;
mod volumes;
mod work;

pub use access::{AccessError, Way, api, speaker, ways};
pub use files::{environment, places};
pub use identity::{OtherIdentity, same_identity};
pub use members::{NoBeginning, Observed, certified, first, living, living_certified, may_begin};
pub use rented::{Rented, rented};
pub use session::{Session, Unreached, Unusable, Visit};
pub use targets::{surroundings, targets};
pub use version::{OtherVersion, same_version};
pub use work::{Scope, Work, WorkError};
