//! Set-up: says what it will install and build, asks, and does it, step by step.

use std::{
    fs::{self, File, TryLockError},
    io::{self, IsTerminal, Write},
    path::Path,
    process::Command,
    time::Duration,
};

use super::{
    cache::{Cache, create_folder, remove},
    checks::{self, gigabytes},
    error::LabError,
    images, kubernetes, node_root, packages, process, static_server,
    step::{Step, Workshop, digest},
};
use crate::report::{
    steps::{Ended, Progress, seconds},
    tell_line,
};

const MB: u64 = 1_000_000;
const PACKAGES_TIME: Duration = Duration::from_secs(25);

/// How much set-up makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// Nodes, and Debian's Kubernetes for them.
    Whole,
    /// Only what nodes need.
    Nodes,
    /// The same; and this is brought afterwards, of which the list tells.
    NodesAnd(String),
}

/// What set-up would do on this machine now.
#[derive(Debug)]
pub struct SetupPlan {
    /// Debian packages to install.
    packages: Vec<&'static str>,
    steps: Vec<Step>,
    /// Positions in `steps` of what is not in the cache.
    pending: Vec<usize>,
    /// What is brought afterwards.
    later: Option<String>,
}

impl SetupPlan {
    /// Looks at this machine and the cache; changes nothing.
    pub fn of(cache: &Cache, extent: &Extent) -> Self {
        let whole = *extent == Extent::Whole;
        let missing = packages::missing(&packages::for_setup(whole));
        let mut steps = steps(cache);
        steps.retain(|step| whole || step.for_nodes);
        let pending = (0..steps.len()).filter(|position| !steps[*position].complete(cache)).collect();
        let later = match extent {
            Extent::NodesAnd(later) => Some(later.clone()),
            Extent::Whole | Extent::Nodes => None,
        };
        Self { packages: packages::names(&missing), steps, pending, later }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.pending.is_empty() && self.later.is_none()
    }

    /// Bytes of disk in use while it works.
    pub(crate) fn disk(&self) -> u64 {
        let kept: u64 = self.pending().map(|step| step.kept).sum();
        let extra = self.pending().map(|step| step.peak - step.kept).max().unwrap_or_default();
        kept + extra + self.packages.len() as u64 * 30 * MB
    }

    /// Titles of what is not in the cache.
    pub(crate) fn pending_titles(&self) -> Vec<String> {
        self.pending().map(|step| step.title.clone()).collect()
    }

    fn pending(&self) -> impl Iterator<Item = &Step> {
        self.pending.iter().map(|position| &self.steps[*position])
    }

    /// The list that a user reads before saying yes.
    pub fn describe(&self, cache: &Cache) -> String {
        let mut text = format!("This will be done once; results are kept in {}.\n", cache.root().display());
        let mut total = Duration::ZERO;
        let mut row = |what: &str, time: Duration, kept: u64| {
            total += time;
            let kept = if kept == 0 { String::new() } else { gigabytes(kept) };
            let row = format!("  {what:<66} {:>12} {kept:>8}", seconds(time));
            text.push_str(row.trim_end());
            text.push('\n');
        };
        if !self.packages.is_empty() {
            row(&format!("install from Debian: {}", self.packages.join(" ")), PACKAGES_TIME, 0);
        }
        for step in self.pending() {
            row(&step.title, step.expected, step.kept);
        }
        let without = self.later.as_ref().map_or("", |later| {
            text.push_str(&format!("  {later}\n"));
            ", without the last of these"
        });
        text += &format!(
            "All together about {} on two cores, and up to {} of disk while it works{without}.",
            seconds(total),
            gigabytes(self.disk())
        );
        text
    }
}

