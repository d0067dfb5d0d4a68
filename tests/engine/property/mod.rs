//! Whatever a role says and whatever was on the host before: a run makes it true, a second one changes nothing, and
//! a run that was cut off anywhere is completed by the next. The scripts run in a real sh, in a folder.

mod case;
mod checks;
mod says;

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
use case::{Case, Says, bed, say, statement};
use checks::{check, check_rest};
use hoist::{
    engine::{Journal, Outcome, Run, Subject, events, observe_all},
    transport::{Destination, Error, Host, Local, Output, Script, Stream, Transfer},
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestCaseError, TestError, TestRunner},
};

use says::role;

use crate::bed::Bed;

const CASES: u32 = 32;

/// One of what is below a folder: its path there, type and mode, content or target, and perhaps when it was written.
type Entry = (String, u32, Vec<u8>, Option<std::time::SystemTime>);

/// Everything below a folder. With `ages` also when each was written.
fn tree(folder: &Path, ages: bool) -> BTreeSet<Entry> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            let mut all = Vec::new();
            let state = fs::symlink_metadata(&path).unwrap();
            let what = if state.is_symlink() {
                // Where it leads to, in whatever folder.
                fs::read_link(&path).unwrap().file_name().unwrap().as_encoded_bytes().to_vec()
            } else if state.is_file() {
                fs::read(&path).unwrap()
            } else {
                let below = tree(&path, ages).into_iter();
                let name = |inner: &str| format!("{}/{inner}", path.file_name().unwrap().to_str().unwrap());
                all.extend(below.map(|(inner, mode, what, age)| (name(&inner), mode, what, age)));
                Vec::new()
            };
            let name = path.file_name().unwrap().to_str().unwrap().to_string();
            all.push((name, state.permissions().mode(), what, ages.then(|| state.modified().unwrap())));
            all
        })
        .collect()
}

/// A host whose user `u3` has the home `3` in a folder, and is whoever runs the test.
struct Homes {
    inner: Arc<dyn Host>,
    root: String,
}

#[async_trait]
impl Host for Homes {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn run(&self, script: Script) -> Result<Output, Error> {
        let homes = format!(
            "getent() {{ echo \"$2:x:0:0::{}/${{2#u}}:/bin/sh\"; }}\nrunuser() {{ shift 3; \"$@\"; }}\n",
            self.root
        );
        self.inner.run(Script { text: homes + &script.text, ..script }).await
    }

    async fn send(&self, transfer: &Transfer, progress: &(dyn Fn(u64) + Sync)) -> Result<(), Error> {
        self.inner.send(transfer, progress).await
    }

    async fn forward(&self, to: Destination) -> Result<Box<dyn Stream>, Error> {
        self.inner.forward(to).await
    }
}

/// The host as it is for what is in this bed.
fn at_home(bed: &Bed, inner: Arc<dyn Host>) -> Arc<dyn Host> {
    Arc::new(Homes { inner, root: bed.root().to_str().unwrap().to_owned() })
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
        environment: Vec::new(),
        turns: Default::default(),
    };
    Some(run.carry_out(&plans).await.unwrap().remove(0).1)
}

/// A run makes true what the role says, and another one has nothing to do.
async fn settles(bed: &Bed, host: &Arc<dyn Host>, case: &Case, again: bool) -> Result<(), TestCaseError> {
    let outcome = run(bed, host).await;
    prop_assert!(matches!(outcome, Some(Outcome::Converged { .. })), "{outcome:?}");
    for (index, (before, says, edited)) in case.iter().enumerate() {
        let path = bed.root().join(index.to_string());
        check(&path, if again { edited } else { says })?;
        if !again {
            check_rest(&path, before, says)?;
        }
    }
    let once = tree(&bed.root(), true);
    let plan = observe_all(&subjects(bed, host), true, 1).await.remove(0).unwrap();
    prop_assert_eq!(plan.changes, vec![]);
    prop_assert_eq!(run(bed, host).await, Some(Outcome::Converged { changes: 0 }));
    prop_assert_eq!(tree(&bed.root(), true), once, "the second run touched something");
    Ok(())
}

async fn holds(
    host: &Arc<dyn Host>,
    case: &Case,
    scripts: usize,
    last_one_runs: bool,
) -> Result<(), TestCaseError> {
    let whole = bed(case);
    let own = at_home(&whole, host.clone());
    settles(&whole, &own, case, false).await?;

    let halved = bed(case);
    let own = at_home(&halved, host.clone());
    let cut: Arc<dyn Host> =
        Arc::new(Cut { inner: own.clone(), left: AtomicUsize::new(scripts), last_one_runs });
    run(&halved, &cut).await;
    let outcome = run(&halved, &own).await;
    prop_assert!(matches!(outcome, Some(Outcome::Converged { .. })), "{outcome:?}");
    prop_assert_eq!(tree(&halved.root(), false), tree(&whole.root(), false));

    // The role is edited: what it said before is what stands there now.
    say(&halved, case.iter().map(|(.., edited)| edited));
    settles(&halved, &own, case, true).await
}

#[test]
fn a_run_makes_it_true_and_a_second_one_changes_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let host: Arc<dyn Host> = Arc::new(runtime.block_on(Local::open("h")).unwrap());
    let cases = (vec(statement(), 1..7), 0..8_usize, any::<bool>());
    let result = runner.run(&cases, |(case, scripts, last_one_runs)| {
        runtime.block_on(holds(&host, &case, scripts, last_one_runs))
    });
    if let Err(TestError::Fail(reason, (case, ..))) = &result {
        let shown = |all: Vec<&Says>| role(all.into_iter());
        let first = shown(case.iter().map(|(_, says, _)| says).collect());
        let edited = shown(case.iter().map(|(.., edited)| edited).collect());
        panic!("{reason}\n{case:#?}\nthe role:\n{first}\nand after it was edited:\n{edited}");
    }
    result.unwrap();
}
