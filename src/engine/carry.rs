//! Carrying out one host's roles: observe, act, observe again.

use std::{ops::Range, path::PathBuf, sync::Arc, time::Instant};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::{
    Error, Event, Events, Failure, Journal, Templates,
    compile::{RoleSteps, Step, Target},
    diagnose::diagnose,
    journal::Entry,
    late::{Late, Missing, Progress},
    observe::observe,
    plan::HostPlan,
};
use crate::{
    task::{Act, Observations, Task, main_line, sha256},
    transport::{Host, Output, Script, Transfer},
};

/// How many of the last lines of a failed command are shown.
const SHOWN_LINES: usize = 15;

/// Begins the line with which a batch says which of its steps failed.
const FAILED_STEP: &str = "#hoist-failed-step ";

/// Why a host stops.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(Failure),
    Blocked { role: String, step: String, by: String },
}

/// What the hosts of a run share.
pub(super) struct Shared {
    pub templates: Templates,
    pub late: Late,
    pub journal: Journal,
    pub events: Events,
    /// How many hosts act at the same time. Hosts that wait for another one do not count.
    pub forks: Semaphore,
}

/// One host of a run.
pub(super) struct Carrier {
    pub shared: Arc<Shared>,
    pub host: Arc<dyn Host>,
    pub target: Target,
    pub roles: Vec<RoleSteps>,
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
                .map_err(|error| self.lost(role, &steps[0], &error.to_string()))?;
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
        let stdin = self.late_stdin(role, first).await?;
        let _fork = self.shared.forks.acquire().await;
        let begun = Instant::now();
        for (step, summary) in steps {
            let (host, role, step, summary) = self.names(role, step, summary);
            self.shared.events.send(Event::StepStarted { host, role, step, summary });
        }
        let entries: Vec<Entry<'_>> = steps.iter().map(|(step, _)| self.entry(role, step)).collect();
        let journal = |error: Error| self.stop(role, first, error.to_string(), Vec::new());
        self.shared.journal.began(&entries).map_err(journal)?;
        let result = match steps {
            [(step, _)] => self.one(role, step, seen, stdin).await,
            many => self.batch(role, many, seen).await,
        };
        let written = match &result {
            Ok(()) => self.shared.journal.done(&entries),
            Err(_) => self.shared.journal.failed(&entries),
        };
        result?;
        written.map_err(journal)?;
        let seconds = begun.elapsed().as_secs_f64();
        for (step, summary) in steps {
            let (host, role, step, _) = self.names(role, step, summary);
            self.shared.events.send(Event::StepDone { host, role, step, seconds });
        }
        Ok(())
    }

    fn names(&self, role: &RoleSteps, step: &Step, summary: &str) -> (String, String, String, String) {
        (self.target.name.clone(), role.role.clone(), step.name.clone(), summary.to_string())
    }

    fn entry<'a>(&'a self, role: &'a RoleSteps, step: &'a Step) -> Entry<'a> {
        // The statement itself may hold a secret; its digest tells two statements apart just as well.
        let input = sha256(format!("{:?}", step.task).as_bytes());
        Entry { host: &self.target.name, role: &role.role, step: &step.name, input }
    }

    async fn one(
        &self,
        role: &RoleSteps,
        step: &Step,
        seen: &Observations,
        input: Option<SecretString>,
    ) -> Result<(), Stop> {
        for act in step.task.acts(seen) {
            match act {
                Act::Script { text, stdin, timeout } => {
                    let stdin = stdin.and(input.clone());
                    let output = self
                        .host
                        .run(Script { text, stdin, timeout })
                        .await
                        .map_err(|error| self.lost(role, step, &error.to_string()))?;
                    if output.status != 0 {
                        return Err(self.refused(role, step, &output));
                    }
                }
                Act::Send { source, destination, sha256, mode } => {
                    let transfer =
                        Transfer { source: PathBuf::from(source), destination, sha256, mode: mode.0 };
                    let (host, name) = (&self.target.name, &step.name);
                    let sent = |bytes| {
                        self.shared.events.send(Event::Sent {
                            host: host.clone(),
                            step: name.clone(),
                            bytes,
                        });
                    };
                    self.host
                        .send(&transfer, &sent)
                        .await
                        .map_err(|error| self.lost(role, step, &error.to_string()))?;
                }
            }
        }
        Ok(())
    }

    /// Quick steps as one script, which stops at the first that fails and says which.
    async fn batch(
        &self,
        role: &RoleSteps,
        steps: &[(&Step, String)],
        seen: &Observations,
    ) -> Result<(), Stop> {
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
        let timeout = std::time::Duration::from_secs(120);
        let first = steps[0].0;
        let output = self
            .host
            .run(Script { text, stdin: None, timeout })
            .await
            .map_err(|error| self.lost(role, first, &error.to_string()))?;
        if output.status == 0 {
            return Ok(());
        }
        let answer = String::from_utf8_lossy(&output.stdout);
        let index =
            answer.lines().rev().find_map(|line| line.strip_prefix(FAILED_STEP)?.parse::<usize>().ok());
        let failed = index.and_then(|index| steps.get(index)).map_or(first, |(step, _)| *step);
        Err(self.refused(role, failed, &output))
    }

    /// What the step reads from its standard input, once everything in it is known.
    async fn late_stdin(&self, role: &RoleSteps, step: &Step) -> Result<Option<SecretString>, Stop> {
        let Task::Command(command) = &step.task else { return Ok(None) };
        let Some(stdin) = &command.stdin else { return Ok(None) };
        let mut late = Map::new();
        for name in &step.late {
            let (host, role_name, step_name, value) = self.names(role, step, name);
            self.shared.events.send(Event::Waiting { host, role: role_name, step: step_name, value });
            let values =
                self.shared.late.get(name, &self.target.name).await.map_err(|missing| match missing {
                    Missing::Blocked { by } => {
                        Stop::Blocked { role: role.role.clone(), step: step.name.clone(), by }
                    }
                    Missing::Refused { host, status, output } => {
                        let what = format!("{host} could not give \"{name}\" (status {status})");
                        self.stop(role, step, what, output)
                    }
                })?;
            let exposed: Map<String, Value> =
                values.iter().map(|(key, value)| (key.clone(), json!(value.expose_secret()))).collect();
            late.insert(name.clone(), Value::Object(exposed));
        }
        let mut context = role.context.clone();
        context["late"] = Value::Object(late);
        if let Some(item) = &step.item {
            context["item"] = item.clone();
        }
        let text = self.shared.templates.file(&stdin.template, &context);
        let text = text.map_err(|error| self.stop(role, step, error.to_string(), Vec::new()))?;
        Ok(Some(SecretString::from(text)))
    }

    /// Probes everything once more: after a run, nothing may be left to change.
    async fn prove(&self) -> Result<(), Stop> {
        let Some(last) = self.roles.last() else { return Ok(()) };
        let steps = || self.roles.iter().flat_map(|role| &role.steps);
        let Some(step) = last.steps.last() else { return Ok(()) };
        let seen =
            observe(&*self.host, steps()).await.map_err(|error| self.lost(last, step, &error.to_string()))?;
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

    fn lost(&self, role: &RoleSteps, step: &Step, error: &str) -> Stop {
        self.stop(role, step, error.to_string(), Vec::new())
    }

    fn refused(&self, role: &RoleSteps, step: &Step, output: &Output) -> Stop {
        // What went wrong is usually on standard error; some programs say it on standard output.
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        let lines = out.lines().filter(|line| !line.starts_with(FAILED_STEP)).chain(err.lines());
        let lines: Vec<String> = lines.filter(|line| !line.trim().is_empty()).map(String::from).collect();
        let what = match &step.task {
            Task::Command(command) => {
                format!("`{}` ended with status {}", main_line(&command.run), output.status)
            }
            _ => format!("it ended with status {}", output.status),
        };
        self.stop(role, step, what, lines)
    }

    /// Everything that is said of a failure comes through here, so that no late value gets out: errors of the
    /// transport quote output as well.
    fn stop(&self, role: &RoleSteps, step: &Step, what: String, output: Vec<String>) -> Stop {
        let what = self.shared.late.redact(&what);
        let output: Vec<String> = output.iter().map(|line| self.shared.late.redact(line)).collect();
        let (cause, next) = diagnose(&output).or_else(|| diagnose(std::slice::from_ref(&what))).unzip();
        let shown = output.len().saturating_sub(SHOWN_LINES);
        Stop::Failed(Failure {
            host: self.target.name.clone(),
            role: role.role.clone(),
            step: step.name.clone(),
            what,
            output: output[shown..].to_vec(),
            cause: cause.map(String::from),
            next: next
                .unwrap_or("mend it, then run the same command again: it goes on from here")
                .to_string(),
        })
    }
}

/// The steps from `start` that are observed together: a run of quick ones, or a single slow one.
fn segment(steps: &[Step], start: usize) -> Range<usize> {
    let quick = steps[start..].iter().take_while(|step| step.task.is_quick()).count();
    start..start + quick.max(1)
}
