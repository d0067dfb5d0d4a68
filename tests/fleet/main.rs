//! `plan`, `apply` and what reads a cluster, over real OpenSSH servers: hosts that are missing, parts of an inventory,
//! plans in files, locks, logs. The built-in roles are replaced by harmless ones.

#[path = "../support/skip.rs"]
mod skip;

mod apt;
mod bed;
mod dnf;
mod files;
mod guards;
mod limits;
mod mounts;
mod plans;
mod reboots;
mod runs;
mod shared_turns;
mod turns;
mod unreached;
mod warnings;
