//! What is told, and what was told already.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use crate::burst::time::Time;

/// Something that people should know, in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub time: Time,
    pub kind: Kind,
    /// The claim, pod or part that it is about.
    pub about: String,
    pub message: String,
}

/// What kind of thing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// This controller leads, or another.
    Lead,
    /// How it is with the gateway.
    Gateway,
    /// A claim was made, went on, or is gone.
    Claim,
    /// What belonged to nobody is being ended.
    Collected,
    /// A pod that nothing is rented for though it waits.
    Unplaced,
    /// Nodes are wanted and not launched.
    HeldBack,
    /// What cannot be rented, and why.
    Market,
    /// Something failed and is tried again.
    Trouble,
}

/// `2026-01-02T03:04:05Z burst-1: message`
impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Time(self.time.0 / 1000 * 1000);
        write!(formatter, "{seconds} ")?;
        if self.kind == Kind::Trouble {
            write!(formatter, "trouble: ")?;
        }
        if !self.about.is_empty() {
            write!(formatter, "{}: ", self.about)?;
        }
        formatter.write_str(&self.message)
    }
}

/// How long something has to be away before it is told as new. Longer than the longest pause before EC2 is asked again, so
/// that one trouble is told once, however often it is met.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// How long a trouble is shown after it was met.
const RECENT: Duration = Duration::from_secs(90);

/// What was told and still holds.
#[derive(Debug, Clone, Default)]
pub struct Memory(BTreeMap<(Kind, String), (String, Time)>);

impl Memory {
    /// Whether this is news: it was not so, or it was something else.
    pub fn is_new(&mut self, kind: Kind, about: &str, message: &str, now: Time) -> bool {
        self.0.retain(|_, (_, seen)| now.since(*seen) < FORGOTTEN);
        let before = self.0.insert((kind, about.to_owned()), (message.to_owned(), now));
        before.is_none_or(|(told, _)| told != message)
    }

    /// What was met of this kind in the last 90 s: longer than the longest pause before EC2 is asked again.
    pub fn recent(&self, kind: Kind, now: Time) -> Vec<String> {
        let met = self.0.iter().filter(|((it, _), (_, seen))| *it == kind && now.since(*seen) < RECENT);
        met.map(|(_, (message, _))| message.clone()).collect()
    }

    /// What was so is so no more: it is news when it comes again.
    pub fn forget(&mut self, kind: Kind, about: &str) -> bool {
        self.0.remove(&(kind, about.to_owned())).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_told_once_and_again_when_it_changes_or_comes_back_late() {
        let mut memory = Memory::default();
        let mut new =
            |second: u64, message: &str| memory.is_new(Kind::Trouble, "ec2", message, Time(second * 1000));
        assert!(new(0, "throttled"));
        assert!(!new(2, "throttled"));
        assert!(!new(500, "throttled"));
        assert!(new(502, "denied"));
        assert!(!new(1100, "denied"), "it was met again before it was forgotten");
        assert!(new(1700, "denied"), "ten minutes later");
        let recent = |second: u64| memory.recent(Kind::Trouble, Time(second * 1000));
        assert_eq!((recent(1789), recent(1790)), (vec!["denied".to_owned()], vec![]));
    }

    #[test]
    fn a_line_begins_with_when_and_whom_it_is_about() {
        let mut line = Line {
            time: Time(1_767_323_045_678),
            kind: Kind::Claim,
            about: "burst-1".into(),
            message: "is ready".into(),
        };
        assert_eq!(line.to_string(), "2026-01-02T03:04:05Z burst-1: is ready");
        (line.kind, line.about) = (Kind::Trouble, String::new());
        assert_eq!(line.to_string(), "2026-01-02T03:04:05Z trouble: is ready");
    }
}
