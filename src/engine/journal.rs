//! The run's journal: each step is written down before and after, and is on the disk before it acts.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::Error;

/// One line of the journal. No content, no secret: names and digests.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    /// Seconds since the epoch.
    at: u64,
    state: State,
    host: String,
    role: String,
    step: String,
    /// Digest of what the step states.
    input: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Begin,
    Done,
    Failed,
}

/// A step that a run had begun and not ended when it was killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interrupted {
    pub host: String,
    pub role: String,
    pub step: String,
}

/// The journal of one run.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

/// A step as the journal names it.
pub(super) struct Entry<'a> {
    pub host: &'a str,
    pub role: &'a str,
    pub step: &'a str,
    pub input: String,
}

impl Journal {
    /// Begins the journal of a run in a cluster's state folder, and says what the run before left undone.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub fn begin(folder: &Path) -> Result<(Journal, Vec<Interrupted>), Error> {
        let runs = folder.join("runs");
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |cause| Error::Journal { path, cause }
        };
        fs::create_dir_all(&runs).map_err(failed(&runs))?;
        let mut before: Vec<PathBuf> =
            fs::read_dir(&runs).map_err(failed(&runs))?.flatten().map(|entry| entry.path()).collect();
        before.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        before.sort();
        let interrupted = match before.last() {
            Some(path) => interrupted(path).map_err(failed(path))?,
            None => Vec::new(),
        };
        // Nanoseconds make the name unique and sort in the order of time.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let path = runs.join(format!("{:010}.{:09}.jsonl", now.as_secs(), now.subsec_nanos()));
        let file = OpenOptions::new().create_new(true).append(true).open(&path).map_err(failed(&path))?;
        // The file's name must survive a power cut as well as its content.
        File::open(&runs).and_then(|folder| folder.sync_all()).map_err(failed(&runs))?;
        Ok((Journal { path, file: Mutex::new(file) }, interrupted))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn began(&self, entries: &[Entry<'_>]) -> Result<(), Error> {
        self.write(State::Begin, entries)
    }

    pub(super) fn done(&self, entries: &[Entry<'_>]) -> Result<(), Error> {
        self.write(State::Done, entries)
    }

    pub(super) fn failed(&self, entries: &[Entry<'_>]) -> Result<(), Error> {
        self.write(State::Failed, entries)
    }

    /// Several lines cost one fsync.
    fn write(&self, state: State, entries: &[Entry<'_>]) -> Result<(), Error> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut lines = Vec::new();
        for entry in entries {
            let record = Record {
                at,
                state,
                host: entry.host.to_string(),
                role: entry.role.to_string(),
                step: entry.step.to_string(),
                input: entry.input.clone(),
            };
            serde_json::to_writer(&mut lines, &record).map_err(|error| self.error(error.into()))?;
            lines.push(b'\n');
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&lines).and_then(|()| file.sync_data()).map_err(|error| self.error(error))
    }

    fn error(&self, cause: io::Error) -> Error {
        Error::Journal { path: self.path.clone(), cause }
    }
}

/// The steps of a journal that began and did not end. A last line that was cut off had not begun to act.
fn interrupted(path: &Path) -> io::Result<Vec<Interrupted>> {
    let mut open: Vec<Interrupted> = Vec::new();
    for line in BufReader::new(File::open(path)?).lines() {
        let Ok(record) = serde_json::from_str::<Record>(&line?) else { continue };
        let step = Interrupted { host: record.host, role: record.role, step: record.step };
        match record.state {
            State::Begin => open.push(step),
            State::Done | State::Failed => open.retain(|other| *other != step),
        }
    }
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(step: &str) -> Entry<'_> {
        Entry { host: "cp1", role: "base", step, input: "x".to_string() }
    }

    #[test]
    fn the_next_run_knows_what_was_in_flight() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, before) = Journal::begin(folder.path()).unwrap();
        assert_eq!(before, []);
        journal.began(&[entry("one"), entry("two"), entry("three")]).unwrap();
        journal.done(&[entry("one")]).unwrap();
        journal.failed(&[entry("three")]).unwrap();
        // Killed in the middle of a line.
        fs::write(journal.path(), [fs::read(journal.path()).unwrap(), b"{\"at\":1,\"sta".to_vec()].concat())
            .unwrap();
        let (_, before) = Journal::begin(folder.path()).unwrap();
        let two = Interrupted { host: "cp1".into(), role: "base".into(), step: "two".into() };
        assert_eq!(before, [two]);
        let (_, before) = Journal::begin(folder.path()).unwrap();
        assert_eq!(before, [], "only the run just before counts");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(Journal::begin(&file), Err(Error::Journal { .. })));
    }
}
