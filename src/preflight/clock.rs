//! Whether the hosts agree on what time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::finding::{Check, Finding};
use crate::transport::{Error, Host, Script};

const CLOCK: Check = Check {
    name: "clock",
    checked: "the clock against the median of all hosts",
    expected: "less than 1 s off, or etcd complains; certificates are not valid on hosts that lag behind",
};

/// What etcd warns of.
const WARNING: f64 = 1.0;
/// A worker that lags so far behind is likely to see certificates that are not valid yet.
const ERROR: f64 = 10.0;

/// How far a host's clock is ahead of this machine's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offset {
    /// Seconds; negative when it is behind.
    pub seconds: f64,
    /// How wrong that may be: half of the time between question and answer.
    pub uncertainty: f64,
}

/// Reads a host's clock; `None` when its `date` knows no fractions of a second. The host is taken to have looked at
/// its clock halfway between question and answer.
///
/// # Errors
/// When the host is lost.
pub async fn read(host: &dyn Host) -> Result<Option<Offset>, Error> {
    let (wall, begun) = (SystemTime::now(), Instant::now());
    let output = host.run(Script::new("date +%s.%N").timeout(Duration::from_secs(20))).await?;
    let uncertainty = begun.elapsed().as_secs_f64() / 2.0;
    let here = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() + uncertainty;
    let there = String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().ok();
    Ok(there.map(|there| Offset { seconds: there - here, uncertainty }))
}

/// Compares all clocks. Hosts without a reading say so.
pub fn compare(readings: &[(&str, Option<Offset>)]) -> Vec<Finding> {
    let median =
        median(readings.iter().filter_map(|(_, offset)| *offset).map(|offset| offset.seconds).collect());
    readings
        .iter()
        .map(|(host, offset)| match (offset, median) {
            (Some(offset), Some(median)) => judge(host, *offset, median),
            _ => CLOCK.skipped(host, "its `date` tells no fractions of a second"),
        })
        .collect()
}

fn judge(host: &str, Offset { seconds, uncertainty }: Offset, median: f64) -> Finding {
    const FIX: &str = "let chrony or systemd-timesyncd keep the time on all hosts, from the same servers";
    let deviation = seconds - median;
    let sure = deviation.abs() - uncertainty;
    let direction = if deviation < 0.0 { "behind" } else { "ahead" };
    let observed = format!("{:.3} s {direction} (± {uncertainty:.3} s)", deviation.abs());
    if sure > ERROR {
        CLOCK.error(host, observed, FIX)
    } else if sure > WARNING {
        CLOCK.warning(host, observed, FIX)
    } else if uncertainty > WARNING {
        CLOCK.skipped(
            host,
            format!("the host took {:.1} s to answer: its clock cannot be read so", 2.0 * uncertainty),
        )
    } else {
        CLOCK.ok(host, observed)
    }
}

/// The middle one. Of two in the middle the one that is nearer to this machine's clock: between two hosts that is
/// the better guess at who is right.
fn median(mut offsets: Vec<f64>) -> Option<f64> {
    offsets.sort_by(f64::total_cmp);
    let (low, high) = (*offsets.get(offsets.len().checked_sub(1)? / 2)?, *offsets.get(offsets.len() / 2)?);
    Some(if low.abs() <= high.abs() { low } else { high })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        preflight::Severity::{self, Error, Ok, Skipped, Warning},
        transport::Local,
    };

    fn severities(offsets: &[(f64, f64)]) -> Vec<Severity> {
        let readings: Vec<_> = offsets
            .iter()
            .map(|(seconds, uncertainty)| {
                ("h", Some(Offset { seconds: *seconds, uncertainty: *uncertainty }))
            })
            .collect();
        compare(&readings).into_iter().map(|finding| finding.severity).collect()
    }

    #[test]
    fn the_one_that_is_off_is_named() {
        for (offsets, expected) in [
            (&[(0.0, 0.01)][..], vec![Ok]),
            // All are wrong together: certificates do not mind.
            (&[(500.0, 0.01), (500.2, 0.01)], vec![Ok, Ok]),
            (&[(0.0, 0.01), (0.1, 0.01), (3.0, 0.01)], vec![Ok, Ok, Warning]),
            (&[(0.0, 0.01), (-60.0, 0.01), (0.1, 0.01)], vec![Ok, Error, Ok]),
            (&[(-60.0, 0.01), (0.1, 0.01)], vec![Error, Ok]),
            // A slow answer excuses as much as it may have taken.
            (&[(0.0, 0.01), (1.5, 0.6), (0.1, 0.01)], vec![Ok, Ok, Ok]),
            (&[(0.0, 0.01), (1.5, 1.2), (0.1, 0.01)], vec![Ok, Skipped, Ok]),
            (&[(0.0, 0.01), (20.0, 1.2), (0.1, 0.01)], vec![Ok, Error, Ok]),
        ] {
            assert_eq!(severities(offsets), expected, "{offsets:?}");
        }
        let findings = compare(&[("a", None), ("b", Some(Offset { seconds: 0.0, uncertainty: 0.0 }))]);
        assert_eq!(findings[0].severity, Skipped);
        let behind = compare(&[("a", Some(Offset { seconds: 0.0, uncertainty: 0.0 })); 2]);
        assert_eq!(behind[0].observed, "0.000 s ahead (± 0.000 s)");
    }

    #[tokio::test]
    async fn a_shell_of_this_machine_has_this_machines_clock() {
        let host = Local::open("here").await.unwrap();
        let offset = read(&host).await.unwrap().unwrap();
        assert!(offset.seconds.abs() <= offset.uncertainty, "{offset:?}");
        assert!(offset.uncertainty > 0.0);
    }
}
