//! What a check says: one shape for all of them.

use serde::Serialize;

/// What a check says of one or more hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name, stable for programs.
    pub check: &'static str,
    pub severity: Severity,
    pub hosts: Vec<String>,
    /// What was looked at.
    pub checked: &'static str,
    /// What was seen; for a check that could not be made, why not.
    pub observed: String,
    pub expected: String,
    /// What to do; empty when there is nothing to do.
    pub fix: String,
}

/// How bad it is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// An installation would fail, or the cluster would not work.
    Error,
    /// It may work, or work for a while.
    Warning,
    /// The check could not be made.
    Skipped,
    /// As it should be.
    Ok,
}

/// One thing to check: what all its findings have in common.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// See [`Finding::check`].
    pub name: &'static str,
    pub checked: &'static str,
    pub expected: &'static str,
}

impl Check {
    /// As it should be.
    pub fn ok(&self, host: &str, observed: impl Into<String>) -> Finding {
        self.finding(Severity::Ok, host, observed.into(), String::new())
    }

    pub fn error(&self, host: &str, observed: impl Into<String>, fix: impl Into<String>) -> Finding {
        self.finding(Severity::Error, host, observed.into(), fix.into())
    }

    pub fn warning(&self, host: &str, observed: impl Into<String>, fix: impl Into<String>) -> Finding {
        self.finding(Severity::Warning, host, observed.into(), fix.into())
    }

    /// The check could not be made, and why.
    pub fn skipped(&self, host: &str, why: impl Into<String>) -> Finding {
        self.finding(Severity::Skipped, host, why.into(), String::new())
    }

    fn finding(&self, severity: Severity, host: &str, observed: String, fix: String) -> Finding {
        Finding {
            check: self.name,
            severity,
            hosts: vec![host.to_owned()],
            checked: self.checked,
            observed,
            expected: self.expected.to_owned(),
            fix,
        }
    }
}

impl Finding {
    /// With what is expected of this host in particular.
    #[must_use]
    pub fn expecting(self, expected: impl Into<String>) -> Finding {
        Finding { expected: expected.into(), ..self }
    }

    /// About these hosts together.
    #[must_use]
    pub fn about(self, hosts: Vec<String>) -> Finding {
        Finding { hosts, ..self }
    }
}

/// Makes one finding of those that say the same of several hosts, the worst first. The order of checks and hosts
/// stays otherwise.
pub fn merge(findings: Vec<Finding>) -> Vec<Finding> {
    let mut merged: Vec<Finding> = Vec::new();
    for mut finding in findings {
        let same = |other: &&mut Finding| {
            (other.check, other.severity, &other.observed, &other.expected, &other.fix)
                == (finding.check, finding.severity, &finding.observed, &finding.expected, &finding.fix)
        };
        match merged.iter_mut().find(same) {
            Some(other) => {
                finding.hosts.retain(|host| !other.hosts.contains(host));
                other.hosts.append(&mut finding.hosts);
            }
            None => merged.push(finding),
        }
    }
    merged.sort_by_key(|finding| finding.severity);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWAP: Check = Check { name: "swap", checked: "whether memory is swapped out", expected: "no swap" };

    #[test]
    fn what_is_said_of_several_hosts_is_said_once_and_the_worst_first() {
        let findings = vec![
            SWAP.ok("a", "none"),
            SWAP.warning("b", "/dev/sda2", "swapoff"),
            SWAP.skipped("e", "no /proc"),
            SWAP.ok("c", "none"),
            SWAP.warning("d", "/dev/sda2", "swapoff"),
            SWAP.warning("d", "/dev/sda2", "swapoff"),
            SWAP.error("f", "/dev/sda2", "swapoff"),
            SWAP.warning("g", "/dev/sdb", "swapoff"),
            SWAP.warning("h", "/dev/sda2", "swapoff").expecting("less"),
        ];
        let merged: Vec<String> = merge(findings)
            .iter()
            .map(|finding| format!("{:?} {} {}", finding.severity, finding.hosts.join(","), finding.observed))
            .collect();
        assert_eq!(
            merged,
            [
                "Error f /dev/sda2",
                "Warning b,d /dev/sda2",
                "Warning g /dev/sdb",
                "Warning h /dev/sda2",
                "Skipped e no /proc",
                "Ok a,c none"
            ]
        );
    }

    #[test]
    fn programs_see_all_of_it() {
        let finding = SWAP.warning("b", "/dev/sda2", "swapoff -a");
        insta::assert_snapshot!(serde_json::to_string_pretty(&finding).unwrap(), @r#"
        {
          "check": "swap",
          "severity": "warning",
          "hosts": [
            "b"
          ],
          "checked": "whether memory is swapped out",
          "observed": "/dev/sda2",
          "expected": "no swap",
          "fix": "swapoff -a"
        }
        "#);
    }
}
