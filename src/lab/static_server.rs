//! Compiles the sample application's server: one static program without a C library to carry along.

use std::{fs, path::Path, process::Command};

use super::{error::LabError, packages, step::Workshop};

const SOURCE: &str = include_str!("../../examples/static-server.rs");

/// Everything that the result depends on.
pub(crate) fn inputs() -> Vec<&'static str> {
    vec![SOURCE]
}

/// Writes the program to `output`.
pub(crate) fn make(workshop: &mut Workshop<'_>, output: &Path) -> Result<(), LabError> {
    let source = workshop.work().join("static-server.rs");
    fs::write(&source, SOURCE).map_err(LabError::io("write", &source))?;
    let mut rustc = Command::new(packages::rustc().unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "-O", "-C", "target-feature=+crt-static", "-C", "strip=symbols", "-o"]);
    rustc.arg(output).arg(&source);
    workshop.run(rustc)
}
