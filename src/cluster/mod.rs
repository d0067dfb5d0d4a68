//! What only Kubernetes clusters need.

pub mod kubeconfig;
pub mod reach;
pub mod sample;
