//! Statements about a host that nobody has looked at, as sh.
//!
//! Over SSH a host is looked at first, and what differs is changed. Here everything is written out for an image that has
//! just booted, and what must not be done twice, or what another image may have already, is asked for right before.

use serde_json::Value;

use super::Error;
use crate::{
    engine::{RoleSteps, Step, Templates},
    task::{Act, Command, Image, Observations, Probe, Service, Stdin, Task, UnitState, fetch_script},
    transport::quote,
};

/// What no line of an input is.
const END: &str = "hoist: end of input";

/// Steps that are written one after the other.
pub(super) struct Steps<'a> {
    templates: &'a Templates,
    /// What stands for values that others would give.
    late: Value,
    seen: Observations,
    text: String,
}

impl<'a> Steps<'a> {
    pub fn new(templates: &'a Templates, late: Value) -> Steps<'a> {
        Steps { templates, late, seen: Observations::default(), text: String::new() }
    }

    /// Adds all steps of a role.
    ///
    /// # Errors
    /// One of them cannot be done without having seen the host, or without somebody who sends or tells something.
    pub fn role(&mut self, role: &RoleSteps) -> Result<(), Error> {
        role.steps.iter().try_for_each(|step| self.step(role, step))
    }

    /// Adds the script of the inventory, in a shell of its own.
    pub fn own(&mut self, script: &str) {
        self.begin("burst", "the inventory's script");
        self.text += &format!("sh -c {} </dev/null || failed\n", quote(script));
    }

    /// From here on another one gives the instance back: what `join.sh` began with is over.
    pub fn disarm(&mut self) {
        self.text += "\nsystemctl -q stop hoist-unjoined.timer 2>/dev/null\n";
    }

    pub fn text(self) -> String {
        self.text
    }

    fn begin(&mut self, role: &str, step: &str) {
        self.text += &format!("\nbegin {}\n", quote(&format!("{role}: {}", step.replace('\n', " "))));
    }

    fn step(&mut self, role: &RoleSteps, step: &Step) -> Result<(), Error> {
        let holds = holds(&step.task).map_err(|Unseen| {
            let (role, step) = (role.role.clone(), step.name.clone());
            Error::Unseen { role, step }
        })?;
        let acts = self.acts(&step.task);
        if acts.is_empty() {
            return Ok(());
        }
        self.begin(&role.role, &step.name);
        if let Some(holds) = holds {
            self.text += &format!("(\n{}\n) >/dev/null 2>&1 </dev/null || ", holds.trim_end());
        }
        self.text += "{\n";
        let last = acts.len() - 1;
        for (index, act) in acts.into_iter().enumerate() {
            let (script, input) = self.script(role, step, act)?;
            let next = if index < last { " &&" } else { "" };
            self.text += &match input {
                None => format!("(\n{}\n) </dev/null{next}\n", script.trim_end()),
                Some(input) => {
                    let (script, input) = (script.trim_end(), input.trim_end());
                    format!("(\n{script}\n) <<'{END}'{next}\n{input}\n{END}\n")
                }
            };
        }
        self.text += "} || failed\n";
        step.task.foresee(&mut self.seen);
        Ok(())
    }

    /// What an act runs, and what that reads.
    fn script(&self, role: &RoleSteps, step: &Step, act: Act) -> Result<(String, Option<String>), Error> {
        match act {
            Act::Script { text, stdin, .. } => {
                let input = stdin.map(|stdin| self.input(role, step, &stdin));
                Ok((text, input.transpose()?))
            }
            Act::Await { slice, explain, timeout } => {
                Ok((Act::await_at_once(&slice, &explain, timeout), None))
            }
            Act::Send(file) => {
                let (role, step, source_file) = (role.role.clone(), step.name.clone(), file.source);
                let url = file.url.ok_or(Error::NoUrl { role, step, source_file })?;
                Ok((fetch_script(&url, &file.sha256, &file.destination, file.mode).text, None))
            }
        }
    }

    fn acts(&self, task: &Task) -> Vec<Act> {
        let Task::Service(service) = task else { return task.acts(&self.seen) };
        // apt starts what it installs, with the distribution's configuration: a restart is right whether it runs or not.
        let mut seen = self.seen.clone();
        let (load, active) = ("loaded".to_owned(), "active".to_owned());
        let unit = UnitState { load, active, stale: true, ..UnitState::default() };
        seen.units.insert(service.unit.clone(), unit);
        task.acts(&seen)
    }

    /// What a command reads.
    fn input(&self, role: &RoleSteps, step: &Step, stdin: &Stdin) -> Result<String, Error> {
        if let Some(name) = step.late.iter().find(|name| self.late.get(name.as_str()).is_none()) {
            let (role, step, name) = (role.role.clone(), step.name.clone(), name.clone());
            return Err(Error::Late { role, step, name });
        }
        let mut context = role.context.clone();
        context.set("late", &self.late);
        if let Some(item) = &step.item {
            context.set("item", item);
        }
        Ok(self.templates.file(&stdin.template, &context)?)
    }
}

/// A statement that cannot be made about a host without having seen it.
struct Unseen;

/// sh that succeeds where a statement holds already, for those whose acts would do harm then, or take long.
fn holds(task: &Task) -> Result<Option<String>, Unseen> {
    Ok(match task {
        Task::Command(command) => Some(done(command)),
        Task::Require(_) | Task::Archive(_) => task.probes().into_iter().find_map(|probe| match probe {
            Probe::Check(check) => Some(check),
            _ => None,
        }),
        Task::Image(image) => Some(imported(image)),
        // Only what is there can be taken down.
        Task::Service(service) if [service.enabled, service.running].contains(&Some(false)) => {
            return Err(Unseen);
        }
        Task::Service(service) if service.running == Some(true) => Some(up_to_date(service)),
        // Written anew they are the same, and what waits looks first.
        Task::File(_)
        | Task::Copy(_)
        | Task::Directory(_)
        | Task::Absent(_)
        | Task::Package(_)
        | Task::Service(_)
        | Task::Sysctl(_)
        | Task::KernelModules(_)
        | Task::SwapOff(_)
        | Task::Hostname(_)
        | Task::Artifact(_)
        | Task::Wait(_) => None,
        // They change a part of what is there, or keep away from what is not theirs.
        Task::Line(_)
        | Task::Block(_)
        | Task::User(_)
        | Task::AuthorizedKey(_)
        | Task::Filesystem(_)
        | Task::Mount(_) => return Err(Unseen),
    })
}

/// As the engine judges a command's guard.
fn done(command: &Command) -> String {
    let created = command.creates.iter().map(|path| format!("[ -e {} ]", quote(path)));
    let passed = command.unless.iter().map(|check| format!("(\n{}\n)", check.trim_end()));
    let stamped = command.stamp.iter().map(|stamp| {
        let stamp = quote(stamp);
        format!("{{ [ -e {stamp} ] && {}; }}", none_newer(&command.after, &stamp))
    });
    created.chain(passed).chain(stamped).collect::<Vec<_>>().join(" ||\n")
}

fn imported(image: &Image) -> String {
    let (reference, digest) = (quote(&format!("{} ", image.reference)), quote(&image.digest));
    format!("ctr -n k8s.io images ls | grep -F {reference} | grep -qF {digest}")
}

/// Whether a unit runs with its present configuration.
fn up_to_date(service: &Service) -> String {
    let unit = quote(&service.unit);
    let invocation = quote(&format!("/run/systemd/units/invocation:{}", service.unit));
    let files: Vec<String> = service.restart_after.iter().chain(&service.reload_after).cloned().collect();
    let enabled = match service.enabled {
        Some(true) => format!("systemctl -q is-enabled {unit} && "),
        _ => String::new(),
    };
    format!(
        "{enabled}systemctl -q is-active {unit} && [ \"$(systemctl show -p NeedDaemonReload --value {unit})\" = no ] &&\n\
         [ -L {invocation} ] && {}",
        none_newer(&files, &invocation)
    )
}

/// That none of the files that are there is newer than another. A link counts as old as it is itself.
fn none_newer(files: &[String], than: &str) -> String {
    if files.is_empty() {
        return "true".to_owned();
    }
    let files = files.iter().map(|file| quote(file)).collect::<Vec<_>>().join(" ");
    format!("[ -z \"$(find {files} -prune -newer {than})\" ]")
}
