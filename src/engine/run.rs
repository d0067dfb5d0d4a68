//! A run: every host on its own, held up only by what it truly needs from another.

use std::{collections::HashMap, sync::Arc};

use futures::{StreamExt, stream};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    Error, Event, Events, Failure, Journal, Library, Templates,
    carry::{Carrier, Shared, Stop},
    compile::{RoleSteps, Target, late_values},
    late::{Late, Progress, Provider},
    observe::{add_contents, observe},
    plan::HostPlan,
};
use crate::transport::Host;

/// A host, what it shall be, and how to reach it.
#[derive(Clone)]
pub struct Subject {
    pub target: Target,
    pub roles: Vec<RoleSteps>,
    pub host: Arc<dyn Host>,
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

/// Reads all hosts at the same time and says what differs. `contents` also fetches what diffs show.
///
/// # Errors
/// The first host that was lost.
pub async fn observe_all(subjects: &[Subject], contents: bool, forks: usize) -> Result<Vec<HostPlan>, Error> {
    let plans = stream::iter(subjects).map(|subject| async move {
        let steps = || subject.roles.iter().flat_map(|role| &role.steps);
        let mut seen = observe(&*subject.host, steps()).await?;
        if contents {
            add_contents(&*subject.host, steps(), &mut seen).await?;
        }
        Ok(HostPlan::new(&subject.target.name, &subject.roles, &seen))
    });
    let plans: Vec<Result<HostPlan, Error>> = plans.buffered(forks.max(1)).collect().await;
    plans.into_iter().collect()
}

/// Everything a run is made of.
pub struct Run {
    pub subjects: Vec<Subject>,
    pub library: Library,
    pub journal: Journal,
    pub events: Events,
    /// How many hosts act at the same time.
    pub forks: usize,
}

impl Run {
    /// Makes every host as it shall be. `plans` says how much there is to do on each, in the same order.
    ///
    /// One host's failure stops only what depends on it. The outcomes are in the order of the hosts.
    ///
    /// # Errors
    /// Only when nothing could be begun.
    pub async fn carry_out(self, plans: &[HostPlan]) -> Result<Vec<(String, Outcome)>, Error> {
        let hosts =
            self.subjects.iter().map(|subject| (subject.target.name.clone(), subject.host.clone())).collect();
        let shared = Arc::new(Shared {
            late: Late::new(self.providers()?, hosts),
            templates: Templates::new(self.library),
            journal: self.journal,
            events: self.events,
            forks: Semaphore::new(self.forks.max(1)),
        });
        let mut work = JoinSet::new();
        let names: Vec<String> = self.subjects.iter().map(|subject| subject.target.name.clone()).collect();
        for (index, subject) in self.subjects.into_iter().enumerate() {
            let Subject { target, roles, host } = subject;
            let planned = plans.get(index).map_or(0, |plan| plan.changes.len());
            let carrier = Carrier { shared: shared.clone(), host, target, roles };
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

    fn providers(&self) -> Result<HashMap<String, Provider>, Error> {
        let roles = || self.subjects.iter().flat_map(|subject| &subject.roles).map(|role| role.role.as_str());
        let mut providers = HashMap::new();
        for (name, role, run) in late_values(&self.library, roles())? {
            let has = |subject: &&Subject| subject.roles.iter().any(|steps| steps.role == role);
            let hosts = self.subjects.iter().filter(has).map(|subject| subject.target.name.clone()).collect();
            providers.insert(name, Provider { role, run, hosts });
        }
        for subject in &self.subjects {
            for step in subject.roles.iter().flat_map(|role| &role.steps) {
                if let Some(name) = step.late.iter().find(|name| !providers.contains_key(*name)) {
                    return Err(Error::NotProvided { name: name.clone(), place: step.name.clone() });
                }
            }
        }
        Ok(providers)
    }
}

async fn outcome(carrier: &Carrier, planned: usize) -> Outcome {
    let stop = match carrier.carry_out(planned).await {
        Ok(changes) => return Outcome::Converged { changes },
        Err(stop) => stop,
    };
    let (shared, host) = (&carrier.shared, carrier.target.name.clone());
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
