//! Observing a host: all probes in one script, one answer, one typed result.
//!
//! The script asks each tool once for everything (`stat` for all paths, `systemctl show` for all units), so
//! that reading a host costs a handful of processes there. Its output is line-oriented; sections start with
//! a line `#name`, which no answer can contain because every answer's lines start otherwise.

mod parse;
mod script;

use std::collections::{BTreeMap, BTreeSet};

pub(in crate::task) use script::{DISK, has_module, octal};
pub use script::{contents_script, probe_script};

/// Something to observe.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// A path: kind, mode, owner, modification time and, for a regular file, digest.
    Path(String),
    /// A distribution package.
    Package(String),
    /// A systemd unit.
    Unit(String),
    /// A kernel parameter, in dotted form.
    Sysctl(String),
    /// A kernel module: loaded, built in, or evidenced by a path that exists only with it.
    Module { name: String, evidence: Option<String> },
    /// The content of a text file, for statements about a part of it. `~NAME` is the list of keys that may log in
    /// as that user.
    Text(String),
    /// Swap: what is active, and what would bring it back.
    Swap,
    /// A user's entry and groups.
    User(String),
    /// What is mounted at a path, and which device a source is.
    Mount { path: String, source: String },
    /// What a block device holds.
    Disk(String),
    /// The images in containerd's namespace for Kubernetes.
    Images,
    /// A script whose exit status is the answer.
    Check(String),
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PathState {
    /// `st_mode`: file type and permission bits.
    pub mode: u32,
    pub owner: String,
    pub group: String,
    pub size: u64,
    /// Modification time, seconds and fraction since the epoch as `stat` prints them.
    pub modified: String,
    /// Lower-case hex SHA-256 of a regular file.
    pub sha256: Option<String>,
}

impl PathState {
    const TYPE: u32 = 0o170000;
    const FILE: u32 = 0o100000;

    /// Permission bits with set-id and sticky bits.
    pub fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }

    pub fn is_directory(&self) -> bool {
        self.mode & Self::TYPE == 0o040000
    }

    pub fn is_link(&self) -> bool {
        self.mode & Self::TYPE == 0o120000
    }

    pub fn is_file(&self) -> bool {
        self.mode & Self::TYPE == Self::FILE
    }

    /// The type in words.
    pub fn kind(&self) -> &'static str {
        match self.mode & Self::TYPE {
            0o040000 => "directory",
            0o100000 => "file",
            0o120000 => "symbolic link",
            _ => "special file",
        }
    }
}

/// What systemd says of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnitState {
    /// `LoadState`: `loaded`, `not-found`, `masked` …
    pub load: String,
    /// `ActiveState`: `active`, `inactive`, `failed`, `activating` …
    pub active: String,
    /// `UnitFileState`: `enabled`, `disabled`, `static` …
    pub file: String,
    /// `NeedDaemonReload`: the unit file is newer than what systemd has read.
    pub stale: bool,
    /// When the running invocation began, as `stat` prints times; nothing when it does not run.
    pub started: Option<String>,
}

/// What a file holds that a statement is about a part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    Known(String),
    /// It cannot be edited; what it is instead, in words that fit after "is".
    Unfit(&'static str),
}

/// What a host knows of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserState {
    pub home: String,
    pub shell: String,
    /// All groups, the primary one included.
    pub groups: BTreeSet<String>,
}

/// A file system that is mounted, from proc_pid_mountinfo(5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MountState {
    pub source: String,
    pub fstype: String,
    pub device: DeviceNumber,
}

/// An image in containerd.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageState {
    /// Of its manifest, as `ctr images ls` shows it.
    pub digest: String,
    /// The kubelet does not remove it to make room.
    pub pinned: bool,
}

/// What was found on a block device. One that is not there has no state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiskState {
    /// Bytes.
    pub size: u64,
    /// The file system right on it, where that is all that it holds.
    pub fstype: Option<String>,
    /// Everything else that speaks against its being empty, in words.
    pub found: Vec<String>,
}

/// Major and minor number.
pub type DeviceNumber = (u32, u32);

