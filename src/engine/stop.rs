//! Why a host stops, and what is said of it.

use std::ops::Range;

use miette::Diagnostic as _;

use super::{
    Error, Failure,
    carry::Carrier,
    compile::{RoleSteps, Step},
    diagnose::diagnose,
};
use crate::{
    task::{Task, main_line},
    transport::{self, Output},
};

/// How many of the last lines of a failed command are shown.
const SHOWN_LINES: usize = 25;

/// Begins the line with which a batch says which of its steps failed.
pub(super) const FAILED_STEP: &str = "#hoist-failed-step ";

/// Why a host stops.
#[derive(Debug)]
pub(super) enum Stop {
    Failed(Failure),
    Blocked { role: String, step: String, by: String },
}

/// Why steps that were to be made true together are not.
pub(super) struct Halt {
    /// Which of them failed: those before are done, those after were not begun. All, when the host was lost and nobody
    /// knows.
    pub failed: Range<usize>,
    pub stop: Stop,
}

impl Carrier {
    /// The host did not answer as it should. What the error quotes of its output is output here, too.
    pub fn lost(&self, role: &RoleSteps, step: &Step, error: &transport::Error) -> Stop {
        let text = with_cause(error);
        let (what, output) = text.split_once('\n').unwrap_or((&text, ""));
        let next = error.help().map(|help| help.to_string());
        self.stop(role, step, what.to_string(), output.lines().map(String::from).collect(), next)
    }

    /// Something went wrong on this side.
    pub fn unable(&self, role: &RoleSteps, step: &Step, error: &Error) -> Stop {
        self.stop(role, step, with_cause(error), Vec::new(), error.help().map(|help| help.to_string()))
    }

    /// The host answered, and the answer was no.
    pub fn refused(&self, role: &RoleSteps, step: &Step, output: &Output) -> Stop {
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
        self.stop(role, step, what, lines, None)
    }

    /// Everything that is said of a failure comes through here, so that no late value gets out. It is taken out before
    /// anything is cut off.
    pub fn stop(
        &self,
        role: &RoleSteps,
        step: &Step,
        what: String,
        output: Vec<String>,
        next: Option<String>,
    ) -> Stop {
        let what = self.shared.late.redact(&what);
        let output: Vec<String> = output.iter().map(|line| self.shared.late.redact(line)).collect();
        let api = self.api_addresses();
        let known = diagnose(&output, &api).or_else(|| diagnose(std::slice::from_ref(&what), &api));
        let (cause, known_next) = known.unzip();
        let shown = output.len().saturating_sub(SHOWN_LINES);
        Stop::Failed(Failure {
            host: self.target.name.clone(),
            role: role.role.clone(),
            step: step.name.clone(),
            what,
            output: output[shown..].to_vec(),
            cause: cause.map(String::from),
            next: known_next.map(String::from).or(next).unwrap_or_else(|| {
                "mend it, then run the same command again: it goes on from here".to_string()
            }),
        })
    }

    /// Where this host and others reach the API server, as far as its templates know of one.
    fn api_addresses(&self) -> Vec<String> {
        let (cluster, host) = (self.target.context.get("cluster"), self.target.context.get("host"));
        [(&cluster["endpoint"], &cluster["port"]), (&host["address"], &cluster["api_port"])]
            .into_iter()
            .filter_map(|(address, port)| Some(format!("{}:{}", address.as_str()?, port.as_u64()?)))
            .collect()
    }
}

/// An error and what it comes from, which its own words leave out.
fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error} ({cause})"),
        None => error.to_string(),
    }
}
