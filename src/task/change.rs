//! What a task would change, in words and in diffs.

use serde::{Deserialize, Serialize};

/// One difference between a statement and a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// One line: what will be done.
    pub summary: String,
    /// What exactly differs.
    pub details: Vec<Detail>,
    /// What this interrupts, such as a unit that restarts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disrupts: Option<String>,
}

/// One particular of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detail {
    /// An attribute goes from one value to another.
    Attribute { name: String, from: String, to: String },
    /// The lines of a text file that change, as a unified diff.
    Text { diff: String },
    /// Something that cannot be known yet, and after what it will be.
    KnownAfter { what: String, after: String },
}

impl Change {
    /// A change with nothing but its summary.
    pub fn new(summary: impl Into<String>) -> Change {
        Change { summary: summary.into(), details: Vec::new(), disrupts: None }
    }

    /// Adds an attribute that goes from one value to another.
    pub fn attribute(mut self, name: &str, from: impl Into<String>, to: impl Into<String>) -> Change {
        self.details.push(Detail::Attribute { name: name.to_string(), from: from.into(), to: to.into() });
        self
    }

    /// Adds the lines that change between two texts.
    pub fn text(mut self, path: &str, old: &str, new: &str) -> Change {
        let diff = similar::TextDiff::from_lines(old, new).unified_diff().header(path, path).to_string();
        self.details.push(Detail::Text { diff });
        self
    }

    /// Names what it interrupts.
    pub fn disrupting(mut self, what: impl Into<String>) -> Change {
        self.disrupts = Some(what.into());
        self
    }
}
