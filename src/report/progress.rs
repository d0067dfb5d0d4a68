//! A run as it happens: one line a host on a terminal, one line an event elsewhere, JSON lines for programs and the log.

use std::{collections::HashMap, io::Write as _, time::Instant};

use console::style;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{count, tell_line};
use crate::engine::{Event, Log};

/// Where a run is shown.
pub enum Progress {
    /// A terminal: hosts are lines that change in place.
    Terminal { bars: MultiProgress, hosts: HashMap<String, ProgressBar> },
    /// A pipe or a file: what happened, line by line, on standard error.
    Plain { begun: Instant },
    /// One JSON object an event, on standard output.
    Json,
}

impl Progress {
    /// What fits where standard error goes.
    pub fn new(json: bool) -> Progress {
        if json {
            Progress::Json
        } else if console::user_attended_stderr() {
            Progress::Terminal { bars: MultiProgress::new(), hosts: HashMap::new() }
        } else {
            Progress::Plain { begun: Instant::now() }
        }
    }

    /// Shows events until there are no more, and writes all of them to the log.
    pub async fn follow(mut self, mut events: UnboundedReceiver<Event>, mut log: Option<Log>) {
        while let Some(event) = events.recv().await {
            let line = event.line(Timestamp::now());
            // Neither a reader that went away nor a log that cannot be written stops a run: the journal does.
            if let Some(Err(error)) = log.as_mut().map(|log| log.write(&line)) {
                tell_line(format_args!("the log of this run ends here: {error}"));
                log = None;
            }
            self.show(&event, &line);
        }
    }

    fn show(&mut self, event: &Event, line: &str) {
        match self {
            Progress::Json => {
                let _ = writeln!(std::io::stdout(), "{line}");
            }
            Progress::Plain { begun } => {
                if let Some((host, text)) = words(event) {
                    tell_line(format_args!("{:7.1} s  {host:<12} {text}", begun.elapsed().as_secs_f64()));
                }
            }
            Progress::Terminal { bars, hosts } => {
                let Some((host, text)) = words(event) else {
                    if let Event::Sent { host, step, bytes } = event
                        && let Some(bar) = hosts.get(host)
                    {
                        bar.set_message(format!("{step}: {} MiB sent", bytes >> 20));
                    }
                    return;
                };
                if let Event::Interrupted { .. } = event {
                    // Its host's line is about what happens now.
                    let _ = bars.println(format!("{host}: {text}"));
                    return;
                }
                let bar = hosts.entry(host.to_string()).or_insert_with(|| bars.add(bar(host)));
                match event {
                    Event::HostDone { .. }
                    | Event::HostFailed { .. }
                    | Event::HostBlocked { .. }
                    | Event::AddonDone { .. }
                    | Event::AddonFailed { .. }
                    | Event::AddonBlocked { .. } => {
                        bar.finish_with_message(text);
                    }
                    _ => bar.set_message(text),
                }
            }
        }
    }
}

fn bar(host: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_prefix(host.to_string());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:12.bold} {elapsed:>4} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    bar
}

/// The host and what happened to it; nothing for what would only be noise.
fn words(event: &Event) -> Option<(&str, String)> {
    Some(match event {
        Event::HostStarted { changes: 0, .. } | Event::HostDone { changes: 0, .. } => return None,
        Event::HostStarted { host, changes } => {
            (host, format!("{} to make true", count(*changes, "statement")))
        }
        Event::Waiting { host, role, step, value, from } => {
            (host, format!("{role}: {step}: waits for \"{value}\" from {}", from.join(" or ")))
        }
        Event::Interrupted { host, role, step } => {
            let text = "was in flight when the run before was interrupted; it is looked at again";
            (host, format!("{role}: {step}: {text}"))
        }
        Event::StepStarted { host, role, summary, .. } => (host, format!("{role}: {summary}")),
        Event::HostDone { host, changes, seconds } => {
            (host, format!("{} {} in {seconds:.1} s", style("done:").green(), count(*changes, "change")))
        }
        Event::HostFailed { host, failure } => (host, format!("{} {}", style("failed:").red(), failure.what)),
        Event::HostBlocked { host, by, .. } => (host, format!("{} needs {by}", style("blocked:").red())),
        Event::Fallback { host, step, from, reason } => {
            (host, format!("{step}: it does not come from {from}: {reason}"))
        }
        Event::NotPassedOn { host, step, reason } => {
            (host, format!("{step}: others do not get it from here: {reason}"))
        }
        Event::NodeMarked { node, summary } => (node, summary.clone()),
        Event::AddonStarted { addon, changes } => (addon, count(*changes, "change")),
        Event::AddonStep { addon, step } => (addon, step.clone()),
        Event::AddonWaits { addon, reason } => (addon, format!("waits: {reason}")),
        Event::AddonProved { addon, gate, seen } => (addon, format!("{gate}: {}", seen.join("; "))),
        Event::AddonDone { addon, changes, seconds } => {
            (addon, format!("{} {} in {seconds:.1} s", style("done:").green(), count(*changes, "change")))
        }
        Event::AddonFailed { addon, failure } => {
            (addon, format!("{} {}", style("failed:").red(), failure.what))
        }
        Event::AddonBlocked { addon, by } => (addon, format!("{} needs {by}", style("blocked:").red())),
        // What became of these is said before the run begins, and after it has ended.
        Event::HostUnreached { .. } | Event::Warned { .. } | Event::RunEnded { .. } => return None,
        Event::Sent { .. } | Event::Received { .. } | Event::StepDone { .. } | Event::RoleDone { .. } => {
            return None;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_who_is_waited_for() {
        let host = || "w1".to_string();
        let waiting = Event::Waiting {
            host: host(),
            role: "worker".into(),
            step: "joins".into(),
            value: "join".into(),
            from: vec!["cp1".into(), "cp2".into()],
        };
        let interrupted = Event::Interrupted { host: host(), role: "worker".into(), step: "joins".into() };
        for (event, text) in [
            (
                interrupted,
                Some(
                    "worker: joins: was in flight when the run before was interrupted; it is looked at again",
                ),
            ),
            (Event::HostStarted { host: host(), changes: 1 }, Some("1 statement to make true")),
            (Event::HostStarted { host: host(), changes: 0 }, None),
            (waiting, Some("worker: joins: waits for \"join\" from cp1 or cp2")),
            (Event::HostDone { host: host(), changes: 1, seconds: 1.0 }, Some("done: 1 change in 1.0 s")),
            (Event::HostDone { host: host(), changes: 2, seconds: 1.0 }, Some("done: 2 changes in 1.0 s")),
        ] {
            let said = words(&event).map(|(_, text)| console::strip_ansi_codes(&text).into_owned());
            assert_eq!(said.as_deref(), text, "{event:?}");
        }
    }
}
