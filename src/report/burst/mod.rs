//! Workers in EC2, for people: their network, and what is rented.

mod network;
mod rented;
mod worst;

pub use network::{made, network};
pub use rented::{Found, status, status_json, turn, turn_json};
