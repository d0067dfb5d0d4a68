//! What is installed into a cluster: Helm releases, manifests, and the proof by use that they work.
//!
//! An add-on is data (`roles/addons/NAME`, see [`Definition`]). What it shall be is compared with the cluster before
//! anything is changed; helm runs on a control plane, everything else goes through the API server; gates use it.

mod definition;
pub mod gate;

pub use definition::{Definition, SecretObject};
