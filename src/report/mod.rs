//! What the user sees.

pub mod download;
pub mod plan;
pub mod progress;
pub mod status;
pub mod steps;
pub mod table;
