//! What tests of several kinds share.

pub mod sshd;
