//! What a step waits for before it begins: its turn, and what it reads from its standard input.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::{
    Event,
    carry::Carrier,
    compile::{RoleSteps, Step},
    late::{Asker, Missing, Patience},
    stop::Stop,
    turns::Turn,
};
use crate::task::{Observations, Task};

impl Carrier {
    /// The host's turn, where a step is carried out on one host at a time. Whoever has it may wait for nobody: so what
    /// others give must be there before.
    pub async fn turn(
        &self,
        role: &RoleSteps,
        step: &Step,
        seen: &Observations,
    ) -> Result<Option<Turn>, Stop> {
        let Some(turn) = step.task.turn(seen) else { return Ok(None) };
        let address = self.address();
        let asker = Asker { name: &self.target.name, address: &address };
        for name in &step.late {
            let waits = |from| self.waiting(role, step, name, from);
            let ready = self.shared.late.ready(name, asker, waits).await;
            ready.map_err(|missing| self.missing(role, step, name, missing))?;
        }
        let waits = |holder| self.waiting(role, step, turn, vec![holder]);
        let taken = self.shared.turns.take(turn, &self.target.name, waits).await;
        let blocked = |by| Stop::Blocked { role: role.role.clone(), step: step.name.clone(), by };
        taken.map(Some).map_err(blocked)
    }

    fn waiting(&self, role: &RoleSteps, step: &Step, value: &str, from: Vec<String>) {
        let (host, role, step, value) = self.names(role, step, value);
        self.shared.events.send(Event::Waiting { host, role, step, value, from });
    }

    fn missing(&self, role: &RoleSteps, step: &Step, name: &str, missing: Missing) -> Stop {
        match missing {
            Missing::Blocked { by } => Stop::Blocked { role: role.role.clone(), step: step.name.clone(), by },
            Missing::Refused { host, status, output } => {
                let what = format!("{host} could not give \"{name}\" (status {status})");
                self.stop(role, step, what, output, None)
            }
            Missing::Unwritten(error) => self.unable(role, step, &error),
        }
    }

    /// What the step reads from its standard input, once everything in it is known.
    pub async fn late_stdin(
        &self,
        role: &RoleSteps,
        step: &Step,
        patience: Patience,
    ) -> Result<Option<SecretString>, Stop> {
        let Task::Command(command) = &step.task else { return Ok(None) };
        let Some(stdin) = &command.stdin else { return Ok(None) };
        let mut late = Map::new();
        let address = self.address();
        let asker = Asker { name: &self.target.name, address: &address };
        for name in &step.late {
            let waits = |from| self.waiting(role, step, name, from);
            let values = self.shared.late.get(name, asker, patience, waits).await;
            let values = values.map_err(|missing| self.missing(role, step, name, missing))?;
            let exposed: Map<String, Value> =
                values.iter().map(|(key, value)| (key.clone(), json!(value.expose_secret()))).collect();
            late.insert(name.clone(), Value::Object(exposed));
        }
        let mut context = role.context.clone();
        context.set("late", late);
        if let Some(item) = &step.item {
            context.set("item", item);
        }
        let text = self.shared.templates.file(&stdin.template, &context);
        let text = text.map_err(|error| self.unable(role, step, &error))?;
        Ok(Some(SecretString::from(text)))
    }

    /// The address by which other hosts know this one.
    fn address(&self) -> String {
        self.target.context.get("host")["address"].as_str().unwrap_or_default().to_string()
    }
}
