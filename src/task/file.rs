//! Files and directories.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Act, Change, Detail, Kind, Observations, PathState, Probe, quote};

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
        schemars::json_schema!({"type": "string", "pattern": "^[0-7]{3,4}$", "description": "permission bits in octal, such as \"0644\""})
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

/// Enough of a digest for people to tell two contents apart.
pub(super) fn short(digest: &str) -> String {
    format!("sha256 {}…", &digest[..digest.len().min(12)])
}

/// Differences of mode and owner, which files, directories and artifacts share.
pub(super) fn attributes(change: &mut Change, now: &PathState, mode: Mode, owner: &str, group: &str) {
    let mut push = |name: &str, from: String, to: String| {
        if from != to {
            change.details.push(Detail::Attribute { name: name.to_string(), from, to });
        }
    };
    push("mode", Mode(now.permissions()).to_string(), mode.to_string());
    push("owner", now.owner.clone(), owner.to_string());
    push("group", now.group.clone(), group.to_string());
}

/// A file that a statement owns as a whole: what all kinds that do have in common.
pub(super) struct Whole<'a> {
    pub path: &'a str,
    /// Lower-case hex SHA-256 of what it shall hold.
    pub sha256: &'a str,
    /// The same as text, when it is that.
    pub text: Option<&'a str>,
    /// Never show it.
    pub secret: bool,
    pub mode: Mode,
    pub owner: &'a str,
    pub group: &'a str,
}

impl Whole<'_> {
    fn holds_content(&self, seen: &Observations) -> bool {
        let now = seen.paths.get(self.path);
        now.is_some_and(|now| now.is_file() && now.sha256.as_deref() == Some(self.sha256))
    }

    pub fn diff(&self, seen: &Observations) -> Option<Change> {
        let Some(now) = seen.paths.get(self.path) else {
            let change = Change::new(format!("create {} ({})", self.path, self.mode));
            return Some(match self.text {
                Some(text) if !self.secret => change.text(self.path, "", text),
                _ => change,
            });
        };
        if !now.is_file() {
            return Some(Change::new(format!("replace {}", self.path)).attribute("type", now.kind(), "file"));
        }
        let mut change = Change::new(format!("write {}", self.path));
        if !self.holds_content(seen) {
            change = match (self.text, seen.contents.get(self.path)) {
                // Not even digests of secrets are shown: short ones could be guessed from them.
                _ if self.secret => change.attribute("content", "another", "as stated"),
                (Some(text), Some(old)) => change.text(self.path, old, text),
                _ => {
                    let old = now.sha256.as_deref().unwrap_or_default();
                    change.attribute("content", short(old), short(self.sha256))
                }
            };
        } else {
            change.summary = format!("change {}", self.path);
        }
        attributes(&mut change, now, self.mode, self.owner, self.group);
        (!change.details.is_empty()).then_some(change)
    }

    /// `print` is the sh that prints the content. It is not used where only mode or owner differ: what was not
    /// written stays as old as it is, and nothing restarts because of it.
    pub fn act(&self, seen: &Observations, print: &str) -> Act {
        if self.holds_content(seen) {
            return self.act_on_attributes();
        }
        let path = quote(self.path);
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", self.path));
        let part = quote(&format!("{folder}/.{name}.hoist"));
        // Written beside its place and renamed: a reader sees the old file or the whole new one. A directory
        // in its place is an error, never removed; a link to one is, because `mv` would follow it. The mode
        // comes last: a change of owner clears the set-id bits.
        Act::quick(format!(
            "if [ -d {path} ]; then\n\
             [ -L {path} ] && rm -f {path} || {{ echo 'a directory is in its place' >&2; exit 1; }}\nfi\n\
             mkdir -p {folder} && (umask 077; {print} > {part}) && chown {owner} {part} && \
             chmod {mode} {part} && mv -f {part} {path} || {{ rm -f {part}; exit 1; }}",
            folder = quote(if folder.is_empty() { "/" } else { folder }),
            mode = self.mode,
            owner = quote(&format!("{}:{}", self.owner, self.group)),
        ))
    }

    /// Gives the file its owner and mode, and leaves the content alone.
    pub fn act_on_attributes(&self) -> Act {
        let (path, owner) = (quote(self.path), quote(&format!("{}:{}", self.owner, self.group)));
        Act::quick(format!("chown {owner} {path} && chmod {} {path}", self.mode))
    }

    pub fn foresee(&self, seen: &mut Observations) {
        if !self.holds_content(seen) {
            seen.will_write(self.path, self.sha256, self.text);
        }
    }
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
        (!change.details.is_empty()).then_some(change)
    }

    fn acts(&self, _: &Observations) -> Vec<Act> {
        let path = quote(&self.path);
        let owner = quote(&format!("{}:{}", self.owner, self.group));
        // Five digits: with four, GNU chmod keeps the set-id bits that a directory has or inherits.
        vec![Act::quick(format!("mkdir -p {path} && chown {owner} {path} && chmod 0{} {path}", self.mode))]
    }
}

impl Kind for Absent {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Path(self.path.clone())]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        seen.paths.get(&self.path).map(|now| Change::new(format!("remove {} {}", now.kind(), self.path)))
    }

    fn acts(&self, _: &Observations) -> Vec<Act> {
        vec![Act::quick(format!("rm -f {}", quote(&self.path)))]
    }

    fn foresee(&self, seen: &mut Observations) {
        seen.paths.remove(&self.path);
        seen.texts.remove(&self.path);
    }
}
