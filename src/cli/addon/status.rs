//! `hoist addon status`: how add-ons are, and the proofs that they work.

use std::{io::Write as _, time::Duration};

use serde_json::{Value, json};

use super::{Proofs, View, show};
use crate::{
    addon::{self, gate},
    cli::{Failure, shared::Output},
    exit::Exit,
    report,
};

impl View {
    pub(super) async fn status(
        &self,
        only: Option<&str>,
        proofs: Proofs,
        output: Output,
    ) -> Result<Exit, Failure> {
        let found = self.differences(only).await?;
        if proofs == Proofs::Told {
            let installed = found.iter().map(|(desired, _)| *desired);
            let installed = installed.filter(|desired| self.observed.is_installed(desired));
            let breaks = breaks(installed.map(|desired| (desired.name.as_str(), &desired.definition)));
            show(output, &json!({"breaks": breaks, "done": false}), || report::addon::breaks(&breaks))?;
            return Ok(Exit::Ok);
        }
        let mut rows = Vec::new();
        let mut exit = Exit::Ok;
        for (desired, difference) in found {
            let mut row = self.row(desired, &difference);
            let pods = addon::pods(&self.api, desired, &self.observed).await?;
            let done = |pod: &&crate::kube::PodStatus| pod.ready || pod.phase == "Succeeded";
            let waiting: Vec<Value> = pods
                .iter()
                .filter(|pod| !done(pod))
                .map(|pod| json!({"pod": pod.name, "node": pod.node, "reason": pod.reason}))
                .collect();
            row["pods"] = json!({"ready": pods.len() - waiting.len(), "all": pods.len(), "waiting": waiting});
            row["changes"] =
                json!(difference.changes.iter().map(|change| &change.summary).collect::<Vec<_>>());
            if proofs.are_made() && self.observed.is_installed(desired) {
                row["gates"] = self.prove(desired, proofs, &mut exit).await;
            } else if proofs.are_made() && !desired.definition.gates.is_empty() {
                row["unproven"] = json!("it is not installed");
            }
            if difference.state != addon::State::Installed || row["pods"]["ready"] != row["pods"]["all"] {
                exit = Exit::Failed;
            }
            rows.push(row);
        }
        show(output, &json!(rows), || report::addon::status(&rows))?;
        Ok(Exit::worst([exit, self.lost]))
    }

    async fn prove(&self, desired: &addon::Desired, proofs: Proofs, exit: &mut Exit) -> Value {
        let mut gates = Vec::new();
        for gate in desired.definition.gates.iter().filter_map(|name| gate::gate(name)) {
            let bench = gate::Bench {
                inventory: self.request.inventory(),
                api: &self.api,
                hosts: &self.session.hosts,
                namespace: &desired.definition.namespace,
                settings: &desired.settings,
                timeout: Duration::from_secs(desired.definition.timeout.into()),
                say: &|reason| {
                    let _ = writeln!(std::io::stderr(), "{}: {}: {reason}", desired.name, gate.name());
                },
            };
            let breaks = gate.disrupts().filter(|_| proofs == Proofs::Disrupting);
            let proof = match breaks {
                Some(_) => gate.disrupt(&bench).await,
                None => gate.pass(&bench).await,
            };
            gates.push(match proof {
                Ok(proof) => json!({"gate": gate.name(), "proves": gate.proves(), "open": true, "seen": proof.seen}),
                Err(closed) => {
                    *exit = Exit::Failed;
                    json!({"gate": gate.name(), "proves": gate.proves(), "open": false, "seen": [closed.to_string()]})
                }
            });
        }
        Value::Array(gates)
    }
}

/// What would be broken on purpose, a row a gate.
fn breaks<'a>(addons: impl Iterator<Item = (&'a str, &'a addon::Definition)>) -> Vec<Value> {
    let gates = addons.flat_map(|(addon, definition)| {
        let gates = definition.gates.iter().filter_map(|name| gate::gate(name));
        gates.filter_map(move |gate| {
            Some(json!({"addon": addon, "gate": gate.name(), "breaks": gate.disrupts()?}))
        })
    });
    gates.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Library;

    #[test]
    fn only_metallb_breaks_something_on_purpose() {
        let library = Library::default();
        let all: Vec<(String, addon::Definition)> = library
            .addons()
            .into_iter()
            .map(|name| (name.clone(), addon::definition(&library, &name).unwrap()))
            .collect();
        let rows = breaks(all.iter().map(|(name, definition)| (name.as_str(), definition)));
        let named: Vec<(&Value, &Value)> = rows.iter().map(|row| (&row["addon"], &row["gate"])).collect();
        assert_eq!(named, [(&json!("metallb"), &json!("metallb-address"))]);
        assert!(rows[0]["breaks"].as_str().unwrap().contains("its speaker is ended"), "{rows:?}");
    }
}
