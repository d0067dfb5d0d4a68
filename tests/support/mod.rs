//! What tests of several kinds share.

pub mod skip;
pub mod sshd;
