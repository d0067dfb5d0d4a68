//! A run in the background, followed by its events.

#![allow(dead_code, reason = "each kind uses a part of it")]

use std::{
    fs::File,
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::stage::Stage;

/// A run in the background, followed by its events.
pub struct Run<'a> {
    stage: &'a Stage,
    child: Child,
    events: Lines<BufReader<ChildStdout>>,
}

impl<'a> Run<'a> {
    pub fn begin(stage: &'a Stage) -> Run<'a> {
        let errors = File::create(stage.path("background.log")).unwrap();
        let mut command = stage.command(&["apply", "--output", "json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap()).lines();
        Run { stage, child, events }
    }

    /// The next event, until the run's output ends.
    pub fn next(&mut self) -> Option<Value> {
        let line = self.events.next()?.unwrap();
        self.stage.hear(&line);
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}")))
    }

    /// Follows it until an event is as wanted, and gives that.
    pub fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        while let Some(event) = self.next() {
            if wanted(&event) {
                return event;
            }
        }
        panic!(
            "the run ended before: {}",
            std::fs::read_to_string(self.stage.path("background.log")).unwrap()
        );
    }

    pub fn signal(&self, signal: Signal) {
        // Our own child, not waited for yet: the number is still its own.
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    pub fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().unwrap();
        self.hear_errors();
    }

    pub fn end(mut self) -> Option<i32> {
        while self.next().is_some() {}
        let status = self.child.wait().unwrap();
        self.hear_errors();
        status.code()
    }

    fn hear_errors(&self) {
        self.stage.hear(&std::fs::read_to_string(self.stage.path("background.log")).unwrap());
    }
}

/// Whether it is this event, of this step on this host.
pub fn is(event: &Value, kind: &str, host: &str, step: &str) -> bool {
    event["event"] == kind && event["host"] == host && event["step"] == step
}
