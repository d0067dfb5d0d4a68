//! Reading a host: one script for all statements, and one more only to show how texts differ.

use std::{collections::BTreeSet, time::Duration};

use super::compile::Step;
use crate::{
    task::{Observations, contents_script, probe_script},
    transport::{Error, Host, Script},
};

/// Long enough to digest gigabytes on a slow disk.
const PROBE_TIMEOUT: Duration = Duration::from_secs(300);

/// Observes what these steps need, in one round trip.
pub(super) async fn observe(
    host: &dyn Host,
    steps: impl Iterator<Item = &Step>,
) -> Result<Observations, Error> {
    let probes: BTreeSet<_> = steps.flat_map(|step| step.task.probes()).collect();
    if probes.is_empty() {
        return Ok(Observations::default());
    }
    let answer = ask(host, probe_script(&probes)).await?;
    Ok(Observations::parse(&probes, &answer))
}

/// Adds the present contents of the text files that differ, so that a plan can show how.
pub(super) async fn add_contents(
    host: &dyn Host,
    steps: impl Iterator<Item = &Step>,
    seen: &mut Observations,
) -> Result<(), Error> {
    let paths: Vec<&str> = steps
        .filter(|step| step.task.diff(seen).is_some())
        .filter_map(|step| step.task.text_path())
        .filter(|path| seen.paths.contains_key(*path))
        .collect();
    if !paths.is_empty() {
        seen.add_contents(&ask(host, contents_script(&paths)).await?);
    }
    Ok(())
}

async fn ask(host: &dyn Host, text: String) -> Result<String, Error> {
    let output = host.run(Script { text, stdin: None, timeout: PROBE_TIMEOUT }).await?;
    output.whole(host.name(), "the probe")
}
