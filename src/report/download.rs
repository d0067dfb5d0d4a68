//! A download as it happens: one bar on a terminal, a line a file elsewhere.

use std::time::Instant;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::tell_line;
use crate::artifact::Event;

/// Where a download is shown: on standard error.
pub struct Download {
    bar: ProgressBar,
    terminal: bool,
    begun: Instant,
}

impl Download {
    /// What fits where standard error goes.
    pub fn new() -> Download {
        let terminal = console::user_attended_stderr();
        let bar = if terminal { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let template = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {wide_msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Download { bar, terminal, begun: Instant::now() }
    }

    /// Shows an event.
    pub fn show(&self, event: Event<'_>) {
        match event {
            Event::Begun { bytes, files } => {
                self.bar.set_length(bytes);
                if !self.terminal {
                    tell_line(format_args!("{files} files, {}", HumanBytes(bytes)));
                }
            }
            Event::Grown(bytes) if bytes < 0 => self.bar.dec(bytes.unsigned_abs()),
            Event::Grown(bytes) => self.bar.inc(bytes.unsigned_abs()),
            Event::Done(what) if self.terminal => self.bar.set_message(what.to_owned()),
            Event::Done(what) => {
                tell_line(format_args!("{:7.1} s  {what}", self.begun.elapsed().as_secs_f64()))
            }
        }
    }

    /// Takes the bar away.
    pub fn end(self) {
        self.bar.finish_and_clear();
    }
}

impl Default for Download {
    fn default() -> Self {
        Download::new()
    }
}
