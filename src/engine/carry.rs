//! Carrying out one host's roles: observe, act, observe again.

use std::{
    ops::Range,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use secrecy::SecretString;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Error, Event, Events, Failure, Journal, Templates,
    compile::{RoleSteps, Step, Target},
    digest,
    journal::Entry,
    late::{Late, Patience, Progress},
    observe::observe,
    plan::HostPlan,
    share::Share,
    spread::Source,
    stop::{FAILED_STEP, Halt, Stop},
    turns::Turns,
};
use crate::{
    task::{Act, Observations, Task},
    transport::{Host, Script},
};

/// How long quick steps may take together.
const BATCH_TIMEOUT: Duration = Duration::from_secs(120);

/// Whoever waited so long for a fork has values anew that do not last.
const LONG_WAIT: Duration = Duration::from_secs(60);

/// What the hosts of a run share.
pub(super) struct Shared {
    pub templates: Templates,
    pub late: Late,
    pub share: Share,
    pub journal: Arc<Journal>,
    pub events: Events,
    /// How many hosts act at the same time. Hosts that wait for another one do not count.
    pub forks: Semaphore,
    /// Variables of the environment in which hosts fetch files for themselves.
    pub environment: Vec<(String, String)>,
    /// Commands that run on one host at a time.
    pub turns: Turns,
}

/// One host of a run.
pub(super) struct Carrier {
    pub shared: Arc<Shared>,
    pub host: Arc<dyn Host>,
    pub target: Target,
    pub roles: Vec<RoleSteps>,
    /// Whether it could not fetch a file itself, so that it need not try again.
    pub cannot_fetch: AtomicBool,
}

/// What a step was given before it acts.
struct Given {
    stdin: Option<SecretString>,
    /// From whom its file comes.
    source: Option<Source>,
}

impl Carrier {
    /// Makes everything true that is not, role by role, then proves it. Gives the number of changes made.
    pub async fn carry_out(&self, planned: usize) -> Result<usize, Stop> {
        let begun = Instant::now();
        let host = || self.target.name.clone();
        self.shared.events.send(Event::HostStarted { host: host(), changes: planned });
        let mut made = 0;
        for role in &self.roles {
            let begun = Instant::now();
            if planned > 0 {
                made += self.role(role).await?;
            }
            self.shared.late.report(&self.target.name, &role.role, Progress::Done);
            let seconds = begun.elapsed().as_secs_f64();
            self.shared.events.send(Event::RoleDone { host: host(), role: role.role.clone(), seconds });
        }
        if made > 0 {
            self.prove().await?;
        }
        let seconds = begun.elapsed().as_secs_f64();
        self.shared.events.send(Event::HostDone { host: host(), changes: made, seconds });
        Ok(made)
    }

    /// Quick steps in a row are observed in one round trip and acted on in another. A slow step is observed
    /// just before it acts, because what came before may have changed its answer.
    async fn role(&self, role: &RoleSteps) -> Result<usize, Stop> {
        let mut made = 0;
        let mut next = 0;
        while next < role.steps.len() {
            let segment = segment(&role.steps, next);
            let steps = &role.steps[segment.clone()];
            let seen = observe(&*self.host, steps.iter())
                .await
                .map_err(|error| self.lost(role, &steps[0], &error))?;
            let mut ahead = seen.clone();
            let mut differing: Vec<(&Step, String)> = Vec::new();
            for step in steps {
                if let Some(change) = step.task.diff(&ahead) {
                    step.task.foresee(&mut ahead);
                    differing.push((step, change.summary));
                }
            }
            if !differing.is_empty() {
                self.act(role, &differing, &seen).await?;
                made += differing.len();
            }
            next = segment.end;
        }
        Ok(made)
    }

    /// The one gate to the host: everything that changes it is journalled here, before and after.
    async fn act(
        &self,
        role: &RoleSteps,
        steps: &[(&Step, String)],
        seen: &Observations,
    ) -> Result<(), Stop> {
        let (first, _) = steps[0];
        let acts = first.task.acts(seen);
        // Whoever waits for another host does not hold up others that could act.
        let turn = self.turn(role, first, seen).await?;
        let patience = if turn.is_some() { Patience::Asks } else { Patience::Waits };
        let mut stdin = self.late_stdin(role, first, patience).await?;
        let source = self.source(role, first, &acts).await;
        let waited = Instant::now();
        // Waiting is no work, and what is awaited may be the work of hosts that have not had their turn yet.
        let mut fork = match first.task {
            Task::Wait(_) => None,
            _ => self.shared.forks.acquire().await.ok(),
        };
        let lasts = self.shared.late.lasts(&first.late);
        if lasts.is_some_and(|lasts| waited.elapsed() >= lasts.min(LONG_WAIT)) {
            stdin = self.late_stdin(role, first, Patience::Asks).await?;
        }
        let begun = Instant::now();
        for (step, summary) in steps {
            let (host, role, step, summary) = self.names(role, step, summary);
            self.shared.events.send(Event::StepStarted { host, role, step, summary });
        }
        let entries: Vec<Entry<'_>> = steps.iter().map(|(step, _)| self.entry(role, step)).collect();
        let journal = |error: Error| self.unable(role, first, &error);
        self.shared.journal.began(&entries).map_err(journal)?;
        let result = match steps {
            [(step, _)] => {
                let one = self.one(role, step, acts, Given { stdin, source }, &mut fork);
                one.await.map_err(|stop| Halt { failed: 0..1, stop })
            }
            many => self.batch(role, many, seen).await,
        };
        let failed = result.as_ref().map_or_else(|halt| halt.failed.clone(), |()| steps.len()..steps.len());
        let done = failed.start;
        if let (Some(turn), Err(_)) = (&turn, &result) {
            self.shared.turns.spoil(turn, &self.target.name);
        }
        if let Some(turn) = turn {
            turn.leave().await;
        }
        let written = self.shared.journal.ended(&entries, failed);
        let seconds = begun.elapsed().as_secs_f64();
        for (step, summary) in &steps[..done] {
            let (host, role, step, _) = self.names(role, step, summary);
            self.shared.events.send(Event::StepDone { host, role, step, seconds });
        }
        result.map_err(|halt| halt.stop)?;
        written.map_err(journal)
    }