/// The steps in their order; each one's inputs include those of what it builds on.
fn steps(cache: &Cache) -> Vec<Step> {
    let node = digest(&node_root::inputs());
    let build = digest(&kubernetes::inputs());
    let server = digest(&static_server::inputs());
    let mut artifacts = images::inputs();
    artifacts.extend([node.clone(), build.clone(), server.clone()]);
    vec![
        Step {
            name: "node-root",
            for_nodes: true,
            title: "make the node root file system (Debian 13)".into(),
            expected: Duration::from_secs(30),
            kept: 400 * MB,
            peak: 1_200 * MB,
            inputs: node,
            output: cache.node_tar(),
            make: node_root::make,
        },
        Step {
            name: "kubernetes",
            for_nodes: false,
            title: format!("build Kubernetes {} from Debian's source package", kubernetes::VERSION),
            expected: Duration::from_secs(340),
            kept: 510 * MB,
            peak: 4_800 * MB,
            inputs: build,
            output: cache.build(),
            make: kubernetes::make,
        },
        Step {
            name: "static-server",
            for_nodes: false,
            title: "compile the sample application's server".into(),
            expected: Duration::from_secs(3),
            kept: 2 * MB,
            peak: 4 * MB,
            inputs: server,
            output: cache.static_server(),
            make: static_server::make,
        },
        Step {
            name: "artifacts",
            for_nodes: false,
            title: "make container images and the artifact index".into(),
            expected: Duration::from_secs(12),
            kept: 320 * MB,
            peak: 900 * MB,
            inputs: digest(&artifacts),
            output: cache.artifacts(kubernetes::VERSION),
            make: images::make,
        },
        Step {
            name: "ssh-key",
            for_nodes: true,
            title: "make the key that opens the nodes".into(),
            expected: Duration::from_secs(1),
            kept: 0,
            peak: 0,
            inputs: digest(&["ed25519"]),
            output: cache.ssh_key(),
            make: ssh_key,
        },
    ]
}

/// Checks, lists, asks unless `yes`, and makes everything that is missing.
///
/// # Errors
/// All failing checks at once; [`LabError::NoTerminal`] when it must ask and cannot; [`LabError::Step`] with the
/// end of the log. What was finished before an error is kept.
pub fn setup(cache: &Cache, extent: &Extent, yes: bool, progress: &mut dyn Progress) -> Result<(), LabError> {
    let plan = SetupPlan::of(cache, extent);
    checks::before_setup(cache.root(), plan.disk(), *extent == Extent::Whole)?;
    let _lock = lock(&cache.lab().join("setup.lock"), "the lab's set-up")?;
    if !plan.is_empty() {
        tell_line(plan.describe(cache));
        if !yes {
            ask()?;
        }
    }
    if !plan.packages.is_empty() {
        install(&plan.packages, cache, progress)?;
    }
    for step in &plan.steps {
        step.run(cache, progress)?;
    }
    Ok(())
}

/// That nodes have everything that they need. What is installed on them has its own way to say that it is missing.
///
/// # Errors
/// [`LabError::NotSetUp`] naming what is missing.
pub(crate) fn require(cache: &Cache) -> Result<(), LabError> {
    let plan = SetupPlan::of(cache, &Extent::Nodes);
    if plan.pending.is_empty() {
        Ok(())
    } else {
        Err(LabError::NotSetUp { missing: plan.pending_titles().join(", ") })
    }
}

/// Keeps a second hoist from doing the same at the same time; the lock ends with the file's handle.
pub(crate) fn lock(path: &Path, name: &str) -> Result<File, LabError> {
    if let Some(folder) = path.parent() {
        create_folder(folder)?;
    }
    let file = File::create(path).map_err(LabError::io("create", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LabError::Busy { name: name.to_owned() }),
        Err(TryLockError::Error(error)) => Err(LabError::io("lock", path)(error)),
    }
}

pub(crate) fn ask() -> Result<(), LabError> {
    if !io::stdin().is_terminal() {
        return Err(LabError::NoTerminal);
    }
    write!(io::stderr(), "Go on? [y/N] ").map_err(LabError::io("write to", "standard error"))?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(LabError::io("read", "standard input"))?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(LabError::Declined)
    }
}

