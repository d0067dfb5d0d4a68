//! Workers in EC2 when the machines have no room left, and given back when they are not needed any more.
//!
//! `offer` says what can be rented; `pack` (pure) says which offers waiting pods need, and which rented nodes are not
//! needed any more; `claim` (pure) is the life of one rented node, written down before EC2 is asked; `simulate` replays a
//! workload against both. `join` writes what a rented
//! node runs. Only `aws` talks to AWS, behind `cloud`; `kubernetes` keeps claims in the cluster.

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
pub mod market;
pub mod network;
pub mod offer;
pub mod pack;
pub mod permissions;
pub mod rented;
pub mod service;
pub mod simulate;
pub mod time;
