//! Local nodes to try and to test hoist on one Linux machine.
//!
//! A node differs from a server only in the kernel it shares: a Debian root file system with booted systemd and
//! sshd, in a systemd-nspawn container, with an address on a bridge in a network namespace of the lab's own.
//! Or it is a virtual machine, which has a kernel and a clock of its own, and is slow.
//! [`setup`] fills the cache once; [`up`] and [`down`] start and end nodes. [`stop`], [`cut`] and [`slow`] do to them
//! what happens to servers.

mod access;
mod cache;
mod cgroup;
mod checks;
mod clock;
mod config;
mod debian;
mod disk;
mod down;
mod error;
mod identity;
mod images;
mod index;
mod kubernetes;
mod links;
mod mounts;
mod network;
mod node;
mod node_root;
mod oci;
mod packages;
mod packet;
mod power;
mod process;
mod qemu;
mod quality;
mod record;
mod relay;
mod release;
mod setup;
mod static_server;
mod status;
mod step;
mod supervise;
mod switch;
mod up;
mod virtual_root;
mod volume;

pub use access::{enter_network, exec, ssh, ssh_command};
pub use cache::Cache;
pub use checks::Failure;
pub use clock::{Shift, clock};
pub use config::{Config, DEFAULT_LAB};
pub use down::down;
pub use error::LabError;
pub use kubernetes::VERSION as KUBERNETES;
pub use links::{Link, NodeLinks};
pub use network::GATEWAY;
pub use node::{NodeSpec, Nodes};
pub use power::{discard, meant, start, stop};
pub use quality::{Delay, Loss, Quality, Rate};
pub use relay::relay;
pub use release::{Choice, Kubernetes, SAMPLE_IMAGE, choose, has_cgroup_v2, inventory_of, kept, newest};
pub use setup::{Extent, SetupPlan, setup};
pub use status::{LabStatus, NodeStatus, State, WARNING, status, table};
pub use supervise::supervise;
pub use switch::{cut, heal, slow};
pub use up::up;
pub use virtual_root::setup_virtual;
pub use volume::{Size, disk_size, fill};