/// No step like the others: its output is not in the cache.
pub(crate) fn install(names: &[&str], cache: &Cache, progress: &mut dyn Progress) -> Result<(), LabError> {
    let log = cache.log("packages");
    process::start_log(&log)?;
    progress.begin(&format!("install {}", names.join(" ")), PACKAGES_TIME);
    let mut run = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        process::logged(command, &log, |line| progress.line(line))
    };
    let install = [&["install", "--quiet", "--yes", "--no-install-recommends"], names].concat();
    let done = run(&["update", "--quiet"]).and_then(|()| run(&install));
    progress.end(if done.is_ok() { Ended::Done } else { Ended::Failed });
    done.map_err(|cause| LabError::Step {
        step: "packages".to_owned(),
        cause,
        tail: process::tail(&log),
        log,
    })
}

/// The private half is the step's output; the public half is laid beside it.
fn ssh_key(workshop: &mut Workshop<'_>, output: &Path) -> Result<(), LabError> {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "hoist lab", "-f"]).arg(output);
    workshop.run(keygen)?;
    let public = workshop.cache().ssh_key().with_extension("pub");
    remove(&public)?;
    let made = output.with_extension("pub");
    fs::rename(&made, &public).map_err(LabError::io("rename", &made))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_cache_needs_every_step_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let plan = SetupPlan::of(&cache, &Extent::Whole);
        assert_eq!(plan.pending_titles().len(), 5);
        let plan = SetupPlan { packages: vec!["mmdebstrap", "systemd-container"], ..plan };
        insta::assert_snapshot!(plan.describe(&cache).replace(&folder.path().display().to_string(), "CACHE"), @r"
        This will be done once; results are kept in CACHE.
          install from Debian: mmdebstrap systemd-container                          25 s
          make the node root file system (Debian 13)                                 30 s   0.4 GB
          build Kubernetes 1.20.2 from Debian's source package                 5 min 40 s   0.5 GB
          compile the sample application's server                                   3.0 s   0.0 GB
          make container images and the artifact index                               12 s   0.3 GB
          make the key that opens the nodes                                         1.0 s
        All together about 6 min 51 s on two cores, and up to 5.6 GB of disk while it works.
        ");
        assert!(matches!(require(&cache), Err(LabError::NotSetUp { .. })));
    }

    #[test]
    fn a_changed_input_makes_what_builds_on_it_pending() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        for step in steps(&cache) {
            create_folder(step.output.parent().unwrap()).unwrap();
            fs::write(&step.output, "").unwrap();
            create_folder(cache.stamp(step.name).parent().unwrap()).unwrap();
            fs::write(cache.stamp(step.name), &step.inputs).unwrap();
        }
        require(&cache).unwrap();
        fs::write(cache.stamp("artifacts"), "of another version").unwrap();
        assert_eq!(SetupPlan::of(&cache, &Extent::Whole).pending_titles().len(), 1);
        require(&cache).unwrap();
        fs::write(cache.stamp("ssh-key"), "of another version").unwrap();
        assert!(matches!(require(&cache), Err(LabError::NotSetUp { .. })));
    }

    #[test]
    fn nodes_alone_need_no_build() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let nodes = SetupPlan::of(&cache, &Extent::Nodes);
        assert_eq!(
            nodes.pending_titles(),
            ["make the node root file system (Debian 13)", "make the key that opens the nodes"]
        );
        let plan = SetupPlan::of(&cache, &Extent::NodesAnd("download something".into()));
        let plan = SetupPlan { packages: Vec::new(), pending: vec![1], ..plan };
        insta::assert_snapshot!(plan.describe(&cache).replace(&folder.path().display().to_string(), "CACHE"), @r"
        This will be done once; results are kept in CACHE.
          make the key that opens the nodes                                         1.0 s
          download something
        All together about 1.0 s on two cores, and up to 0.0 GB of disk while it works, without the last of these.
        ");
        let nothing_else = SetupPlan { pending: Vec::new(), ..plan };
        assert!(!nothing_else.is_empty(), "who is asked is asked about the download, too");
    }

    #[test]
    fn only_one_may_work() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/lock");
        let held = lock(&path, "lab").unwrap();
        assert!(matches!(lock(&path, "lab"), Err(LabError::Busy { .. })));
        drop(held);
        lock(&path, "lab").unwrap();
    }
}
