//! The command line: one file a verb; parses, calls, prints; no logic.

pub mod trust;

use crate::exit::Exit;

/// Runs the program with the process's arguments.
pub fn main() -> Exit {
    Exit::Ok
}
