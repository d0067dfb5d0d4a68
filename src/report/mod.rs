//! What the user sees.

pub mod addon;
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

use std::{
    fmt::Display,
    io::{self, Write as _},
};

/// Tells people a line on standard error. Nobody can be told that nobody reads it any more, and the work goes on:
/// `eprintln!` would end it there.
pub fn tell_line(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The same for a text that has its line ends.
pub fn tell_text(text: impl Display) {
    let _ = write!(io::stderr(), "{text}");
}

/// A number of things: `1 change`, `2 changes`.
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
