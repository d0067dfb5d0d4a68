//! The transport against real shells and OpenSSH's own server.

#[path = "../support/mod.rs"]
mod support;

mod connection;
mod shells;