    pub fn names(&self, role: &RoleSteps, step: &Step, summary: &str) -> (String, String, String, String) {
        (self.target.name.clone(), role.role.clone(), step.name.clone(), summary.to_string())
    }

    pub fn entry<'a>(&'a self, role: &'a RoleSteps, step: &'a Step) -> Entry<'a> {
        Entry { host: &self.target.name, role: &role.role, step: &step.name, input: digest::statement(step) }
    }

    async fn one<'a>(
        &'a self,
        role: &RoleSteps,
        step: &Step,
        acts: Vec<Act>,
        given: Given,
        fork: &mut Option<SemaphorePermit<'a>>,
    ) -> Result<(), Stop> {
        let Given { stdin: input, mut source } = given;
        for act in acts {
            match act {
                Act::Script { text, stdin, timeout } => {
                    let stdin = stdin.and(input.clone());
                    self.script(role, step, Script { text, stdin, timeout }).await?;
                }
                Act::Await { slice, explain, timeout } => {
                    let end = Instant::now() + timeout;
                    let script = |text: &str| Script::new(text).timeout(timeout + Act::SLOW_CHECK);
                    loop {
                        let output = self.host.run(script(&slice)).await;
                        if output.map_err(|error| self.lost(role, step, &error))?.status == 0 {
                            break;
                        }
                        if Instant::now() >= end {
                            self.script(role, step, script(&explain)).await?;
                        }
                    }
                }
                Act::Send(delivery) => {
                    self.deliver(role, step, &delivery, source.take(), fork).await?;
                }
            }
        }
        Ok(())
    }

    async fn script(&self, role: &RoleSteps, step: &Step, script: Script) -> Result<(), Stop> {
        let output = self.host.run(script).await.map_err(|error| self.lost(role, step, &error))?;
        if output.status == 0 { Ok(()) } else { Err(self.refused(role, step, &output)) }
    }

    /// Quick steps as one script, which stops at the first that fails and says which.
    async fn batch(
        &self,
        role: &RoleSteps,
        steps: &[(&Step, String)],
        seen: &Observations,
    ) -> Result<(), Halt> {
        let mut text = String::new();
        // What a step does may build on what those before it will have done.
        let mut seen = seen.clone();
        for (index, (step, _)) in steps.iter().enumerate() {
            for act in step.task.acts(&seen) {
                if let Act::Script { text: script, .. } = act {
                    text.push_str(&format!(
                        "(\n{script}\n) || {{ s=$?; echo '{FAILED_STEP}{index}'; exit $s; }}\n"
                    ));
                }
            }
            step.task.foresee(&mut seen);
        }
        let output = match self.host.run(Script::new(text).timeout(BATCH_TIMEOUT)).await {
            Ok(output) if output.status == 0 => return Ok(()),
            Ok(output) => output,
            Err(error) => {
                return Err(Halt { failed: 0..steps.len(), stop: self.lost(role, steps[0].0, &error) });
            }
        };
        let answer = String::from_utf8_lossy(&output.stdout);
        let index =
            answer.lines().rev().find_map(|line| line.strip_prefix(FAILED_STEP)?.parse::<usize>().ok());
        let at = index.filter(|index| *index < steps.len()).unwrap_or(0);
        Err(Halt { failed: at..at + 1, stop: self.refused(role, steps[at].0, &output) })
    }

    /// Probes everything once more: after a run, nothing may be left to change.
    async fn prove(&self) -> Result<(), Stop> {
        let Some(last) = self.roles.last() else { return Ok(()) };
        let steps = || self.roles.iter().flat_map(|role| &role.steps);
        let Some(step) = last.steps.last() else { return Ok(()) };
        let seen = observe(&*self.host, steps()).await.map_err(|error| self.lost(last, step, &error))?;
        let left = HostPlan::new(&self.target.name, &self.roles, &seen).changes;
        let Some(first) = left.first() else { return Ok(()) };
        let lines = left.iter().map(|left| format!("{}: {}: {}", left.role, left.step, left.change.summary));
        Err(Stop::Failed(Failure {
            host: self.target.name.clone(),
            role: first.role.clone(),
            step: first.step.clone(),
            what: "it was made true and is not true any more".to_string(),
            output: lines.collect(),
            cause: Some("something on the host undoes it, or the role is not idempotent".to_string()),
            next: "run `hoist plan` to see what differs now".to_string(),
        }))
    }
}

/// The steps from `start` that are observed together: a run of quick ones, or a single slow one.
fn segment(steps: &[Step], start: usize) -> Range<usize> {
    let quick = steps[start..].iter().take_while(|step| step.task.is_quick()).count();
    start..start + quick.max(1)
}