/// Everything that was observed of a host in one probe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observations {
    pub paths: BTreeMap<String, PathState>,
    /// Installed packages and their versions.
    pub packages: BTreeMap<String, String>,
    pub units: BTreeMap<String, UnitState>,
    pub sysctls: BTreeMap<String, String>,
    pub modules: BTreeSet<String>,
    /// Devices or files that are swapped to now.
    pub swaps: Vec<String>,
    /// Whether systemd's `swap.target` is masked.
    pub swap_masked: bool,
    /// Units that make swap of their own and are enabled.
    pub swap_units: Vec<String>,
    pub users: BTreeMap<String, UserState>,
    /// What is mounted, by path.
    pub mounts: BTreeMap<String, MountState>,
    /// Block devices that are to have a file system, by the path that was asked for.
    pub disks: BTreeMap<String, DiskState>,
    /// The block devices that sources of mounts are: links and tags such as `UUID=…` by the device's own name.
    pub devices: BTreeMap<String, (DeviceNumber, String)>,
    /// Images by reference.
    pub images: BTreeMap<String, ImageState>,
    /// Scripts of [`Probe::Check`] that answered 0.
    pub passed: BTreeSet<String>,
    /// Files that statements edit. What is missing is not in it.
    pub texts: BTreeMap<String, Text>,
    /// Present contents of text files that differ; read in a second round trip, only to be shown.
    pub contents: BTreeMap<String, String>,
}

impl Observations {
    /// What will be observed once this file has been written: it is newer than every unit, and a unit's own file
    /// makes the unit stale.
    pub(in crate::task) fn will_write(&mut self, path: &str, sha256: &str, text: Option<&str>) {
        let state = self.paths.entry(path.to_string()).or_default();
        state.mode = PathState::FILE | state.permissions();
        state.modified = u64::MAX.to_string();
        state.sha256 = Some(sha256.to_string());
        match text {
            Some(text) => self.texts.insert(path.to_string(), Text::Known(text.to_string())),
            None => self.texts.remove(path),
        };
        self.will_change_unit(path);
    }

    /// What will be observed once this file is gone.
    pub(in crate::task) fn will_remove(&mut self, path: &str) {
        self.paths.remove(path);
        self.texts.remove(path);
        self.will_change_unit(path);
    }

    fn will_change_unit(&mut self, path: &str) {
        for (name, unit) in &mut self.units {
            let own =
                path.strip_prefix("/etc/systemd/system/").and_then(|file| file.strip_prefix(name.as_str()));
            unit.stale |=
                own.is_some_and(|rest| rest.is_empty() || rest.starts_with(".d/")) && unit.load == "loaded";
        }
    }
}

/// Where systemd keeps a link for the running invocation of a unit; its age is the age of the invocation.
fn invocation(unit: &str) -> String {
    format!("/run/systemd/units/invocation:{unit}")
}

const SYSCTLS: &str = "/proc/sys/";

/// The file of a kernel parameter. As sysctl(8) has it, a `/` in a dotted key stands for a dot in a name.
pub(in crate::task) fn sysctl_file(key: &str) -> String {
    format!("{SYSCTLS}{}", dots_and_slashes_swapped(key))
}

fn sysctl_key(file: &str) -> Option<String> {
    file.strip_prefix(SYSCTLS).map(dots_and_slashes_swapped)
}

fn dots_and_slashes_swapped(text: &str) -> String {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    text.chars().map(swap).collect()
}

fn checks(probes: &BTreeSet<Probe>) -> impl Iterator<Item = &String> {
    probes.iter().filter_map(|probe| match probe {
        Probe::Check(script) => Some(script),
        _ => None,
    })
}

/// A kernel parameter with several values answers them divided by tabs; people write blanks.
pub(in crate::task) fn words(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether one time of `stat` (seconds, a dot, nanoseconds) is later than another.
pub(in crate::task) fn later(a: &str, b: &str) -> bool {
    let parts = |time: &str| -> Option<(u64, u64)> {
        let (seconds, fraction) = time.split_once(['.', ',']).unwrap_or((time, "0"));
        Some((seconds.parse().ok()?, format!("{fraction:0<9}").parse().ok()?))
    };
    parts(a) > parts(b)
}
