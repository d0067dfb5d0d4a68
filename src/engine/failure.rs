//! Why one host did not get to its end.

use std::fmt;

/// Why one host did not get to its end: said so that nobody has to look anything up.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Failure {
    pub host: String,
    pub role: String,
    pub step: String,
    /// What went wrong, such as the command and its status.
    pub what: String,
    /// The last lines that the command wrote, without late values.
    pub output: Vec<String>,
    /// What this usually comes from, when hoist knows.
    pub cause: Option<String>,
    /// What to do now.
    pub next: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}: {}: {}", self.host, self.role, self.step, under(&self.what))?;
        for line in self.output.iter().flat_map(|entry| entry.lines()) {
            writeln!(f, "  | {line}")?;
        }
        if let Some(cause) = &self.cause {
            writeln!(f, "  likely cause: {}", under(cause))?;
        }
        write!(f, "  next: {}", under(&self.next))
    }
}

/// A text whose further lines stand under the first.
fn under(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_stands_under_its_heading() {
        let failure = Failure {
            host: "w1".into(),
            role: "base".into(),
            step: "it\nholds".into(),
            what: "failed to render x:\nline 3\n".into(),
            output: vec!["one".into(), "two\nthree".into(), String::new()],
            cause: Some("this\nor that".into()),
            next: "look\nagain".into(),
        };
        insta::assert_snapshot!(failure, @r"
        w1: base: it
        holds: failed to render x:
            line 3
          | one
          | two
          | three
          likely cause: this
            or that
          next: look
            again
        ");
    }
}
