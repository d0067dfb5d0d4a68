//! A run: every host on its own, held up only by what it truly needs from another.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use futures::{StreamExt, stream};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    Error, Event, Events, Failure, Journal, Library, Templates,
    carry::{Carrier, Shared},
    compile::{RoleSteps, Step, Target, late_values, with_needs},
    late::{Late, Progress, Provider},
    observe::{add_contents, observe},
    plan::HostPlan,
    share::Share,
    spread::Place,
    stop::Stop,
    turns::Turns,
};
use crate::{
    task::Task,
    transport::{self, Host},
};

/// A host, what it shall be, and how to reach it.
#[derive(Clone)]
pub struct Subject {
    pub target: Target,
    pub roles: Vec<RoleSteps>,
    pub host: Arc<dyn Host>,
}

impl Subject {
    fn steps(&self) -> impl Iterator<Item = (&RoleSteps, &Step)> {
        self.roles.iter().flat_map(|role| role.steps.iter().map(move |step| (role, step)))
    }
}

/// A host that a run does not change, but whose roles others may need.
#[derive(Clone)]
pub struct Bystander {
    pub name: String,
    /// The roles that the inventory gives it; what they need is added.
    pub roles: Vec<String>,
    /// The way to it, when its roles are done, so that it can be asked for values. Without it, whoever needs one of
    /// this host's values is blocked by it.
    pub host: Option<Arc<dyn Host>>,
}

/// How a host ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything holds; so many statements were made true.
    Converged {
        changes: usize,
    },
    Failed(Failure),
    /// It could not go on because of another host.
    Blocked {
        role: String,
        step: String,
        by: String,
    },
}

/// Reads all hosts at the same time and says what differs on each, in their order, or how it was lost. `contents` also
/// fetches what diffs show.
pub async fn observe_all(
    subjects: &[Subject],
    contents: bool,
    forks: usize,
) -> Vec<Result<HostPlan, transport::Error>> {
    let plans = stream::iter(subjects.iter().enumerate())
        .map(|(index, subject)| async move { (index, observe_one(subject, contents).await) });
    // Not in order: those that have to wait for their turn must not wait for the slowest as well.
    let mut plans: Vec<_> = plans.buffer_unordered(forks.max(1)).collect().await;
    plans.sort_by_key(|(index, _)| *index);
    plans.into_iter().map(|(_, plan)| plan).collect()
}

async fn observe_one(subject: &Subject, contents: bool) -> Result<HostPlan, transport::Error> {
    let steps = || subject.roles.iter().flat_map(|role| &role.steps);
    let mut seen = observe(&*subject.host, steps()).await?;
    if contents {
        add_contents(&*subject.host, steps(), &mut seen).await?;
    }
    Ok(HostPlan::new(&subject.target.name, &subject.roles, &seen))
}

/// Everything a run is made of.
pub struct Run {
    pub subjects: Vec<Subject>,
    pub bystanders: Vec<Bystander>,
    pub library: Library,
    pub journal: Arc<Journal>,
    pub events: Events,
    /// How many hosts act at the same time.
    pub forks: usize,
    /// Where the hosts are that pass files on to each other. The others get all files from here.
    pub places: BTreeMap<String, Place>,
    /// Variables of the environment in which hosts fetch files for themselves, such as `https_proxy`.
    pub environment: Vec<(String, String)>,
    /// For commands that run on one host at a time.
    pub turns: Turns,
}

