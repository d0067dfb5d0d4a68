//! Pods that nodes were rented for in vain: the scheduler refuses them for a reason that the packer does not know, such as a
//! plugin of its own or a limit on volumes. Without a memory of them the same node would be rented, stay empty and be
//! given back for ever.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::burst::time::Time;

/// So many are remembered: about 300 KiB of the mebibyte that a Secret takes. Of more, those whose pause ends last.
const MOST: usize = 4000;
const FIRST: Duration = Duration::from_secs(3600);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Pods for which a node stood ready, and was given back without anything having run there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InVain {
    /// By the pod's mark, which is another one when the pod is changed or replaced.
    pods: BTreeMap<String, Pause>,
}

/// For how long a pod is no reason to rent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// How many nodes were rented for it.
    pub times: u32,
    pub until: Time,
}

impl Pause {
    /// A clock that was set back makes no pause longer.
    fn holds(&self, now: Time) -> bool {
        now < self.until && self.until.since(now) <= LONGEST
    }
}

impl InVain {
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// The pause of the pod with this mark, if it is not over.
    pub fn pause(&self, mark: &str, now: Time) -> Option<Pause> {
        self.pods.get(mark).copied().filter(|pause| pause.holds(now))
    }

    /// A node was rented for these and has stayed empty: a pause of an hour, twice that each further time, up to a day. One
    /// that pauses already is counted once: several nodes can have stood empty at the same time.
    pub fn learn<'a>(&mut self, marks: impl IntoIterator<Item = &'a String>, now: Time) {
        for mark in marks {
            let pause = self.pods.entry(mark.clone()).or_insert(Pause { times: 0, until: Time(0) });
            if !pause.holds(now) {
                let length = FIRST.saturating_mul(1 << pause.times.min(16)).min(LONGEST);
                *pause = Pause { times: pause.times.saturating_add(1), until: now.after(length) };
            }
        }
        self.prune(now);
    }

    /// Forgets pods a day after their pause.
    fn prune(&mut self, now: Time) {
        self.pods
            .retain(|_, pause| pause.holds(now) || now.since(pause.until) < LONGEST && now >= pause.until);
        if let Some(over) = self.pods.len().checked_sub(MOST).filter(|over| *over > 0) {
            let mut ends: Vec<(Time, String)> =
                self.pods.iter().map(|(mark, pause)| (pause.until, mark.clone())).collect();
            ends.sort();
            for (_, mark) in &ends[..over] {
                self.pods.remove(mark);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::burst::claim::Book;

    const HOUR: u64 = 3_600_000;

    fn marks(from: u64, to: u64) -> Vec<String> {
        (from..to).map(|number| format!("{number:016x}")).collect()
    }

    #[test]
    fn pauses_double_from_an_hour_to_a_day_and_are_forgotten_a_day_later() {
        let (mut vain, one) = (InVain::default(), marks(0, 1));
        let mut now = Time(0);
        for (times, hours) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 24), (7, 24)] {
            vain.learn(&one, now);
            vain.learn(&one, Time(now.0 + 1));
            let end = Time(now.0 + hours * HOUR);
            assert_eq!(vain.pause(&one[0], now), Some(Pause { times, until: end }));
            assert_eq!(vain.pause(&one[0], end), None);
            now = Time(end.0 + HOUR);
        }
        assert_eq!(vain.pause("another", Time(1)), None);
        vain.learn(&[], Time(now.0 + 22 * HOUR));
        assert!(!vain.is_empty());
        vain.learn(&[], Time(now.0 + 23 * HOUR));
        assert!(vain.is_empty());
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_pause_longer() {
        let (mut vain, one) = (InVain::default(), marks(0, 1));
        vain.learn(&one, Time(1000 * HOUR));
        assert_eq!(vain.pause(&one[0], Time(0)), None);
        vain.learn(&one, Time(0));
        assert!(vain.pause(&one[0], Time(1)).is_some_and(|pause| pause.until <= Time(24 * HOUR)));
    }

    #[test]
    fn the_book_stays_small_and_one_without_them_is_read() {
        let mut vain = InVain::default();
        vain.learn(&marks(0, 100), Time(0));
        vain.learn(&marks(100, 9000), Time(1000));
        assert_eq!(vain.pods.len(), MOST);
        assert_eq!(vain.pause(&marks(0, 1)[0], Time(2000)), None, "it ends first");
        let book = Book { in_vain: vain, ..Book::default() };
        let text = serde_json::to_string(&book).unwrap();
        // As a Secret has it.
        assert!(text.len() / 3 * 4 < 512 * 1024, "{}", text.len());
        assert_eq!(serde_json::from_str::<Book>(&text).unwrap(), book);
        let older = serde_json::to_value(Book::default()).unwrap();
        assert!(older.get("in_vain").is_none(), "an older hoist reads a book without them, too: {older}");
        assert_eq!(serde_json::from_value::<Book>(older).unwrap(), Book::default());
    }
}
