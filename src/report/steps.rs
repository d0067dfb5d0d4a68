//! Progress of work that is a short list of long steps.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::tell_line;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It did its work.
    Done,
    /// It failed; the error that follows says why.
    Failed,
}

/// Who is told how a list of steps goes. One step runs at a time: `begin`, any number of `line`, `end`.
pub trait Progress {
    /// A step begins that takes about `expected`.
    fn begin(&mut self, title: &str, expected: Duration);
    /// The newest thing the step has to say.
    fn line(&mut self, line: &str);
    /// The step is over.
    fn end(&mut self, ended: Ended);
    /// A step that need not begin: its result is there already.
    fn cached(&mut self, title: &str);
}

/// For callers that show nothing.
#[derive(Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _title: &str, _expected: Duration) {}
    fn line(&mut self, _line: &str) {}
    fn end(&mut self, _ended: Ended) {}
    fn cached(&mut self, _title: &str) {}
}

/// Does a step and tells how it goes.
///
/// # Errors
/// Those of `work`.
pub fn step<T, E>(
    progress: &mut dyn Progress,
    title: &str,
    expected: Duration,
    work: impl FnOnce(&mut dyn Progress) -> Result<T, E>,
) -> Result<T, E> {
    progress.begin(title, expected);
    let done = work(progress);
    progress.end(if done.is_ok() { Ended::Done } else { Ended::Failed });
    done
}

/// Progress on standard error: a spinner on a terminal, one line a step elsewhere.
pub fn on_stderr() -> Box<dyn Progress> {
    if io::stderr().is_terminal() { Box::new(Spinner::default()) } else { Box::new(Plain::new(io::stderr())) }
}

/// A spinner with elapsed and expected time and the last output line.
#[derive(Default)]
struct Spinner {
    current: Option<(ProgressBar, String)>,
}

impl Progress for Spinner {
    fn begin(&mut self, title: &str, expected: Duration) {
        let bar = ProgressBar::new_spinner();
        let template = format!(
            "{{spinner:.cyan}} {{prefix}} {{elapsed}} of about {} {{wide_msg:.dim}}",
            seconds(expected)
        );
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.set_prefix(title.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        self.current = Some((bar, title.to_owned()));
    }

    fn line(&mut self, line: &str) {
        if let Some((bar, _)) = &self.current {
            bar.set_message(printable(line));
        }
    }

    fn end(&mut self, ended: Ended) {
        if let Some((bar, title)) = self.current.take() {
            bar.finish_and_clear();
            let mark = match ended {
                Ended::Done => console::style("✔").green(),
                Ended::Failed => console::style("✘").red(),
            };
            tell_line(format_args!("{} {}", mark.for_stderr(), outcome(&title, ended, bar.elapsed())));
        }
    }

    fn cached(&mut self, title: &str) {
        tell_line(format_args!("{} {title} … already there", console::style("✔").green().for_stderr()));
    }
}

/// Lines for logs: one when a step begins, one when it ends.
struct Plain<W: Write> {
    out: W,
    current: Option<(String, Instant)>,
}

impl<W: Write> Plain<W> {
    fn new(out: W) -> Self {
        Self { out, current: None }
    }

    fn print(&mut self, line: &str) {
        // Nobody can be told that progress cannot be shown; the work goes on.
        let _ = writeln!(self.out, "{line}");
    }
}

impl<W: Write> Progress for Plain<W> {
    fn begin(&mut self, title: &str, expected: Duration) {
        self.print(&format!("{title} … about {}", seconds(expected)));
        self.current = Some((title.to_owned(), Instant::now()));
    }

    fn line(&mut self, _line: &str) {}

    fn end(&mut self, ended: Ended) {
        if let Some((title, since)) = self.current.take() {
            self.print(&outcome(&title, ended, since.elapsed()));
        }
    }

    fn cached(&mut self, title: &str) {
        self.print(&format!("{title} … already there"));
    }
}

fn outcome(title: &str, ended: Ended, took: Duration) -> String {
    match ended {
        Ended::Done => format!("{title} … done in {}", seconds(took)),
        Ended::Failed => format!("{title} … failed after {}", seconds(took)),
    }
}

/// A duration as people say it: `0.4 s`, `51 s`, `6 min 20 s`.
pub fn seconds(duration: Duration) -> String {
    let tenths = duration.as_millis().div_ceil(100);
    if tenths < 100 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let whole = duration.as_secs();
    match (whole / 60, whole % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// Output of other programs without what would move the cursor.
fn printable(line: &str) -> String {
    console::strip_ansi_codes(line).chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (millis, expected) in [
            (0, "0.0 s"),
            (380, "0.4 s"),
            (9_900, "9.9 s"),
            (10_000, "10 s"),
            (51_900, "51 s"),
            (60_000, "1 min"),
            (380_000, "6 min 20 s"),
        ] {
            assert_eq!(seconds(Duration::from_millis(millis)), expected, "{millis}");
        }
    }

    #[test]
    fn plain_progress_is_two_lines_a_step() {
        let mut plain = Plain::new(Vec::new());
        plain.begin("images", Duration::from_secs(12));
        plain.line("unpacking");
        plain.end(Ended::Failed);
        plain.cached("node root file system");
        assert_eq!(
            String::from_utf8(plain.out).unwrap(),
            "images … about 12 s\nimages … failed after 0.0 s\nnode root file system … already there\n"
        );
    }

    #[test]
    fn output_cannot_move_the_cursor() {
        assert_eq!(printable("\u{1b}[31mred\u{1b}[0m\r\u{8}x"), "redx");
    }
}
