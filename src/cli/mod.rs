//! The command line: one file a verb; parses, calls, prints; no logic.

use crate::exit::Exit;

/// Runs the program with the process's arguments.
pub fn main() -> Exit {
    Exit::Ok
}
