//! What happens in a simulation: pods come and go, as they were recorded or as they are made up.

use std::{
    collections::BTreeMap,
    f64::consts::TAU,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use serde::Deserialize;

use super::{Error, random::Random};
use crate::burst::pack::{
    Pod, Resources,
    read::{Volumes, pod},
};

/// Something that happens to pods.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Milliseconds since the beginning.
    pub at: u64,
    pub what: Happening,
}

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    Create(Box<Pod>),
    /// By full name.
    Delete(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at: f64,
    create: Option<k8s_openapi::api::core::v1::Pod>,
    delete: Option<String>,
}

/// Reads a file of JSON lines; empty ones are left out. The answer is in the order of time.
///
/// # Errors
/// When it cannot be read, and the first line that is wrong.
pub fn read(path: &Path) -> Result<Vec<Event>, Error> {
    let failed = |cause| Error::Workload { path: path.to_owned(), cause };
    let mut events = Vec::new();
    for (number, line) in BufReader::new(File::open(path).map_err(failed)?).lines().enumerate() {
        let line = line.map_err(failed)?;
        if line.trim().is_empty() {
            continue;
        }
        let event = event(&line);
        let wrong = |mistake| Error::Line { path: path.to_owned(), line: number + 1, mistake };
        events.push(event.map_err(wrong)?);
    }
    events.sort_by_key(|event| event.at);
    Ok(events)
}

fn event(line: &str) -> Result<Event, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if !(0.0..1e10).contains(&line.at) {
        return Err(format!("`at` is {}, which is no number of seconds since the beginning", line.at));
    }
    let what = match (line.create, line.delete) {
        (Some(json), None) => Happening::Create(Box::new(pod(&json, &Volumes::new()))),
        (None, Some(name)) if name.contains('/') => Happening::Delete(name),
        (None, Some(name)) => return Err(format!("`delete` is `{name}`, without a namespace")),
        _ => return Err("there must be either `create` or `delete`".to_owned()),
    };
    Ok(Event { at: (line.at * 1000.0).round() as u64, what })
}

/// A workload that is made up: jobs that come and go, more of them by day than by night.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generated {
    pub seed: u64,
    /// How many pods.
    pub pods: u32,
    /// Over how many hours they come.
    pub hours: u32,
    /// How many minutes each runs, on average.
    pub minutes: u32,
}

/// Makes a workload up. Each day has its most at noon, five times as many as at midnight; every eighth pod comes with
/// seven others at once, as from a Job with parallelism.
pub fn generate(wanted: Generated) -> Vec<Event> {
    let mut random = Random(wanted.seed);
    let seconds = f64::from(wanted.hours) * 3600.0;
    let mut events = Vec::new();
    let mut number = 0;
    while number < wanted.pods {
        let at = random.part() * seconds;
        // The first hour is at midnight. Rejected as often as the hour is quiet.
        let busy = (3.0 - 2.0 * (at / 86_400.0 * TAU).cos()) / 5.0;
        if random.part() > busy {
            continue;
        }
        let together = if random.part() < 1.0 / 8.0 { 8 } else { 1 };
        let requests = Resources::new(
            random.choose([100, 250, 500, 500, 1000, 2000]),
            random.choose([128, 256, 512, 1024, 2048, 4096]) << 20,
        );
        for _ in 0..together.min(wanted.pods - number) {
            let pod = Pod {
                name: format!("job-{number}"),
                namespace: "default".to_owned(),
                labels: BTreeMap::from([("app".to_owned(), "job".to_owned())]),
                requests: requests.clone(),
                controller: Some(format!("Job/job-{number}")),
                ..Pod::default()
            };
            let life = random.exponential(f64::from(wanted.minutes) * 60.0).max(1.0);
            let milliseconds = |seconds: f64| (seconds * 1000.0) as u64;
            let name = pod.full_name();
            events.push(Event { at: milliseconds(at), what: Happening::Create(Box::new(pod)) });
            events.push(Event { at: milliseconds(at + life), what: Happening::Delete(name) });
            number += 1;
        }
    }
    events.sort_by_key(|event| event.at);
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_lines_are_read_and_mistakes_are_told() {
        let created = r#"{"at": 1.5, "create": {"metadata": {"name": "a", "namespace": "n"}, "spec": {"containers": []}}}"#;
        let Happening::Create(pod) = event(created).unwrap().what else { panic!() };
        assert_eq!((pod.full_name().as_str(), event(created).unwrap().at), ("n/a", 1500));
        let deleted = event(r#"{"at": 2, "delete": "n/a"}"#).unwrap();
        assert_eq!(deleted, Event { at: 2000, what: Happening::Delete("n/a".into()) });
        for (line, mistake) in [
            (r#"{"at": 1}"#, "either `create` or `delete`"),
            (r#"{"at": -1, "delete": "n/a"}"#, "no number of seconds"),
            (r#"{"at": 1, "delete": "a"}"#, "without a namespace"),
            (r#"{"at": 1, "remove": "a"}"#, "unknown field `remove`"),
            ("{", "EOF"),
        ] {
            let told = event(line).unwrap_err();
            assert!(told.contains(mistake), "{told}");
        }
    }

    #[test]
    fn a_seed_gives_a_workload_with_more_by_day() {
        let wanted = Generated { seed: 7, pods: 2000, hours: 24, minutes: 30 };
        let events = generate(wanted);
        assert_eq!(events, generate(wanted));
        assert_ne!(events, generate(Generated { seed: 8, ..wanted }));
        assert_eq!(events.len(), 4000);
        let created = |from: u64, to: u64| {
            let within = |event: &&Event| (from * 3_600_000..to * 3_600_000).contains(&event.at);
            let created = events.iter().filter(|event| matches!(event.what, Happening::Create(_)));
            created.filter(within).count()
        };
        assert!(created(10, 14) > 3 * created(0, 2).max(created(22, 24)));
    }
}
