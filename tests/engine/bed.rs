//! A folder with test roles, hosts that are shells of this machine, and runs over them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hoist::{
    engine::{
        Bystander, Context, Error, Event, Failure, HostPlan, Journal, Library, Outcome, Run, Subject, Target,
        Templates, compile, events, observe_all,
    },
    transport::Local,
};
use nix::unistd::{Group, User, getegid, geteuid};
use serde_json::json;

/// Far more than any run here takes: what is not done by then never will be.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Bed {
    folder: tempfile::TempDir,
}

/// What a run left.
pub struct Ran {
    pub plans: Vec<HostPlan>,
    pub outcomes: Vec<(String, Outcome)>,
    pub events: Vec<Event>,
    /// The whole journal.
    pub journal: String,
}

impl Bed {
    /// Roles by name and templates by path.
    pub fn new(roles: &[(&str, &str)], templates: &[(&str, &str)]) -> Bed {
        let folder = tempfile::tempdir().unwrap();
        let bed = Bed { folder };
        fs::create_dir(bed.root()).unwrap();
        for (name, text) in roles {
            bed.write(&format!("roles/{name}/role.yaml"), &format!("description: a test\n{text}"));
        }
        for (path, text) in templates {
            bed.write(&format!("templates/{path}"), text);
        }
        bed
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Where roles put things: `vars.root`.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// What a file there holds; nothing when it is missing.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.root().join(name)).unwrap_or_default()
    }

    pub fn state(&self) -> &Path {
        self.folder.path()
    }

    pub fn library(&self) -> Library {
        Library::new(Some(self.folder.path().to_path_buf()))
    }

    pub fn target(&self, name: &str, roles: &[&str]) -> Target {
        let user = User::from_uid(geteuid()).unwrap().unwrap().name;
        let group = Group::from_gid(getegid()).unwrap().unwrap().name;
        let mut context = Context::default();
        context.set("host", json!({"name": name}));
        context.set("vars", json!({"root": self.root(), "user": user, "group": group}));
        Target { name: name.into(), roles: roles.iter().map(|role| role.to_string()).collect(), context }
    }

    pub fn compile(&self, roles: &[&str]) -> Result<Vec<hoist::engine::RoleSteps>, Error> {
        let library = self.library();
        compile(&library, &Templates::new(library.clone()), &self.target("one", roles))
    }

    pub async fn subject(&self, name: &str, roles: &[&str]) -> Subject {
        let target = self.target(name, roles);
        let library = self.library();
        let roles = compile(&library, &Templates::new(library.clone()), &target).unwrap();
        Subject { target, roles, host: Arc::new(Local::open(name).await.unwrap()) }
    }

    pub async fn subjects(&self, hosts: &[(&str, &[&str])]) -> Vec<Subject> {
        let mut subjects = Vec::new();
        for (name, roles) in hosts {
            subjects.push(self.subject(name, roles).await);
        }
        subjects
    }

    /// Runs these roles on these hosts.
    pub async fn run(&self, hosts: &[(&str, &[&str])], forks: usize) -> Ran {
        self.run_and(hosts, forks, |_| {}).await
    }

    /// The same; `heard` sees each event as it happens.
    pub async fn run_and(
        &self,
        hosts: &[(&str, &[&str])],
        forks: usize,
        heard: impl Fn(&Event) + Send + 'static,
    ) -> Ran {
        let subjects = self.subjects(hosts).await;
        self.run_beside(subjects, Vec::new(), forks, heard).await
    }

    /// Runs on these subjects, beside others that are not changed.
    pub async fn run_beside(
        &self,
        subjects: Vec<Subject>,
        bystanders: Vec<Bystander>,
        forks: usize,
        heard: impl Fn(&Event) + Send + 'static,
    ) -> Ran {
        let plans: Vec<_> =
            observe_all(&subjects, true, forks).await.into_iter().map(Result::unwrap).collect();
        let (journal, _) = Journal::begin(self.state()).unwrap();
        let path = journal.path().to_path_buf();
        let (events, mut receiver) = events();
        let listener = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(event) = receiver.recv().await {
                heard(&event);
                all.push(event);
            }
            all
        });
        let run = Run {
            subjects,
            bystanders,
            library: self.library(),
            journal: std::sync::Arc::new(journal),
            events,
            forks,
            places: Default::default(),
            environment: Vec::new(),
            turns: Default::default(),
        };
        let outcomes = tokio::time::timeout(PATIENCE, run.carry_out(&plans)).await;
        let outcomes = outcomes.expect("the run hangs").unwrap();
        let events = listener.await.unwrap();
        Ran { plans, outcomes, events, journal: fs::read_to_string(path).unwrap() }
    }

    /// What differs on a host now.
    pub async fn plan(&self, name: &str, roles: &[&str]) -> HostPlan {
        let subjects = [self.subject(name, roles).await];
        observe_all(&subjects, true, 1).await.remove(0).unwrap()
    }
}

impl Ran {
    pub fn outcome(&self, host: &str) -> &Outcome {
        &self.outcomes.iter().find(|(name, _)| name == host).unwrap().1
    }

    pub fn failure(&self, host: &str) -> &Failure {
        match self.outcome(host) {
            Outcome::Failed(failure) => failure,
            other => panic!("{host}: {other:?}"),
        }
    }

    /// Everything that a run shows or writes, in every form it has.
    pub fn visible(&self) -> String {
        let failures: Vec<String> = self
            .outcomes
            .iter()
            .filter_map(|(_, outcome)| match outcome {
                Outcome::Failed(failure) => Some(failure.to_string()),
                _ => None,
            })
            .collect();
        format!(
            "{:?}{}{:?}{}{:?}{}{failures:?}",
            self.plans,
            serde_json::to_string(&self.plans).unwrap(),
            self.events,
            serde_json::to_string(&self.events).unwrap(),
            self.outcomes,
            self.journal
        )
    }
}
