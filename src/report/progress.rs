//! A run as it happens: one line a host on a terminal, one line an event elsewhere, JSON lines for programs.

use std::{collections::HashMap, io::Write as _, time::Instant};

use console::style;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::engine::Event;

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

    /// Shows events until there are no more.
    pub async fn follow(mut self, mut events: UnboundedReceiver<Event>) {
        while let Some(event) = events.recv().await {
            self.show(&event);
        }
    }

    fn show(&mut self, event: &Event) {
        match self {
            Progress::Json => {
                if let Ok(line) = serde_json::to_string(event) {
                    // A reader that went away does not stop the run.
                    let _ = writeln!(std::io::stdout(), "{line}");
                }
            }
            Progress::Plain { begun } => {
                if let Some((host, text)) = words(event) {
                    eprintln!("{:7.1} s  {host:<12} {text}", begun.elapsed().as_secs_f64());
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
                let bar = hosts.entry(host.to_string()).or_insert_with(|| bars.add(bar(host)));
                match event {
                    Event::HostDone { .. } | Event::HostFailed { .. } | Event::HostBlocked { .. } => {
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
        Event::HostStarted { host, changes: 0 } => (host, "nothing to change".to_string()),
        Event::HostStarted { host, changes } => (host, format!("{changes} statements to make true")),
        Event::Waiting { host, role, step, value } => {
            (host, format!("{role}: {step}: waits for \"{value}\""))
        }
        Event::StepStarted { host, role, summary, .. } => (host, format!("{role}: {summary}")),
        Event::HostDone { host, changes, seconds } => {
            (host, format!("{} {changes} changes in {seconds:.1} s", style("done:").green()))
        }
        Event::HostFailed { host, failure } => (host, format!("{} {}", style("failed:").red(), failure.what)),
        Event::HostBlocked { host, by, .. } => (host, format!("{} needs {by}", style("blocked:").red())),
        Event::Sent { .. } | Event::StepDone { .. } | Event::RoleDone { .. } => return None,
    })
}
