//! Parts of text files that belong to somebody else: one line, or a marked block of lines.

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Act, Change, Kind, Observations, Probe,
    edit::{Edit, drop_lines, set_block, set_line},
    is_template, sha256,
};

/// One line in a text file. The rest of the file, its owner and its mode stay as they are; a link of root's is
/// followed, one of others refused; a file that is missing is made. Files that are not UTF-8 or larger than 256 KiB
/// are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Absolute path on the host.
    pub path: String,
    /// The line, without its end.
    #[serde(default)]
    pub line: Option<String>,
    /// A regular expression for the whole of a line: the first line that matches becomes `line`, further ones are
    /// removed.
    #[serde(default, rename = "match")]
    pub pattern: Option<String>,
    /// A regular expression for the whole of a line: where nothing matches `match`, the line comes after the last
    /// one that matches this, or else at the end.
    #[serde(default)]
    pub after: Option<String>,
    /// The line, and every line that matches, must not be there.
    #[serde(default)]
    pub absent: bool,
    /// Never show the file's lines in a plan.
    #[serde(default)]
    pub secret: bool,
}

/// Lines between two marks in a text file, `# hoist NAME begin` and `# hoist NAME end`. Like `line` it leaves the
/// rest of the file alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Absolute path on the host.
    pub path: String,
    /// Tells this block from others in the same file.
    pub name: String,
    /// The lines.
    #[serde(default)]
    pub content: String,
    /// What begins a comment in this file.
    #[serde(default = "hash")]
    pub comment: String,
    /// The block must not be there.
    #[serde(default)]
    pub absent: bool,
    /// Never show the file's lines in a plan.
    #[serde(default)]
    pub secret: bool,
}

fn hash() -> String {
    "#".to_string()
}

/// A regular expression that must match all of a line.
fn whole_line(pattern: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|error| format!("\"{pattern}\" is no regular expression: {error}"))
}

impl Line {
    fn edit<'a>(&'a self, seen: &'a Observations) -> Edit<'a> {
        Edit::new(&self.path, seen, |text| {
            let regex = |pattern: &Option<String>| pattern.as_deref().map(whole_line).transpose();
            let (pattern, after) = (regex(&self.pattern)?, regex(&self.after)?);
            let line = self.line.as_deref();
            let matches = |regex: &Option<Regex>, present: &str| {
                regex.as_ref().is_some_and(|regex| regex.is_match(present))
            };
            let is = |present: &str| Some(present) == line || matches(&pattern, present);
            Ok(match line {
                Some(line) if !self.absent => {
                    // Without a pattern, a line that stands there twice is not ours to tidy up.
                    if pattern.is_none() && text.lines().any(is) {
                        return Ok(text.to_string());
                    }
                    set_line(text, line, is, |present| matches(&after, present))
                }
                _ => drop_lines(text, is),
            })
        })
    }
}

impl Kind for Line {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Text(self.path.clone())]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        self.edit(seen).change(format!("edit {}", self.path), self.secret)
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        self.edit(seen).acts()
    }

    fn foresee(&self, seen: &mut Observations) {
        if let Some(text) = self.edit(seen).foreseen() {
            seen.will_write(&self.path, &sha256(text.as_bytes()), Some(&text));
        }
    }

    fn mistake(&self) -> Option<String> {
        if self.line.is_none() && (!self.absent || self.pattern.is_none()) {
            return Some("it needs `line`, or `match` with `absent: true`".to_string());
        }
        if self.line.as_ref().is_some_and(|line| line.contains(['\n', '\r'])) {
            return Some("`line` holds more than one line: use a `block`".to_string());
        }
        let patterns = [&self.pattern, &self.after];
        patterns
            .into_iter()
            .flatten()
            .filter(|text| !is_template(text))
            .find_map(|text| whole_line(text).err())
    }
}

impl Block {
    fn edit<'a>(&'a self, seen: &'a Observations) -> Edit<'a> {
        Edit::new(&self.path, seen, |text| {
            let mark = |side: &str| format!("{} hoist {} {side}", self.comment, self.name);
            let lines = (!self.absent).then_some(self.content.as_str());
            set_block(text, &mark("begin"), &mark("end"), lines).map_err(|why| format!("{} {why}", self.path))
        })
    }
}

impl Kind for Block {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Text(self.path.clone())]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        self.edit(seen).change(format!("edit {} ({})", self.path, self.name), self.secret)
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        self.edit(seen).acts()
    }

    fn foresee(&self, seen: &mut Observations) {
        if let Some(text) = self.edit(seen).foreseen() {
            seen.will_write(&self.path, &sha256(text.as_bytes()), Some(&text));
        }
    }

    fn mistake(&self) -> Option<String> {
        let mark = format!("{} hoist {} ", self.comment, self.name);
        if self.name.contains('\n') || self.comment.contains('\n') {
            return Some("`name` and `comment` are parts of one line".to_string());
        }
        let holds_mark = self.content.lines().any(|line| line.starts_with(&mark));
        holds_mark.then(|| format!("`content` holds a mark of its own block, \"{}…\"", mark))
    }
}
