//! What tests of several kinds share.

#![allow(dead_code, reason = "each kind uses a part of it")]

pub mod namespace;
pub mod skip;
pub mod sshd;
