//! What the user sees.

pub mod status;
pub mod table;
