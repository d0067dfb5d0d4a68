//! Local nodes to try and to test hoist on one Linux machine.
//!
//! A node differs from a server only in the kernel it shares: a Debian root file system with booted systemd and
//! sshd, in a systemd-nspawn container, with an address on a bridge in a network namespace of the lab's own.
//! [`setup`] fills the cache once; [`up`] and [`down`] start and end nodes.

mod access;
mod cache;
mod cgroup;
mod checks;
mod config;
mod debian;
mod disk;
mod down;
mod error;
mod images;
mod index;
mod kubernetes;
mod mounts;
mod network;
mod node_root;
mod oci;
mod packages;
mod process;
mod record;
mod setup;
mod static_server;
mod status;
mod step;
mod supervise;
mod up;

pub use access::{enter_network, exec, ssh, ssh_command};
pub use cache::Cache;
pub use checks::Failure;
pub use config::{Config, DEFAULT_LAB, NodeSpec};
pub use down::down;
pub use error::LabError;
pub use kubernetes::VERSION as KUBERNETES;
pub use network::GATEWAY;
pub use setup::{SetupPlan, setup};
pub use status::{NodeStatus, State, status, table};
pub use supervise::supervise;
pub use up::up;
