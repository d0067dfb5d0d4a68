//! The run's journal: each step is written down before and after, and is on the disk before it acts.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Write},
    ops::Range,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Error, event::moment};

/// The extension of journals.
const JOURNAL: &str = "jsonl";
/// The extension of the logs beside them.
pub(super) const LOG: &str = "log";

/// So many runs are kept; the oldest go first.
const KEPT: usize = 50;

/// One line of the journal. No content, no secret: names and digests.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    /// RFC 3339, UTC.
    at: String,
    state: State,
    host: String,
    role: String,
    step: String,
    /// Digest of what the step states.
    input: String,
    /// Of `takes`: the installer, the name of a host, or a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Begin,
    /// Its file comes from there, unless another line follows.
    Takes,
    Done,
    Failed,
    /// It shared a script with one that failed before it.
    NotBegun,
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
    file: Mutex<Lines>,
}

/// Where lines are written.
#[derive(Debug)]
struct Lines {
    file: File,
    /// Whether the last one may lack its end, so that what follows must not be taken for a part of it.
    torn: bool,
}

/// A step as the journal names it.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    pub host: &'a str,
    pub role: &'a str,
    pub step: &'a str,
    /// Digest of what the step states.
    pub input: String,
}

impl Journal {
    /// Begins the journal of a run in a cluster's state folder, and says what the run before left undone. Runs older
    /// than the last 50 are forgotten.
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
        let before = journals(&runs).map_err(failed(&runs))?;
        let mut interrupted = Vec::new();
        for path in before.iter().rev() {
            if let Some(steps) = unfinished(path).map_err(failed(path))? {
                interrupted = steps;
                break;
            }
        }
        // Nanoseconds make the name unique, and names sort in the order of time.
        let name = Timestamp::now().strftime("%Y-%m-%dT%H-%M-%S.%9fZ");
        let path = runs.join(format!("{name}.{JOURNAL}"));
        let file = create(&path).map_err(failed(&path))?;
        // Held until the run ends, so that another one does not take it for interrupted. Where files cannot be locked
        // that is the worst that happens.
        let _ = file.try_lock();
        // The file's name must survive a power cut as well as its content.
        File::open(&runs).and_then(|folder| folder.sync_all()).map_err(failed(&runs))?;
        for old in before.iter().rev().skip(KEPT - 1) {
            // An old run that cannot be removed is no reason not to begin a new one.
            let _ = fs::remove_file(old);
            let _ = fs::remove_file(old.with_extension(LOG));
        }
        Ok((Journal { path, file: Mutex::new(Lines { file, torn: false }) }, interrupted))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down what is about to be done.
    ///
    /// # Errors
    /// When it cannot be written: then nothing may be done.
    pub fn began(&self, entries: &[Entry<'_>]) -> Result<(), Error> {
        self.write(entries.iter().map(|entry| (State::Begin, entry)), None)
    }

    /// Writes down where the file of a step that has begun comes from.
    pub(super) fn takes(&self, entry: &Entry<'_>, from: &str) -> Result<(), Error> {
        self.write(std::iter::once((State::Takes, entry)), Some(from))
    }

    /// Writes down how far steps that began together came: those in `failed` failed, those before it are done, and
    /// those after it were not begun.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn ended(&self, entries: &[Entry<'_>], failed: Range<usize>) -> Result<(), Error> {
        let state = |index| match index {
            index if index < failed.start => State::Done,
            index if index < failed.end => State::Failed,
            _ => State::NotBegun,
        };
        self.write(entries.iter().enumerate().map(|(index, entry)| (state(index), entry)), None)
    }

    /// Several lines cost one fsync.
    fn write<'a>(
        &self,
        entries: impl Iterator<Item = (State, &'a Entry<'a>)>,
        from: Option<&str>,
    ) -> Result<(), Error> {
        let at = moment(Timestamp::now());
        let mut lines = Vec::new();
        for (state, entry) in entries {
            let record = Record {
                at: at.clone(),
                state,
                host: entry.host.to_string(),
                role: entry.role.to_string(),
                step: entry.step.to_string(),
                input: entry.input.clone(),
                from: from.map(String::from),
            };
            serde_json::to_writer(&mut lines, &record).map_err(|error| self.error(error.into()))?;
            lines.push(b'\n');
        }
        self.file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(lines)
            .map_err(|error| self.error(error))
    }

    fn error(&self, cause: io::Error) -> Error {
        Error::Journal { path: self.path.clone(), cause }
    }
}

impl Lines {
    fn append(&mut self, mut lines: Vec<u8>) -> io::Result<()> {
        if self.torn {
            lines.insert(0, b'\n');
        }
        let written = self.file.write_all(&lines).and_then(|()| self.file.sync_data());
        self.torn = written.is_err();
        written
    }
}

impl Drop for Journal {
    /// Closing the file is not enough: a process that is being started at this moment still has it, and with it the lock.
    fn drop(&mut self) {
        let _ = self.file.get_mut().unwrap_or_else(PoisonError::into_inner).file.unlock();
    }
}

/// Makes a file that only its owner reads: outputs of commands may be in it.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().create_new(true).append(true).mode(0o600).open(path)
}

