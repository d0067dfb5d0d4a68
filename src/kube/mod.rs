//! The only room that talks to the API server: through a control plane's SSH connection, for the administrator's machine
//! needs no route to it; or directly, for a program that runs in the cluster.
//!
//! Every question is bounded in time. Errors are sorted by what cures them: those which asking again cures
//! (an API server that starts, a broken connection) are asked again here, the others name their fix.

mod api;
mod apply;
mod bulk;
mod direct;
mod drain;
mod error;
mod everything;
mod explain;
mod hidden;
mod manifest;
mod objects;
mod owner;
mod requests;
mod status;
mod tunnel;
mod wait;

pub use api::{Api, Patience};
pub use apply::{Applied, Change, Difference, FIELD_MANAGER};
pub use bulk::{Declared, documents, name_of};
pub use direct::{direct, in_cluster};
pub use drain::{Evicted, Movable};
pub use error::Error;
pub use hidden::{hide_listed, is_secret};
pub use manifest::ObjectName;
pub use objects::Kind;
pub use owner::MANAGED_BY;
pub use requests::Pending;
pub use status::{NodeStatus, PodStatus};
pub use tunnel::{connect, connect_at};
pub use wait::Rollout;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;
