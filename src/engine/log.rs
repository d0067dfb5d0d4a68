//! The log of a run: every event with its time, for whoever wants to know later.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{Error, Journal, journal};

/// A file beside the run's journal with one JSON object a line: the lines that `--output json` prints.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Begins the log of the run that has this journal.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn beside(journal: &Journal) -> Result<Log, Error> {
        let path = journal.path().with_extension(journal::LOG);
        let file = journal::create(&path).map_err(|cause| Error::Journal { path: path.clone(), cause })?;
        Ok(Log { path, file })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line. Unlike the journal it is not forced to the disk: no decision depends on it.
    ///
    /// # Errors
    /// Such as a full disk.
    pub fn write(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all(format!("{line}\n").as_bytes())
    }
}
