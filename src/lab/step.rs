//! One thing that set-up makes: done once, kept in the cache, made anew when what it is made from changes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::{
    cache::{Cache, create_folder, remove, write_atomically},
    error::LabError,
    oci::hex,
    process,
};
use crate::report::steps::{Ended, Progress};

/// Makes a step's output at the path it is given.
pub(crate) type Make = fn(&mut Workshop<'_>, &Path) -> Result<(), LabError>;

/// What to make, and what people are told about it beforehand.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Names the step's log, stamp and work folder.
    pub(crate) name: &'static str,
    /// Nodes do not run without it.
    pub(crate) for_nodes: bool,
    pub(crate) title: String,
    /// On two busy cores.
    pub(crate) expected: Duration,
    /// Bytes that stay in the cache.
    pub(crate) kept: u64,
    /// Bytes in use while it works, those that stay included.
    pub(crate) peak: u64,
    /// Digest of everything the output depends on.
    pub(crate) inputs: String,
    /// File or folder that appears, complete, at the end.
    pub(crate) output: PathBuf,
    pub(crate) make: Make,
}

impl Step {
    /// Whether the output is there and was made from the present inputs.
    pub(crate) fn complete(&self, cache: &Cache) -> bool {
        self.output.exists()
            && fs::read_to_string(cache.stamp(self.name)).is_ok_and(|stamp| stamp.trim() == self.inputs)
    }

    /// Makes the output, or says that it is there.
    pub(crate) fn run(&self, cache: &Cache, progress: &mut dyn Progress) -> Result<(), LabError> {
        if self.complete(cache) {
            progress.cached(&self.title);
            return Ok(());
        }
        progress.begin(&self.title, self.expected);
        let made = self.make(cache, progress);
        progress.end(if made.is_ok() { Ended::Done } else { Ended::Failed });
        made
    }

    fn make(&self, cache: &Cache, progress: &mut dyn Progress) -> Result<(), LabError> {
        let log = cache.log(self.name);
        process::start_log(&log)?;
        let work = cache.work(self.name);
        // What a run that was cut off has left.
        remove(&work)?;
        create_folder(&work)?;
        if let Some(folder) = self.output.parent() {
            create_folder(folder)?;
        }
        let partial = work.join("output");
        let mut workshop = Workshop { name: self.name, cache, work: work.clone(), log, progress };
        (self.make)(&mut workshop, &partial)?;
        // An output without its stamp is made again; a stamp without its output would be a lie.
        remove(&cache.stamp(self.name))?;
        remove(&self.output)?;
        fs::rename(&partial, &self.output).map_err(LabError::io("rename", &partial))?;
        write_atomically(&cache.stamp(self.name), format!("{}\n", self.inputs).as_bytes())?;
        remove(&work)
    }
}

/// What a step works with.
pub(crate) struct Workshop<'a> {
    name: &'static str,
    cache: &'a Cache,
    work: PathBuf,
    log: PathBuf,
    progress: &'a mut dyn Progress,
}

impl Workshop<'_> {
    pub(crate) fn cache(&self) -> &Cache {
        self.cache
    }

    /// A folder that is empty at the start and removed at the end.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.progress.line(line);
    }

    /// Runs a program of this step.
    pub(crate) fn run(&mut self, command: Command) -> Result<(), LabError> {
        process::logged(command, &self.log, |line| self.progress.line(line)).map_err(|cause| LabError::Step {
            step: self.name.to_owned(),
            cause,
            tail: process::tail(&self.log),
            log: self.log.clone(),
        })
    }
}

/// Digest of a list of inputs; where one ends and the next begins counts.
pub(crate) fn digest<S: AsRef<str>>(inputs: &[S]) -> String {
    let mut hash = Sha256::new();
    for input in inputs {
        hash.update((input.as_ref().len() as u64).to_be_bytes());
        hash.update(input.as_ref());
    }
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::steps::Silent;

    fn step(cache: &Cache, inputs: &str, make: Make) -> Step {
        Step {
            name: "sample",
            for_nodes: true,
            title: "sample".into(),
            expected: Duration::from_secs(1),
            kept: 1,
            peak: 1,
            inputs: inputs.into(),
            output: cache.lab().join("sample"),
            make,
        }
    }

    fn write(workshop: &mut Workshop<'_>, path: &Path) -> Result<(), LabError> {
        let counter = workshop.cache().root().join("count");
        let before = fs::read_to_string(&counter).unwrap_or_default();
        fs::write(counter, before + "x").unwrap();
        fs::write(path, "made").map_err(LabError::io("write", path))
    }

    fn fail(workshop: &mut Workshop<'_>, path: &Path) -> Result<(), LabError> {
        fs::write(path, "half").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo the reason; exit 1"]);
        workshop.run(command)
    }

    #[test]
    fn a_step_runs_once_and_again_when_its_inputs_change() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        for (inputs, runs) in [("a", 1), ("a", 1), ("b", 2), ("b", 2)] {
            step(&cache, inputs, write).run(&cache, &mut Silent).unwrap();
            assert_eq!(fs::read_to_string(folder.path().join("count")).unwrap().len(), runs, "{inputs}");
        }
        fs::remove_file(cache.lab().join("sample")).unwrap();
        assert!(!step(&cache, "b", write).complete(&cache), "a stamp alone is not enough");
    }

    #[test]
    fn a_failed_step_leaves_no_output_and_shows_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let error = step(&cache, "a", fail).run(&cache, &mut Silent).unwrap_err();
        assert!(error.to_string().contains("the reason"), "{error}");
        assert!(!cache.lab().join("sample").exists());
        step(&cache, "a", write).run(&cache, &mut Silent).unwrap();
        assert!(!cache.work("sample").exists(), "work is cleared away");
    }

    #[test]
    fn digests_keep_inputs_apart() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
    }
}
