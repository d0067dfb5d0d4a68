//! How fast a disk really writes, where etcd will.

use std::time::Duration;

use super::finding::{Check, Finding};
use crate::transport::{Error, Host, Script};

const FSYNC: Check = Check {
    name: "disk-fsync",
    checked: "how long a write of 2 KiB and fdatasync(2) take on the file system of etcd",
    expected: "99 of 100 within 10 ms, or etcd loses its leader now and then",
};

/// How many writes are made, unless time runs out: enough for a 99th percentile that one slow write does not make.
const WRITES: usize = 300;
/// Fewer tell nothing about the slowest hundredth.
const ENOUGH: usize = 100;
/// When it stops. A disk for which this is too short is far too slow.
const SECONDS: u32 = 10;
/// etcd's documentation: the 99th percentile of `wal_fsync_duration_seconds` should be under 10 ms.
const LIMIT: Duration = Duration::from_millis(10);

/// Writes as etcd's log does: a few KiB each, one after the other, into a file that has its length already, and each on
/// the disk before the next. dd tells the time of each write by itself, which the start of the process is no part of.
/// The file has lost its name before anything is written into it, so that nothing is left whenever this ends.
const SCRIPT: &str = r#"folder=$wanted
while [ ! -d "$folder" ]; do folder=${folder%/*} folder=${folder:-/}; done
file=$folder/.hoist-fsync
rm -f "$file"
exec 9>"$file" && rm -f "$file" || exit 1
findmnt -n -o TARGET,SOURCE,FSTYPE -T "$folder" 2>/dev/null | { read -r target source type && echo "on $source ($type) at $target"; }
dd if=/dev/zero of=/proc/self/fd/9 bs=2048 count="$writes" conv=notrunc,fdatasync 2>&1 || exit 1
echo begin
read -r now rest </proc/uptime
end=$((${now%.*} + seconds))
write=0
while [ "$write" -lt "$writes" ] && [ "${now%.*}" -lt "$end" ]; do
	dd if=/dev/zero of=/proc/self/fd/9 bs=2048 count=1 seek="$write" conv=notrunc,fdatasync 2>&1 || exit 1
	write=$((write + 1))
	read -r now rest </proc/uptime
done
"#;

fn script(folder: &str) -> String {
    format!("wanted={folder} writes={WRITES} seconds={SECONDS}\n{SCRIPT}")
}

/// Measures where `folder` is or will be. The answer of a host where that is not possible is a finding, too.
///
/// # Errors
/// When the host is lost.
pub async fn measure(host: &dyn Host, folder: &str) -> Result<Finding, Error> {
    let output = match host.run(Script::new(script(folder))).await {
        Ok(output) => output,
        Err(Error::Timeout { seconds, .. }) => {
            let observed = format!("it was not done after {seconds} s");
            return Ok(FSYNC.warning(host.name(), observed, fix(folder)));
        }
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status != 0 {
        let last = [text.as_ref(), &String::from_utf8_lossy(&output.stderr)].concat();
        let last = last.lines().last().unwrap_or("it printed nothing").to_owned();
        return Ok(FSYNC.skipped(host.name(), format!("dd did not work: {last}")));
    }
    let (place, measured) = text.split_once("begin\n").unwrap_or_default();
    let place = place.lines().find(|line| line.starts_with("on ")).unwrap_or("below /var/lib");
    Ok(judge(host.name(), folder, place, measured.lines().filter_map(seconds).collect()))
}

fn fix(folder: &str) -> String {
    format!(
        "put {folder} on an SSD of its own, best one with power-loss protection; in a virtual machine, on a datastore \
         that is not shared with busy neighbours"
    )
}

/// Reads dd's `2048 bytes (2.0 kB, 2.0 KiB) copied, 0.0123 s, 166 kB/s`.
fn seconds(line: &str) -> Option<Duration> {
    let (_, rest) = line.split_once(" copied, ")?;
    let (seconds, _) = rest.split_once(" s")?;
    Duration::try_from_secs_f64(seconds.parse().ok()?).ok()
}

/// From how long each write took.
fn judge(host: &str, folder: &str, place: &str, mut writes: Vec<Duration>) -> Finding {
    writes.sort();
    // The nearest-rank method: the smallest value that 99 % do not exceed.
    let percentile = |percent: usize| writes.get((writes.len() * percent).div_ceil(100).saturating_sub(1));
    let (Some(median), Some(slow), Some(slowest)) = (percentile(50), percentile(99), writes.last()) else {
        return FSYNC.skipped(host, "dd does not tell how long it took");
    };
    let observed = format!(
        "99 of 100 within {}; half of them within {}, the slowest {} ({} writes {place})",
        milliseconds(*slow),
        milliseconds(*median),
        milliseconds(*slowest),
        writes.len()
    );
    if *slow >= LIMIT {
        FSYNC.warning(host, observed, fix(folder))
    } else if writes.len() < ENOUGH {
        FSYNC.skipped(host, format!("the host was too busy to measure: {observed}"))
    } else {
        FSYNC.ok(host, observed)
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    const FOLDER: &str = "/var/lib/etcd";
    use std::{
        io::{BufRead, BufReader},
        path::Path,
        process::{Command, Stdio},
    };

    use super::*;
    use crate::{
        preflight::Severity::{Ok, Skipped, Warning},
        transport::Local,
    };

    #[test]
    fn what_dd_says() {
        for (line, micros) in [
            ("2048 bytes (2.0 kB, 2.0 KiB) copied, 0.0123 s, 166 kB/s", Some(12300)),
            ("2048 bytes (2.0 kB) copied, 1.5 s, 1.4 kB/s", Some(1_500_000)),
            ("2048 bytes (2.0 kB, 2.0 KiB) copied, 8.4e-05 s, 24.4 MB/s", Some(84)),
            ("1+0 records in", None),
            ("dd: failed to open '/proc/self/fd/9'", None),
        ] {
            assert_eq!(seconds(line), micros.map(Duration::from_micros), "{line}");
        }
    }

    #[test]
    fn the_slowest_hundredth_decides() {
        let writes = |slow: usize, all: usize, millis: u64| {
            let of = |index| if index < slow { millis } else { 1 };
            (0..all).map(|index| Duration::from_millis(of(index))).collect::<Vec<_>>()
        };
        for (slow, all, millis, severity) in [
            (0, 300, 0, Ok),
            // One in a hundred may be slow.
            (3, 300, 500, Ok),
            (4, 300, 500, Warning),
            (4, 300, 9, Ok),
            (4, 300, 10, Warning),
            // A disk that manages few writes in the time is slow, if it is the disk.
            (20, 20, 500, Warning),
            (0, 20, 0, Skipped),
            (0, 0, 0, Skipped),
        ] {
            let finding = judge("cp1", FOLDER, "on /dev/sda", writes(slow, all, millis));
            assert_eq!(finding.severity, severity, "{slow} of {all} {millis} ms: {finding:?}");
        }
        assert_eq!(
            judge("cp1", FOLDER, "on /dev/sda1 (ext4) at /", writes(4, 300, 12)).observed,
            "99 of 100 within 12.00 ms; half of them within 1.00 ms, the slowest 12.00 ms (300 writes on /dev/sda1 \
             (ext4) at /)"
        );
    }

    #[tokio::test]
    async fn a_real_disk_is_measured_and_nothing_is_left() {
        let host = Local::open("here").await.unwrap();
        let begun = std::time::Instant::now();
        let finding = measure(&host, FOLDER).await.unwrap();
        if nix::unistd::geteuid().is_root() {
            assert!(finding.observed.contains("99 of 100 within "), "{finding:?}");
            assert!(finding.observed.contains(" writes on "), "it names the file system: {finding:?}");
        } else {
            assert_eq!(finding.severity, Skipped, "{finding:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(u64::from(SECONDS) + 30), "it is bounded");
        assert!(is_gone());
    }

    #[test]
    fn nothing_is_left_by_one_that_is_killed() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let mut shell = Command::new("sh")
            .args(["-c", &script(FOLDER)])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "begin"), "it had begun to write");
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert!(is_gone());
    }

    /// Whether the file goes away; another test may be about to remove its own.
    fn is_gone() -> bool {
        let there =
            || ["/var/lib", "/var/lib/etcd"].map(|folder| Path::new(folder).join(".hoist-fsync").exists());
        (0..50).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            there() == [false, false]
        })
    }
}
