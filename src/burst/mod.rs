//! Workers in EC2 when the machines have no room left, and given back when they are not needed any more.
//!
//! `market` knows what can be rented, and at which price; `demand` reads who waits and asks `pack` (pure), which offers they
//! need and which rented nodes are not needed any more. `claim` (pure) is the life of one rented node, written down before EC2
//! is asked; `controller` drives claims, and `service` is the program that does all of this, turn by turn. `join` writes what a
//! rented node runs. `network` is where nodes are, `gateway` what would connect it with the machines. Only `aws` talks to AWS,
//! behind `cloud`; `kubernetes` keeps claims in the cluster. `local` finds Services whose pods lose traffic on rented nodes.
//! `simulate` replays a workload without either.

#[cfg(feature = "aws")]
pub mod aws;
pub mod claim;
pub mod cloud;
pub mod collect;
pub mod controller;
pub mod demand;
pub mod deploy;
pub mod destroy;
pub mod gateway;
pub mod join;
pub mod kubernetes;
pub mod local;
pub mod market;
pub mod network;
pub mod offer;
pub mod pack;
pub mod permissions;
pub mod quota;
pub mod rented;
pub mod service;
pub mod simulate;
pub mod stray;
pub mod time;
