//! Local nodes to try and to test hoist on one Linux machine.
//!
//! A node differs from a server only in the kernel it shares: a Debian root file system with booted systemd and
//! sshd, in a systemd-nspawn container, with an address on a bridge in a network namespace of the lab's own.
//! [`setup`] fills the cache once; [`up`] and [`down`] start and end nodes.

mod cache;
mod cgroup;
mod checks;
mod debian;
mod error;
mod images;
mod index;
mod kubernetes;
mod mounts;
mod node_root;
mod oci;
mod packages;
mod process;
mod setup;
mod static_server;
mod step;

pub use cache::Cache;
pub use checks::Failure;
pub use error::LabError;
pub use index::{FileArtifact, ImageArtifact, Index};
pub use kubernetes::VERSION as KUBERNETES;
pub use setup::{SetupPlan, setup};
