//! Clusters of several kinds on real nodes: what only shows when members, control planes and their balancers are several.
//!
//! Needs root and a cache that `hoist lab setup` has filled. Each story has a module, a lab and an inventory of its own:
//! `cargo test --test cluster -- --ignored --nocapture --test-threads 1 NAME`; which of them `tests/run`
//! runs is said there, at `HOIST_STORIES`.

mod addons;
mod another;
mod distribution;
mod endpoint;
mod etcd;
mod expired;
#[path = "../support/followed.rs"]
mod followed;
mod gates;
mod high_availability;
mod hosts;
mod machines;
#[path = "../support/moto.rs"]
mod moto;
mod offline;
mod releases;
mod rented;
mod repairs;
mod restored;
mod security;
mod seven;
mod single;
#[path = "../support/skip.rs"]
mod skip;
mod stacked;
#[path = "../support/stage.rs"]
mod stage;
