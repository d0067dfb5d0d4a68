//! The transport against real shells and OpenSSH's own server.

#[path = "../support/mod.rs"]
mod support;

mod cuts;
mod files;
mod hostkeys;
mod login;
mod network;
mod proxy;
mod scripts;
mod shells;
mod sudo;
mod user;
