//! A process, known by its number, its start time and the boot it belongs to, so that another one with a recycled
//! number is never taken for it.

use std::{fs, path::PathBuf};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use super::error::LabError;

/// One process, and no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// Clock ticks after boot, field 22 of `/proc/PID/stat`.
    start_time: u64,
    boot: String,
}

impl Identity {
    /// The calling process.
    pub(crate) fn own() -> Result<Self, LabError> {
        let pid = Pid::this().as_raw();
        let path = PathBuf::from(format!("/proc/{pid}/stat"));
        let stat = fs::read_to_string(&path).map_err(LabError::io("read", &path))?;
        Ok(Self { pid, start_time: start_time(&stat).unwrap_or_default(), boot: boot_id() })
    }

    /// Whether this very process is running.
    pub(crate) fn alive(&self) -> bool {
        self.boot == boot_id()
            && fs::read_to_string(format!("/proc/{}/stat", self.pid))
                .is_ok_and(|stat| start_time(&stat) == Some(self.start_time))
    }

    /// Sends it a signal; nothing happens when it is not running any more.
    pub(crate) fn send(&self, signal: Signal) {
        if self.alive() {
            // It may end between the look and the signal; then there is nobody to be told.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }
}

/// Start time from `/proc/PID/stat`; nothing for a process that has ended and only waits to be collected.
/// The command, in brackets, may hold anything, brackets too.
fn start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    // The state was field 3, so the next is field 4.
    fields.nth(22 - 4)?.trim().parse().ok()
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_times() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 4711 100 10 18446744073709551615";
        assert_eq!(start_time(stat), Some(4711));
        assert_eq!(start_time(&stat.replace(") S ", ") Z ")), None);
        assert_eq!(start_time("7 (a"), None);
    }

    #[test]
    fn a_recycled_number_is_another_process() {
        let own = Identity::own().unwrap();
        assert!(own.alive());
        assert!(!Identity { start_time: own.start_time + 1, ..own.clone() }.alive());
        assert!(!Identity { boot: "another".into(), ..own.clone() }.alive());
        // Must not end this test.
        Identity { start_time: own.start_time + 1, ..own }.send(Signal::SIGTERM);
    }
}
