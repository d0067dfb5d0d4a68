//! How fast a disk really writes, where etcd will.

use std::time::Duration;

use super::finding::{Check, Finding};
use crate::transport::{Error, Host, Script};

const FSYNC: Check = Check {
    name: "disk-fsync",
    checked: "how long a write of 4 KiB takes until it is on the disk of etcd",
    expected: "less than 10 ms, or etcd loses its leader now and then",
};

/// How many writes a group has.
const WRITES: u32 = 16;
/// etcd's documentation: the 99th percentile of fdatasync should be under 10 ms.
const LIMIT: Duration = Duration::from_millis(10);

/// The file is gone before anything is written into it, so that nothing is left whenever this ends. The first
/// group makes the file as long as it stays; as in etcd's log, which is allocated ahead, the others write over it.
const SCRIPT: &str = r#"folder=/var/lib
for place in /var/lib/etcd /var/lib/etcd-external; do [ -d $place ] && folder=$place; done
file=$folder/.hoist-fsync
rm -f "$file"
exec 9>"$file" && rm -f "$file" || exit 1
for group in 0 1 2 3 4 5; do
	dd if=/dev/zero of=/proc/self/fd/9 bs=4096 count=16 conv=notrunc oflag=dsync 2>&1 || exit 1
done
"#;

/// Measures. The answer of a host where that is not possible is a finding, too.
///
/// # Errors
/// When the host is lost.
pub async fn measure(host: &dyn Host) -> Result<Finding, Error> {
    let output = match host.run(Script::new(SCRIPT)).await {
        Ok(output) => output,
        Err(Error::Timeout { seconds, .. }) => {
            let observed = format!("96 writes were not done after {seconds} s");
            return Ok(FSYNC.warning(host.name(), observed, FIX));
        }
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status != 0 {
        let last = [text.as_ref(), &String::from_utf8_lossy(&output.stderr)].concat();
        let last = last.lines().last().unwrap_or("it printed nothing").to_owned();
        return Ok(FSYNC.skipped(host.name(), format!("dd did not work: {last}")));
    }
    let groups: Vec<Duration> = text.lines().filter_map(seconds).collect();
    Ok(judge(host.name(), groups.get(1..).unwrap_or_default()))
}

const FIX: &str = "put /var/lib/etcd on an SSD of its own, best one with power-loss protection; in a virtual machine, \
                   on a datastore that is not shared with busy neighbours";

/// Reads dd's `65536 bytes (66 kB, 64 KiB) copied, 0.0123 s, 5.3 MB/s`.
fn seconds(line: &str) -> Option<Duration> {
    let (_, rest) = line.split_once(" copied, ")?;
    let (seconds, _) = rest.split_once(" s")?;
    Duration::try_from_secs_f64(seconds.parse().ok()?).ok()
}

/// From how long each group took.
fn judge(host: &str, groups: &[Duration]) -> Finding {
    let Some(slowest) = groups.iter().max() else {
        return FSYNC.skipped(host, "dd does not tell how long it took");
    };
    let average = groups.iter().sum::<Duration>() / (groups.len() as u32 * WRITES);
    let slowest = *slowest / WRITES;
    let observed = format!(
        "{} on average; {} on average in the slowest of {} groups of {WRITES} writes",
        milliseconds(average),
        milliseconds(slowest),
        groups.len()
    );
    if slowest > LIMIT { FSYNC.warning(host, observed, FIX) } else { FSYNC.ok(host, observed) }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
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
            ("65536 bytes (66 kB, 64 KiB) copied, 0.0123 s, 5.3 MB/s", Some(12300)),
            ("65536 bytes (66 kB) copied, 1.5 s, 43.7 kB/s", Some(1_500_000)),
            ("65536 bytes (66 kB, 64 KiB) copied, 8.4e-05 s, 780 MB/s", Some(84)),
            ("16+0 records in", None),
            ("dd: failed to open '/proc/self/fd/9'", None),
        ] {
            assert_eq!(seconds(line), micros.map(Duration::from_micros), "{line}");
        }
    }

    #[test]
    fn slow_disks() {
        for (groups, severity) in [
            (&[16, 16][..], Ok),
            (&[160, 160], Ok),
            (&[16, 16, 16, 161], Warning),
            (&[800, 800], Warning),
            (&[], Skipped),
        ] {
            let groups: Vec<Duration> = groups.iter().map(|group| Duration::from_millis(*group)).collect();
            assert_eq!(judge("cp1", &groups).severity, severity, "{groups:?}");
        }
        let groups = [16, 48].map(Duration::from_millis);
        let expected = "2.00 ms on average; 3.00 ms on average in the slowest of 2 groups of 16 writes";
        assert_eq!(judge("cp1", &groups).observed, expected);
    }

    #[tokio::test]
    async fn a_real_disk_is_measured_and_nothing_is_left() {
        let host = Local::open("here").await.unwrap();
        let finding = measure(&host).await.unwrap();
        if nix::unistd::geteuid().is_root() {
            assert!(matches!(finding.severity, Ok | Warning), "{finding:?}");
            assert!(finding.observed.contains("slowest of 5 groups"), "{finding:?}");
        } else {
            assert_eq!(finding.severity, Skipped, "{finding:?}");
        }
        assert!(is_gone());
    }

    #[test]
    fn nothing_is_left_by_one_that_is_killed() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert!(line.contains("records in"), "it had begun to write: {line:?}");
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
