//! What stands in the script for what is one node's own, until it is filled in.
//!
//! These names and what takes their place are letters, digits, dots and hyphens alone: so they may stand in any word, of any
//! language of files, in any quotes.

/// The claim's name, which is the node's.
pub const CLAIM: &str = "hoist-fill-claim";
pub const TOKEN: &str = "hoist-fill-token";
pub const TYPE: &str = "hoist-fill-type";
/// `spot` or `on-demand`.
pub const CAPACITY: &str = "hoist-fill-capacity";
/// The instance's id. This one and those below are filled in by the instance, which alone knows them.
pub const INSTANCE: &str = "hoist-fill-instance";
pub const ZONE: &str = "hoist-fill-zone";
pub const ADDRESS: &str = "hoist-fill-address";

/// Whether a value means the same to a shell, to sed, in YAML and in JSON.
pub fn is_plain(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    !value.is_empty() && value.bytes().all(plain)
}
