//! What the user sees.

pub mod facts;
pub mod plan;
pub mod progress;
pub mod status;
pub mod steps;
pub mod table;
