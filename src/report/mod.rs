//! What the user sees.

pub mod plan;
pub mod preflight;
pub mod progress;
pub mod status;
pub mod steps;
pub mod table;
