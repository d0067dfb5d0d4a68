//! Which nodes to rent for pods that have none, and which rented nodes can go home. Pure: nothing here talks to anybody.
//!
//! [`pack`] takes pods as a scheduler would: the administrator's machines first, then what is rented or in flight, then
//! nodes that are still to be rented. It makes several attempts and takes the cheapest; of equal ones that with the
//! fewest nodes. [`send_home`] asks the other way round.

mod bits;
mod choose;
mod class;
mod explain;
mod fill;
mod home;
mod model;
mod node;
mod plan;
mod pod;
mod ports;
pub mod read;
mod resources;
mod select;
mod shape;
mod topology;

pub use choose::pack;
pub use home::{Drain, Home, Patience, Rented, Settings, Why, send_home};
pub use node::{Effect, Node, Origin, Taint};
pub use plan::{Limits, Listed, Market, Month, NewNode, Placement, Plan, Problem, Slot, Unplaced};
pub use pod::{HOSTNAME, HostPort, Peers, Pod, Spread, Toleration, ZONE};
pub use resources::{Resources, milli, whole};
pub use select::{Operator, Requirement};
pub use shape::{CAPACITY, Reserved, Shape, offer_labels};
