//! When a run is killed: at a part of its own progress, so that what takes it long is hit no less than its beginning.

use std::time::Duration;

use serde_json::Value;

/// A moment of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    /// So long after the program was started: while it connects and looks at hosts.
    Before(Duration),
    /// When this part of its steps has begun and ended, 0 to 1, and so long after: into what is at work then.
    Within { part: f64, later: Duration },
}

impl Moment {
    /// Any moment of a run whose longest step takes so many seconds.
    pub fn any(random: &mut fastrand::Rng, longest_step: f64) -> Moment {
        if random.u8(..10) == 0 {
            return Moment::Before(Duration::from_secs_f64(2.0 * random.f64()));
        }
        // A little more than all: when every step is done, hosts are read again and nodes waited for.
        let part = (1.1 * random.f64()).min(1.0);
        let into_a_step = if random.bool() { longest_step * random.f64() * random.f64() } else { 0.0 };
        Moment::Within { part, later: Duration::from_secs_f64(into_a_step) }
    }
}

/// How far a run is, by its events.
#[derive(Debug, Default)]
pub struct Progress {
    hosts: usize,
    /// How many steps hosts have said that they will make.
    steps: usize,
    /// How often a step has begun or ended.
    marks: usize,
}

impl Progress {
    /// Takes note of a line of JSON.
    pub fn hear(&mut self, event: &Value) {
        match event["event"].as_str() {
            Some("host-started") => {
                self.hosts += 1;
                self.steps += event["changes"].as_u64().map_or(0, |changes| changes as usize);
            }
            Some("step-started" | "step-done") => self.marks += 1,
            _ => {}
        }
    }

    /// Whether this part of the steps of so many hosts has begun and ended.
    pub fn reached(&self, hosts: usize, part: f64) -> bool {
        self.hosts == hosts && self.marks as f64 >= part * (2 * self.steps) as f64
    }
}

/// Fifty kills come to every quarter of a run, and to its steps as well as between them.
#[test]
fn moments_are_spread_over_the_whole_run() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut before, mut into_steps, mut quarters) = (0, 0, [0; 4]);
        for _ in 0..50 {
            match Moment::any(&mut random, 20.0) {
                Moment::Before(delay) => {
                    assert!(delay < Duration::from_secs(2));
                    before += 1;
                }
                Moment::Within { part, later } => {
                    assert!((0.0..=1.0).contains(&part) && later < Duration::from_secs(20));
                    quarters[((part * 4.0) as usize).min(3)] += 1;
                    into_steps += usize::from(later > Duration::ZERO);
                }
            }
        }
        assert!(before < 15 && into_steps > 10, "seed {seed}: {before}, {into_steps}");
        assert!(quarters.iter().all(|count| *count >= 3), "seed {seed}: {quarters:?}");
    }
    let moments = || Moment::any(&mut fastrand::Rng::with_seed(7), 20.0);
    assert_eq!(moments(), moments(), "the seed decides");
}

#[test]
fn progress_is_told_by_what_a_run_tells() {
    use hoist::engine::Event;
    let names = |host: &str, step: &str| (host.to_string(), "base".to_string(), step.to_string());
    let started = |host: &str, changes| Event::HostStarted { host: host.into(), changes };
    let begins = |host: &str, step: &str| {
        let (host, role, step) = names(host, step);
        Event::StepStarted { host, role, step, summary: String::new() }
    };
    let ends = |host: &str, step: &str| {
        let (host, role, step) = names(host, step);
        Event::StepDone { host, role, step, seconds: 0.1 }
    };
    // Two steps on one host and two on another: each quarter of the run is two marks.
    let events = [
        started("cp1", 2),
        begins("cp1", "a"),
        started("w1", 2),
        ends("cp1", "a"),
        begins("w1", "a"),
        begins("w1", "b"),
        Event::RoleDone { host: "cp1".into(), role: "base".into(), seconds: 0.1 },
        ends("w1", "a"),
        ends("w1", "b"),
        begins("cp1", "b"),
        ends("cp1", "b"),
    ];
    let reached_at = |part: f64| {
        let mut progress = Progress::default();
        events.iter().position(|event| {
            progress.hear(&serde_json::from_str(&event.line(jiff::Timestamp::UNIX_EPOCH)).unwrap());
            progress.reached(2, part)
        })
    };
    // Not before both hosts have said how much there is to do.
    assert_eq!(reached_at(0.0), Some(2));
    assert_eq!(reached_at(0.25), Some(3));
    assert_eq!(reached_at(0.5), Some(5));
    assert_eq!(reached_at(0.51), Some(7));
    assert_eq!(reached_at(1.0), Some(10));
    assert_eq!(reached_at(1.01), None);
}
