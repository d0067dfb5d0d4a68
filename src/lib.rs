//! hoist makes a production Kubernetes cluster out of machines that people already own.
//!
//! The rooms, each using only those above it (`cli` uses everything):
//! disk, yaml, inventory, transport, facts, preflight, task, engine, artifact, kube, cluster, addon, burst, report, lab, cli.

// They end the program when nobody reads: `report::tell_line` and what is beside it do not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod addon;
pub mod artifact;
pub mod burst;
pub mod cli;
pub mod cluster;
pub mod disk;
pub mod engine;
pub mod exit;
pub mod facts;
pub mod inventory;
pub mod kube;
pub mod lab;
pub mod preflight;
pub mod report;
pub mod task;
pub mod transport;
pub mod yaml;