/// The journals of a folder, oldest first.
fn journals(runs: &Path) -> io::Result<Vec<PathBuf>> {
    let mut journals: Vec<PathBuf> = fs::read_dir(runs)?.flatten().map(|entry| entry.path()).collect();
    journals.retain(|path| path.extension().is_some_and(|extension| extension == JOURNAL));
    journals.sort();
    Ok(journals)
}

/// The steps of a journal that began and did not end; nothing for a run that is still at work, on other hosts. A last
/// line that was cut off had not begun to act.
fn unfinished(path: &Path) -> io::Result<Option<Vec<Interrupted>>> {
    let file = File::open(path)?;
    if matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return Ok(None);
    }
    let mut open: Vec<Interrupted> = Vec::new();
    // Not as text: a line may have been cut off within a character, or a disk have damaged it.
    for line in BufReader::new(file).split(b'\n') {
        let Ok(record) = serde_json::from_slice::<Record>(&line?) else { continue };
        let step = Interrupted { host: record.host, role: record.role, step: record.step };
        match record.state {
            State::Begin => open.push(step),
            State::Takes => {}
            State::Done | State::Failed | State::NotBegun => open.retain(|other| *other != step),
        }
    }
    Ok(Some(open))
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
        journal.began(&[entry("one")]).unwrap();
        journal.ended(&[entry("one")], 1..1).unwrap();
        journal.began(&[entry("two")]).unwrap();
        journal.takes(&entry("two"), "w1").unwrap();
        journal.began(&[entry("three"), entry("four")]).unwrap();
        journal.ended(&[entry("three"), entry("four")], 0..1).unwrap();
        let path = journal.path().to_path_buf();
        assert_eq!(Journal::begin(folder.path()).unwrap().1, [], "it is still at work");
        fs::remove_file(journals(&folder.path().join("runs")).unwrap().pop().unwrap()).unwrap();
        drop(journal);
        // Killed in the middle of a line.
        fs::write(&path, [fs::read(&path).unwrap(), b"{\"at\":1,\"sta".to_vec()].concat()).unwrap();
        let (_, before) = Journal::begin(folder.path()).unwrap();
        let two = Interrupted { host: "cp1".into(), role: "base".into(), step: "two".into() };
        assert_eq!(before, [two]);
        let (beside, before) = Journal::begin(folder.path()).unwrap();
        assert_eq!(before, [], "only the run just before counts");
        beside.began(&[entry("one")]).unwrap();
        assert_eq!(
            Journal::begin(folder.path()).unwrap().1,
            [],
            "one beside that is still at work does not count"
        );
    }

    #[test]
    fn a_line_that_is_cut_off_within_a_character_takes_no_other_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::begin(folder.path()).unwrap();
        journal.began(&[entry("one")]).unwrap();
        // A full disk takes a part, and then has room again.
        let mut lines = journal.file.lock().unwrap();
        lines.file.write_all("{\"step\":\"ü".as_bytes().strip_suffix(b"\xbc").unwrap()).unwrap();
        lines.torn = true;
        drop(lines);
        journal.began(&[entry("two")]).unwrap();
        journal.ended(&[entry("one")], 1..1).unwrap();
        drop(journal);
        let (_, before) = Journal::begin(folder.path()).unwrap();
        assert_eq!(before.iter().map(|step| &*step.step).collect::<Vec<_>>(), ["two"]);
    }

    /// No device is as full as this one.
    #[test]
    fn a_line_that_was_not_written_is_an_error_and_the_next_one_begins_anew() {
        let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut lines = Lines { file: full(), torn: false };
        assert!(lines.append(b"{}\n".to_vec()).is_err() && lines.torn);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        lines.file = create(&path).unwrap();
        lines.append(b"{}\n".to_vec()).unwrap();
        lines.append(b"{}\n".to_vec()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"\n{}\n{}\n");
    }

    #[test]
    fn a_run_that_has_ended_holds_nothing_that_another_process_inherited() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::begin(folder.path()).unwrap();
        journal.began(&[entry("one")]).unwrap();
        // What a fork has until it executes its program.
        let _inherited = journal.file.lock().unwrap().file.try_clone().unwrap();
        drop(journal);
        assert_eq!(Journal::begin(folder.path()).unwrap().1.len(), 1);
    }

    #[test]
    fn of_steps_that_began_together_each_has_its_own_end() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::begin(folder.path()).unwrap();
        let steps = ["one", "two", "three"].map(entry);
        journal.began(&steps).unwrap();
        journal.ended(&steps, 1..2).unwrap();
        let text = fs::read_to_string(journal.path()).unwrap();
        let ends: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|line| format!("{} {}", line["step"].as_str().unwrap(), line["state"].as_str().unwrap()))
            .collect();
        assert_eq!(
            ends,
            ["one begin", "two begin", "three begin", "one done", "two failed", "three not-begun"]
        );
    }

    #[test]
    fn the_last_fifty_runs_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for _ in 0..KEPT + 3 {
            let (journal, _) = Journal::begin(folder.path()).unwrap();
            fs::write(journal.path().with_extension(LOG), "").unwrap();
            paths.push(journal.path().to_path_buf());
        }
        assert_eq!(journals(&folder.path().join("runs")).unwrap(), paths[3..]);
        assert!(!paths[2].with_extension(LOG).exists() && paths[3].with_extension(LOG).exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(Journal::begin(&file), Err(Error::Journal { .. })));
    }
}
