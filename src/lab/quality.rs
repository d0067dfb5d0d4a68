//! How bad a slow link is: delay, loss and rate, and when a frame comes out of it.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// How far a link may lag behind its rate before it drops what comes in, as a router with a full buffer does.
const BACKLOG: Duration = Duration::from_secs(1);

/// What a slow link does to each frame, in each direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Quality {
    /// Held back for so many milliseconds; a round trip takes twice as long.
    pub delay_ms: u32,
    /// So many of a million frames are lost.
    pub loss_ppm: u32,
    /// So many bits a second pass at most.
    pub rate: Option<u64>,
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        if self.delay_ms > 0 {
            words.push(format!("{}ms", self.delay_ms));
        }
        if self.loss_ppm > 0 {
            words.push(format!("{}%", f64::from(self.loss_ppm) / 10_000.0));
        }
        if let Some(rate) = self.rate {
            words.push(match rate {
                _ if rate % 1_000_000 == 0 => format!("{}mbit", rate / 1_000_000),
                _ => format!("{}kbit", rate / 1000),
            });
        }
        f.write_str(&words.join(" "))
    }
}

/// A delay on the command line: `100ms` or `2s`, at most ten seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay(pub u32);

impl FromStr for Delay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = if let Some(number) = text.strip_suffix("ms") {
            (number, 1)
        } else {
            (text.strip_suffix('s').unwrap_or_default(), 1000)
        };
        let milliseconds = number.parse::<u32>().ok().and_then(|number| number.checked_mul(unit));
        milliseconds
            .filter(|milliseconds| (1..=10_000).contains(milliseconds))
            .map(Self)
            .ok_or_else(|| "expected 1ms to 10s, such as 100ms".to_owned())
    }
}

/// A loss on the command line: `1%` or `0.5%`, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss(pub u32);

impl FromStr for Loss {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
        percent
            .filter(|percent| (0.0001..=100.0).contains(percent))
            // Between 1 and a million after the check above.
            .map(|percent| Self((percent * 10_000.0).round() as u32))
            .ok_or_else(|| "expected 0.0001% to 100%, such as 1% (to lose all, `hoist lab cut`)".to_owned())
    }
}

/// A rate on the command line: `512kbit`, `10mbit` or `1gbit` a second, as tc(8) writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(pub u64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [("kbit", 1_000), ("mbit", 1_000_000), ("gbit", 1_000_000_000)]
            .iter()
            .find_map(|(unit, factor)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*factor))
            .filter(|rate| *rate > 0)
            .map(Self)
            .ok_or_else(|| "expected a number of kbit, mbit or gbit, such as 10mbit".to_owned())
    }
}

/// One direction of a slow link at work.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    quality: Quality,
    /// When the last frame has passed at the link's rate.
    free: Option<Instant>,
}

impl Pace {
    pub(crate) fn of(quality: Quality) -> Self {
        Self { quality, free: None }
    }

    /// When a frame of `bytes` that comes in `now` comes out; never when it is lost. `dice` is a random number.
    pub(crate) fn due(&mut self, now: Instant, bytes: usize, dice: u32) -> Option<Instant> {
        if (u64::from(dice) * 1_000_000) >> 32 < u64::from(self.quality.loss_ppm) {
            return None;
        }
        let mut passed = now;
        if let Some(rate) = self.quality.rate {
            let begin = self.free.map_or(now, |free| free.max(now));
            if begin - now > BACKLOG {
                return None;
            }
            passed = begin + Duration::from_secs_f64(bytes as f64 * 8.0 / rate as f64);
            self.free = Some(passed);
        }
        Some(passed + Duration::from_millis(self.quality.delay_ms.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_and_read() {
        assert_eq!("100ms".parse(), Ok(Delay(100)));
        assert_eq!("2s".parse(), Ok(Delay(2000)));
        assert_eq!("0.5%".parse(), Ok(Loss(5000)));
        assert_eq!("100%".parse(), Ok(Loss(1_000_000)));
        assert_eq!("512kbit".parse(), Ok(Rate(512_000)));
        assert_eq!("1gbit".parse(), Ok(Rate(1_000_000_000)));
        for text in ["", "ms", "s", "0ms", "11s", "5", "-1ms", "1.5s", "99999999999s", "1m"] {
            assert!(text.parse::<Delay>().is_err(), "{text}");
        }
        for text in ["", "%", "1", "0%", "101%", "-1%", "nan%", "inf%"] {
            assert!(text.parse::<Loss>().is_err(), "{text}");
        }
        for text in ["", "10", "0mbit", "mbit", "-1kbit", "99999999999999999999kbit", "9999999999999gbit"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for (quality, text) in [
            (Quality { delay_ms: 100, ..Quality::default() }, "100ms"),
            (Quality { loss_ppm: 5000, rate: Some(512_000), ..Quality::default() }, "0.5% 512kbit"),
            (Quality { delay_ms: 2000, loss_ppm: 10_000, rate: Some(10_000_000) }, "2000ms 1% 10mbit"),
        ] {
            assert_eq!(quality.to_string(), text);
        }
    }

    #[test]
    fn delay_and_rate_add_up_and_a_full_buffer_drops() {
        let begin = Instant::now();
        let after = |pace: &mut Pace, bytes| {
            pace.due(begin, bytes, u32::MAX).map(|due| due.duration_since(begin).as_millis())
        };
        let mut pace = Pace::of(Quality { delay_ms: 100, loss_ppm: 0, rate: None });
        assert_eq!([after(&mut pace, 1500), after(&mut pace, 1500)], [Some(100), Some(100)]);
        // 1000 bytes are 8 ms at 1 Mbit/s.
        let mut pace = Pace::of(Quality { delay_ms: 100, loss_ppm: 0, rate: Some(1_000_000) });
        assert_eq!([after(&mut pace, 1000), after(&mut pace, 1000)], [Some(108), Some(116)]);
        assert_eq!(after(&mut pace, 125_000), Some(1116));
        assert_eq!(after(&mut pace, 1), None, "a second of frames waits already");
        let later = begin + Duration::from_secs(10);
        assert_eq!(pace.due(later, 1000, u32::MAX), Some(later + Duration::from_millis(108)));
    }

    #[test]
    fn as_many_frames_are_lost_as_asked_for() {
        let lost = |loss_ppm| {
            let mut pace = Pace::of(Quality { delay_ms: 0, loss_ppm, rate: None });
            // One more than the share: zero is the first.
            let dice = (0..10_000_u32).map(|step| step * (u32::MAX / 10_000));
            dice.filter(|dice| pace.due(Instant::now(), 1, *dice).is_none()).count()
        };
        assert_eq!([lost(0), lost(10_000), lost(500_000), lost(1_000_000)], [0, 101, 5001, 10_000]);
    }
}
