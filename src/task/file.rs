//! Files and directories.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Act, Change, Kind, Observations, PathState, Probe, quote,
    whole::{Whole, attributes},
};

/// Permission bits, written in octal as a string: `"0644"`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Mode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u32::from_str_radix(&text, 8)
            .ok()
            .filter(|bits| *bits <= 0o7777)
            .map(Mode)
            .ok_or_else(|| serde::de::Error::custom(format!("\"{text}\" is no mode such as \"0644\"")))
    }
}

impl JsonSchema for Mode {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Mode".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "mode", "pattern": "^[0-7]{3,4}$", "description": "permission bits in octal, such as \"0644\""})
    }
}

pub(crate) fn file_mode() -> Mode {
    Mode(0o644)
}

fn directory_mode() -> Mode {
    Mode(0o755)
}

pub(crate) fn root() -> String {
    "root".to_string()
}

/// A text file with exactly this content. Its parent directories are made when they are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Absolute path on the host.
    pub path: String,
    /// The whole content.
    pub content: String,
    /// Permission bits, set-id bits included.
    #[serde(default = "file_mode")]
    pub mode: Mode,
    /// The user it belongs to, who must exist.
    #[serde(default = "root")]
    pub owner: String,
    /// The group it belongs to, which must exist.
    #[serde(default = "root")]
    pub group: String,
    /// Never show the content in a plan.
    #[serde(default)]
    pub secret: bool,
    /// POSIX sh that must succeed before a new content takes its place, such as a program's check of its configuration.
    /// The new content is in the file `"$1"`, beside that place. Where it fails, the old content stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<String>,
}

/// A directory. What is in it is not touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Absolute path on the host.
    pub path: String,
    /// Permission bits, set-id bits included.
    #[serde(default = "directory_mode")]
    pub mode: Mode,
    /// The user it belongs to, who must exist.
    #[serde(default = "root")]
    pub owner: String,
    /// The group it belongs to, which must exist.
    #[serde(default = "root")]
    pub group: String,
}

/// A file that must not be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Absent {
    /// Absolute path on the host. Directories are never removed.
    pub path: String,
}

/// Lower-case hex SHA-256.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl File {
    fn with_whole<T>(&self, then: impl FnOnce(Whole<'_>) -> T) -> T {
        then(Whole {
            path: &self.path,
            sha256: &sha256(self.content.as_bytes()),
            text: Some(&self.content),
            secret: self.secret,
            mode: self.mode,
            owner: &self.owner,
            group: &self.group,
            validate: self.validate.as_deref(),
        })
    }
}

impl Kind for File {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Path(self.path.clone())]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        self.with_whole(|whole| whole.diff(seen))
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        let print = format!("printf %s {}", quote(&self.content));
        vec![self.with_whole(|whole| whole.act(seen, &print))]
    }

    fn foresee(&self, seen: &mut Observations) {
        self.with_whole(|whole| whole.foresee(seen));
    }
}

impl Directory {
    fn target(&self) -> String {
        format!("{}/", self.path.trim_end_matches('/'))
    }

    /// Why it cannot be made true; nothing where it can.
    fn refusal(&self, seen: &Observations) -> Option<String> {
        let link = seen.paths.get(&self.path).filter(|now| now.is_link() && now.owner != "root")?;
        Some(format!(
            "{} is a link that {} made, who could have root change what it leads to: remove it, or make it root's",
            self.path, link.owner
        ))
    }
}

impl Kind for Directory {
    fn probes(&self) -> Vec<Probe> {
        // With a slash it is what a symbolic link leads to: a link to a directory is as good as one.
        vec![Probe::Path(self.path.clone()), Probe::Path(self.target())]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        let Some(now) = seen.paths.get(&self.target()).or_else(|| seen.paths.get(&self.path)) else {
            return Some(Change::new(format!("create directory {} ({})", self.path, self.mode)));
        };
        if !now.is_directory() {
            return Some(Change::new(format!("create directory {}", self.path)).attribute(
                "type",
                now.kind(),
                "directory",
            ));
        }
        let mut change = Change::new(format!("change directory {}", self.path));
        attributes(&mut change, now, self.mode, &self.owner, &self.group);
        if change.details.is_empty() {
            return None;
        }
        Some(self.refusal(seen).map_or(change, |why| Change::new(format!("refuse: {why}"))))
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        if let Some(why) = self.refusal(seen) {
            return vec![Act::refuse(&why)];
        }
        let path = self.path.trim_end_matches('/');
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        // Whoever owns the folder above could put a link there meanwhile. So it is entered, and where that led is looked
        // at before anything is changed. Five digits: with four, GNU chmod keeps the set-id bits that a directory has
        // or inherits.
        vec![Act::quick(format!(
            "path={} folder={} name={}\n\
             mkdir -p \"$path\" && cd -P \"$path\" && folder=$(readlink -f \"$folder\") || exit 1\n\
             [ \"$(pwd -P)\" = \"${{folder%/}}/$name\" ] || [ \"$(stat -c %U \"$path\")\" = root ] || \
             {{ printf '%s is a link that root did not make\\n' \"$path\" >&2; exit 1; }}\n\
             chown {} . && chmod 0{} .",
            quote(&self.path),
            quote(if folder.is_empty() { "/" } else { folder }),
            quote(name),
            quote(&format!("{}:{}", self.owner, self.group)),
            self.mode
        ))]
    }
}

impl Absent {
    /// Why it cannot be made true; nothing where it can.
    fn refusal(&self, seen: &Observations) -> Option<String> {
        let directory = seen.paths.get(&self.path).is_some_and(PathState::is_directory);
        directory.then(|| {
            format!(
                "{} is a directory, and hoist removes none: remove it if nothing in it is needed",
                self.path
            )
        })
    }
}

impl Kind for Absent {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Path(self.path.clone())]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        let now = seen.paths.get(&self.path)?;
        Some(Change::new(match self.refusal(seen) {
            Some(why) => format!("refuse: {why}"),
            None => format!("remove {} {}", now.kind(), self.path),
        }))
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        match self.refusal(seen) {
            Some(why) => vec![Act::refuse(&why)],
            None => vec![Act::quick(format!("rm -f {}", quote(&self.path)))],
        }
    }

    fn foresee(&self, seen: &mut Observations) {
        if self.refusal(seen).is_none() {
            seen.will_remove(&self.path);
        }
    }
}
