//! The transport against real shells and OpenSSH's own server.

#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod config;
mod cuts;
mod files;
mod hostkeys;
mod jumps;
mod login;
mod network;
mod passwords;
mod prompts;
mod proxy;
mod scripts;
mod shells;
mod slow;
mod sudo;
mod user;
