//! What all kinds have in common that own a whole file.

use super::{Act, Change, Detail, Mode, Observations, PathState, is_template, quote};

/// Enough of a digest for people to tell two contents apart.
pub(super) fn short(digest: &str) -> String {
    format!("sha256 {}…", &digest[..digest.len().min(12)])
}

/// What is wrong with a digest that a role states.
pub(super) fn digest_mistake(sha256: &str) -> Option<String> {
    let hexadecimal = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let good = is_template(sha256) || sha256.len() == 64 && hexadecimal(sha256);
    (!good).then(|| format!("`sha256` is \"{sha256}\", not 64 lower-case hexadecimal digits"))
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
    /// POSIX sh that must succeed for a new content, whose path is `$1`.
    pub validate: Option<&'a str>,
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
        // In a shell of its own: it may set, cd or exit. What it says is why it failed, wherever it says it.
        let valid =
            self.validate.map(|check| format!("(set -- {part}; eval {}) >&2 </dev/null && ", quote(check)));
        // Written beside its place and renamed: a reader sees the old file or the whole new one. A directory
        // in its place is an error, never removed; a link to one is, because `mv` would follow it. Whoever owns the
        // folder could put a link where the part is written: it is made anew (`set -C`), and what was made gets its
        // owner and mode, not what its name leads to by then. The mode comes last: a change of owner clears the
        // set-id bits.
        Act::quick(format!(
            "if [ -d {path} ]; then\n\
             [ -L {path} ] && rm -f {path} || {{ echo 'a directory is in its place' >&2; exit 1; }}\nfi\n\
             mkdir -p {folder} && rm -f {part} && (umask 077; set -C; {{ {print} && chown {owner} /proc/self/fd/1 && \
             chmod {mode} /proc/self/fd/1; }} > {part}) && {valid}mv -f {part} {path} || {{ rm -f {part}; exit 1; }}",
            valid = valid.unwrap_or_default(),
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
