//! What is installed into a cluster: Helm releases, manifests, and the proof by use that they work.
//!
//! An add-on is data (`roles/addons/NAME`, see [`Definition`]). What it shall be is compared with the cluster before
//! anything is changed; helm runs on a control plane, everything else goes through the API server; gates use it.

mod absent;
mod chart;
mod crds;
mod definition;
mod desired;
mod difference;
mod error;
pub mod gate;
mod gateway_api;
mod helm;
mod htpasswd;
mod identity;
mod install;
mod made_up;
mod observed;
mod order;
mod pods;
mod prove;
mod ready;
pub mod refuse;
mod release;
mod remove;
mod run;
mod saved;
mod schema;
mod secret;
mod shown;
mod stop;
mod through_helm;
mod tidy;
mod turns;
mod upgrade;
mod values;
mod watch;

pub use definition::{Definition, Form, KEEP, Need, SecretObject};
use desired::yaml_value;
pub use desired::{Desired, Release, Secret, Sources, definition, desired};
pub use difference::{Difference, State};
pub use error::Error;
use made_up::made_up;
pub use observed::{Observed, Record, observe};
pub use pods::pods;
pub use release::{Installed, Status};
pub use remove::{Removal, Stuck, remove, spaces};
pub use run::{Crew, Ended};
pub use saved::Saved;
