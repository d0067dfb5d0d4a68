//! The gateway: one small instance in which machines and workers meet, by WireGuard.
//!
//! Its network interface, with the public address and the routes to it, is made with the network and outlives it; a new
//! instance takes the interface, so nobody has to learn anything. What it must know is in its user data: when a machine
//! is added it is replaced, because nobody can log in to it to change it.
//!
//! Machines make their own keys and tell the public one as an annotation of their node; in return a ConfigMap tells them where
//! the gateway is. [`Keeper`] brings both together ([`Meeting`]) and makes the instance's user data from it. `machine` decides
//! (pure), `turn` looks, writes down and acts, with the rules of claims: whatever may cost money is
//! written down before EC2 is asked, and an answer that was cut is asked for again with the same bytes. It has no claim, for
//! a claim is a node's; its instances carry [`NAME`] where those of workers carry a claim's.

mod keeper;
mod keys;
mod launch;
mod machine;
mod record;
mod turn;
mod user_data;

pub use keeper::{Around, Keeper, Kept, Known, Machine, Meeting, Plan, SETTLED};
pub use keys::{PrivateKey, PublicKey};
pub use launch::{disk_gib, wanted};
pub use machine::{Next, Seen, answered, next};
pub use record::{Launch, Record, Records, Refusal, Wanted};
pub use turn::{Checks, Turn, turn};
pub use user_data::{Error, Peer, Site, user_data};

/// In the tag of the claim. Workers' claims are called otherwise.
pub const NAME: &str = "gateway";
