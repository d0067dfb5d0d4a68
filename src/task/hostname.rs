//! The host's own name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, Change, Kind, Observations, Probe, Text, is_template, quote};

const FILE: &str = "/etc/hostname";
const PARAMETER: &str = "kernel.hostname";

/// The host's name, now and after every boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hostname {
    /// One or several labels of lower-case letters, digits and hyphens, divided by dots.
    pub name: String,
}

impl Kind for Hostname {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Text(FILE.to_string()), Probe::Sysctl(PARAMETER.to_string())]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        // hostname(5): comments and empty lines do not count.
        let lines = |text: &str| {
            text.lines()
                .map(|line| line.trim().to_string())
                .find(|line| !line.is_empty() && !line.starts_with('#'))
        };
        let at_boot = match seen.texts.get(FILE) {
            Some(Text::Known(text)) => lines(text).unwrap_or_default(),
            _ => String::new(),
        };
        let now = seen.sysctls.get(PARAMETER).cloned().unwrap_or_default();
        let mut change = Change::new(format!("name the host {}", self.name));
        for (what, from) in [("now", now), ("at boot", at_boot)] {
            if from != self.name {
                change = change.attribute(what, from, &self.name);
            }
        }
        (!change.details.is_empty()).then_some(change)
    }

    fn acts(&self, _: &Observations) -> Vec<Act> {
        let name = quote(&self.name);
        // hostnamectl tells those who listen, such as NetworkManager. It needs a bus, which not every host has.
        vec![Act::quick(format!(
            "command -v hostnamectl >/dev/null && hostnamectl set-hostname {name} 2>/dev/null && exit 0\n\
             printf '%s\\n' {name} > /etc/.hostname.hoist && chmod 0644 /etc/.hostname.hoist && \
             mv -f /etc/.hostname.hoist {FILE} && printf %s {name} > /proc/sys/kernel/hostname"
        ))]
    }

    fn mistake(&self) -> Option<String> {
        let fits = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        // HOST_NAME_MAX of Linux.
        let valid = self.name.len() <= 64 && self.name.split('.').all(fits);
        (!is_template(&self.name) && !valid).then(|| format!("\"{}\" is no host name (RFC 1123)", self.name))
    }
}
