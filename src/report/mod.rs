//! What the user sees.

pub mod burst;
pub mod download;
pub mod facts;
pub mod hosts;
pub mod plan;
pub mod preflight;
pub mod progress;
pub mod run;
pub mod status;
pub mod steps;
pub mod table;

/// A number of things: `1 change`, `2 changes`.
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
