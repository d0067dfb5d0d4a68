//! Whatever a role says and whatever was on the host before: a run makes it true, a second one changes nothing, and
//! a run that was cut off anywhere is completed by the next. The scripts run in a real sh, in a folder.

mod case;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use case::{Case, bed, check, check_rest, statement};
use hoist::{
    engine::{Journal, Outcome, Run, Subject, events, observe_all},
    transport::{Destination, Error, Host, Local, Output, Script, Stream, Transfer},
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};

use crate::bed::Bed;

const CASES: u32 = 24;

/// Everything below a folder: type and mode, and content or target. With `ages` also when each file was written.
fn tree(folder: &Path, ages: bool) -> BTreeSet<(String, u32, Vec<u8>, Option<std::time::SystemTime>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let state = fs::symlink_metadata(&path).unwrap();
            let what = if state.is_symlink() {
                // Where it leads to, in whatever folder.
                fs::read_link(&path).unwrap().file_name().unwrap().as_encoded_bytes().to_vec()
            } else if state.is_file() {
                fs::read(&path).unwrap()
            } else {
                fs::read_dir(&path)
                    .unwrap()
                    .flatten()
                    .flat_map(|entry| entry.file_name().into_encoded_bytes())
                    .collect()
            };
            let name = path.file_name().unwrap().to_str().unwrap().to_string();
            (name, state.permissions().mode(), what, ages.then(|| state.modified().unwrap()))
        })
        .collect()
}

/// A host that is lost after so many scripts; the last one may still have done its work.
struct Cut {
    inner: Arc<dyn Host>,
    left: AtomicUsize,
    last_one_runs: bool,
}

#[async_trait]
impl Host for Cut {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn run(&self, script: Script) -> Result<Output, Error> {
        let left = self.left.load(Ordering::SeqCst);
        if left > 0 || self.last_one_runs {
            self.left.store(left.saturating_sub(1), Ordering::SeqCst);
            let output = self.inner.run(script).await;
            if left > 0 {
                return output;
            }
        }
        let (host, reason) = (self.name().to_string(), "cut off".to_string());
        Err(Error::ShellEnded { host, reason, output: String::new() })
    }

    async fn send(&self, transfer: &Transfer, progress: &(dyn Fn(u64) + Sync)) -> Result<(), Error> {
        self.inner.send(transfer, progress).await
    }

    async fn forward(&self, to: Destination) -> Result<Box<dyn Stream>, Error> {
        self.inner.forward(to).await
    }
}

/// The role on this host.
fn subjects(bed: &Bed, host: &Arc<dyn Host>) -> Vec<Subject> {
    let (target, roles) = (bed.target("h", &["r"]), bed.compile(&["r"]).unwrap());
    vec![Subject { target, roles, host: host.clone() }]
}

/// Runs the role; nothing when the host was lost before anything began.
async fn run(bed: &Bed, host: &Arc<dyn Host>) -> Option<Outcome> {
    let subjects = subjects(bed, host);
    let plans: Vec<_> = observe_all(&subjects, false, 1).await.into_iter().collect::<Result<_, _>>().ok()?;
    let (journal, _) = Journal::begin(bed.state()).unwrap();
    let run = Run {
        subjects,
        bystanders: Vec::new(),
        library: bed.library(),
        journal: std::sync::Arc::new(journal),
        events: events().0,
        forks: 1,
        places: Default::default(),
    };
    Some(run.carry_out(&plans).await.unwrap().remove(0).1)
}

async fn holds(host: &Arc<dyn Host>, case: &Case, cut: Cut) -> Result<(), TestCaseError> {
    let whole = bed(case);
    let outcome = run(&whole, host).await;
    prop_assert!(matches!(outcome, Some(Outcome::Converged { .. })), "{outcome:?}");
    for (index, (before, says)) in case.iter().enumerate() {
        let path = whole.root().join(index.to_string());
        check(&path, says)?;
        check_rest(&path, before, says)?;
    }
    let once = tree(&whole.root(), true);
    let plan = observe_all(&subjects(&whole, host), true, 1).await.remove(0).unwrap();
    prop_assert_eq!(plan.changes, vec![]);
    prop_assert_eq!(run(&whole, host).await, Some(Outcome::Converged { changes: 0 }));
    prop_assert_eq!(tree(&whole.root(), true), once, "the second run touched something");

    let halved = bed(case);
    let cut: Arc<dyn Host> = Arc::new(cut);
    run(&halved, &cut).await;
    let outcome = run(&halved, host).await;
    prop_assert!(matches!(outcome, Some(Outcome::Converged { .. })), "{outcome:?}");
    prop_assert_eq!(tree(&halved.root(), false), tree(&whole.root(), false));
    Ok(())
}

#[test]
fn a_run_makes_it_true_and_a_second_one_changes_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let host: Arc<dyn Host> = Arc::new(runtime.block_on(Local::open("h")).unwrap());
    let cases = (vec(statement(), 1..7), 0..8_usize, any::<bool>());
    let result = runner.run(&cases, |(case, scripts, last_one_runs)| {
        let cut = Cut { inner: host.clone(), left: AtomicUsize::new(scripts), last_one_runs };
        runtime.block_on(holds(&host, &case, cut))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