impl Run {
    /// Makes every subject as it shall be. `plans` says how much there is to do on each, in the same order.
    ///
    /// One host's failure stops only what depends on it. The outcomes are in the order of the subjects.
    ///
    /// # Errors
    /// Only when nothing could be begun.
    pub async fn carry_out(self, plans: &[HostPlan]) -> Result<Vec<(String, Outcome)>, Error> {
        let late = self.late(plans)?;
        let share = self.share(plans);
        let shared = Arc::new(Shared {
            late,
            share,
            templates: Templates::new(self.library),
            journal: self.journal,
            events: self.events,
            forks: Semaphore::new(self.forks.max(1)),
            environment: self.environment,
            turns: self.turns,
        });
        let mut work = JoinSet::new();
        let names: Vec<String> = self.subjects.iter().map(|subject| subject.target.name.clone()).collect();
        for (index, subject) in self.subjects.into_iter().enumerate() {
            let Subject { target, roles, host } = subject;
            let planned = plans.get(index).map_or(0, |plan| plan.changes.len());
            let carrier =
                Carrier { shared: shared.clone(), host, target, roles, cannot_fetch: AtomicBool::new(false) };
            work.spawn(async move { (index, outcome(&carrier, planned).await) });
        }
        let mut outcomes: Vec<Option<Outcome>> = names.iter().map(|_| None).collect();
        while let Some(joined) = work.join_next().await {
            match joined {
                Ok((index, outcome)) => outcomes[index] = Some(outcome),
                // A bug in a host's work is a bug of the program: it must not look like a result.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        Ok(names.into_iter().zip(outcomes.into_iter().flatten()).collect())
    }

    /// Who provides which late value, and what is known of them before anything has begun.
    fn late(&self, plans: &[HostPlan]) -> Result<Late, Error> {
        let mut holders: Vec<(&str, Vec<String>)> = Vec::new();
        for subject in &self.subjects {
            let roles = subject.roles.iter().map(|role| role.role.clone()).collect();
            holders.push((&subject.target.name, roles));
        }
        for bystander in &self.bystanders {
            let roles = with_needs(&self.library, &bystander.roles)?.into_iter().map(|(name, _)| name);
            holders.push((&bystander.name, roles.collect()));
        }
        let all = holders.iter().flat_map(|(_, roles)| roles).map(String::as_str);
        let mut providers = HashMap::new();
        for (name, role, provide) in late_values(&self.library, all)? {
            let has = |(_, roles): &&(&str, Vec<String>)| roles.contains(&role);
            let hosts = holders.iter().filter(has).map(|(host, _)| (*host).to_string()).collect();
            let provider = Provider {
                role,
                run: provide.run,
                each: provide.each,
                lasts: provide.lasts.map(Duration::from_secs),
                timeout: Duration::from_secs(provide.timeout),
                hosts,
            };
            providers.insert(name, provider);
        }
        self.require_providers(plans, &providers)?;
        let subjects =
            self.subjects.iter().map(|subject| (subject.target.name.clone(), subject.host.clone()));
        let others =
            self.bystanders.iter().filter_map(|other| Some((other.name.clone(), other.host.clone()?)));
        let late = Late::new(providers, subjects.chain(others).collect(), self.journal.clone());
        for (bystander, (name, roles)) in self.bystanders.iter().zip(&holders[self.subjects.len()..]) {
            let progress = if bystander.host.is_some() { Progress::Done } else { Progress::Failed };
            for role in roles {
                late.report(name, role, progress);
            }
        }
        Ok(late)
    }

    /// Who will need which file, and who has it already.
    fn share(&self, plans: &[HostPlan]) -> Share {
        let hosts = self.subjects.iter().map(|subject| (subject.target.name.clone(), subject.host.clone()));
        let share = Share::new(self.places.clone(), &hosts.collect());
        for (subject, plan) in self.subjects.iter().zip(plans) {
            let host = &subject.target.name;
            for (role, step) in subject.steps() {
                let Some(file) = step.task.file() else { continue };
                if plan.changes(role, step) {
                    share.needs(host, &file.sha256);
                } else if matches!(step.task, Task::Artifact(_)) {
                    share.has(host, &file.sha256, &file.destination);
                }
            }
        }
        share
    }

    /// What a planned change needs must have a provider: better nothing is begun than half.
    fn require_providers(
        &self,
        plans: &[HostPlan],
        providers: &HashMap<String, Provider>,
    ) -> Result<(), Error> {
        for (subject, plan) in self.subjects.iter().zip(plans) {
            for (role, step) in subject.steps() {
                if !plan.changes(role, step) {
                    continue;
                }
                if let Some(name) = step.late.iter().find(|name| !providers.contains_key(*name)) {
                    return Err(Error::NotProvided { name: name.clone(), place: step.name.clone() });
                }
            }
        }
        Ok(())
    }
}

async fn outcome(carrier: &Carrier, planned: usize) -> Outcome {
    let (shared, host) = (&carrier.shared, carrier.target.name.clone());
    let carried = carrier.carry_out(planned).await;
    shared.share.leaves(&host).await;
    let stop = match carried {
        Ok(changes) => return Outcome::Converged { changes },
        Err(stop) => stop,
    };
    // Whoever waits for a role that this host did not finish must not wait for ever.
    for role in &carrier.roles {
        shared.late.report_unfinished(&host, &role.role, Progress::Failed);
    }
    match stop {
        Stop::Failed(failure) => {
            shared.events.send(Event::HostFailed { host, failure: failure.clone() });
            Outcome::Failed(failure)
        }
        Stop::Blocked { role, step, by } => {
            let event = Event::HostBlocked { host, role: role.clone(), step: step.clone(), by: by.clone() };
            shared.events.send(event);
            Outcome::Blocked { role, step, by }
        }
    }
}
