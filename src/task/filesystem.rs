//! File systems on block devices.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Act, Change, Kind, Observations, Probe, is_template,
    probe::{DISK, DiskState},
    quote,
};

/// A block device with a file system right on it. One is made only where `format` says so and the device is provably
/// empty: no signature, no partition, nothing that uses it, zeros at both ends. A device that holds anything else is
/// refused with what was found, and never written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filesystem {
    /// The device, or a link to it: `/dev/disk/by-id/…`.
    pub device: String,
    /// `ext4` or `xfs`.
    pub fstype: String,
    /// Whether an empty device gets the file system.
    #[serde(default)]
    pub format: bool,
}

impl Filesystem {
    /// What else is found beside the file system stands in nobody's way: nothing is written.
    fn holds(&self, state: &DiskState) -> bool {
        state.fstype.as_deref() == Some(self.fstype.as_str())
    }

    /// Why it cannot be made true; nothing where it can.
    fn refusal(&self, seen: &Observations) -> Option<String> {
        let Filesystem { device, fstype, format } = self;
        let Some(state) = seen.disks.get(device) else {
            return Some(format!("there is no block device {device}: see `lsblk` on the host"));
        };
        let mut found = state.found.clone();
        found.extend(state.fstype.iter().map(|fstype| format!("a file system ({fstype})")));
        if !found.is_empty() {
            return Some(format!(
                "{device} is not empty: {}. hoist never formats what holds anything. If nothing of it is needed, \
                 and nothing uses it: `wipefs --all` on it and what is on it, then overwrite its first and last MiB",
                found.join(", ")
            ));
        }
        (!format).then(|| {
            format!("{device} is empty, and nothing says that {fstype} may be made on it: `format: true`")
        })
    }
}

impl Kind for Filesystem {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Disk(self.device.clone())]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        let state = seen.disks.get(&self.device);
        if state.is_some_and(|state| self.holds(state)) {
            return None;
        }
        if let Some(why) = self.refusal(seen) {
            return Some(Change::new(format!("refuse: {why}")));
        }
        let size = state.map(|state| state.size >> 20).unwrap_or_default();
        let change = Change::new(format!("make {} on {}", self.fstype, self.device));
        Some(change.attribute("content", format!("nothing on {size} MiB"), &self.fstype))
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        if seen.disks.get(&self.device).is_some_and(|state| self.holds(state)) {
            return Vec::new();
        }
        if let Some(why) = self.refusal(seen) {
            return vec![Act::refuse(&why)];
        }
        let text = format!("path={} fstype={}\n{DISK}{MAKE}", quote(&self.device), quote(&self.fstype));
        vec![Act::Script { text, stdin: None, timeout: Duration::from_secs(1800) }]
    }

    fn foresee(&self, seen: &mut Observations) {
        if self.refusal(seen).is_none()
            && let Some(state) = seen.disks.get_mut(&self.device)
        {
            state.fstype = Some(self.fstype.clone());
        }
    }

    fn mistake(&self) -> Option<String> {
        let Filesystem { device, fstype, .. } = self;
        if !is_template(device) && !device.starts_with("/dev/") {
            return Some(format!("\"{device}\" is no device below /dev"));
        }
        let known = is_template(fstype) || fstype == "ext4" || fstype == "xfs";
        (!known).then(|| format!("\"{fstype}\" is neither ext4 nor xfs"))
    }
}

/// Looks once more, in the same breath, because what was seen before may not be true any more. mkfs opens the device for
/// itself alone, so that it fails on one that came into use since.
const MAKE: &str = r#"
answer=$(disk "$path" 2>/dev/null </dev/null)
case $answer in
"size "*[!0-9]* | "size 0" | '') printf '%s is not empty any more: %s\n' "$path" "${answer:-it is gone}" >&2; exit 1 ;;
esac
mkfs.$fstype -q "$path" </dev/null && blkid -p "$path" >/dev/null
"#;
