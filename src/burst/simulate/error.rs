//! Why there is nothing to simulate.

use std::{io, path::PathBuf};

use miette::Diagnostic;

use crate::yaml;

/// A file that says what to simulate is wrong.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Error {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Unreadable(#[from] yaml::ReadError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Mistakes(#[from] yaml::Problems),
    #[error("failed to read the workload {}", path.display())]
    #[diagnostic(help("it is a file of JSON lines, as docs/burst.md describes it under \"Packing\""))]
    Workload {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{}:{line}: {mistake}", path.display())]
    #[diagnostic(help(
        "a line is {{\"at\": SECONDS, \"create\": POD}}, where POD is what `kubectl get pod -o json` prints, or \
         {{\"at\": SECONDS, \"delete\": \"NAMESPACE/NAME\"}}"
    ))]
    Line { path: PathBuf, line: usize, mistake: String },
}
