//! Distribution packages, through apt or dnf.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, Change, Kind, Observations, Probe, quote_all};

/// Distribution packages that must be installed, in whatever version the host's repositories give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Their names in the host's distribution.
    pub names: Vec<String>,
}

impl Package {
    fn missing<'a>(&'a self, seen: &'a Observations) -> impl Iterator<Item = &'a str> {
        self.names.iter().map(String::as_str).filter(|name| !seen.packages.contains_key(*name))
    }
}

impl Kind for Package {
    fn probes(&self) -> Vec<Probe> {
        self.names.iter().map(|name| Probe::Package(name.clone())).collect()
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        let missing: Vec<&str> = self.missing(seen).collect();
        (!missing.is_empty()).then(|| Change::new(format!("install {}", missing.join(" "))))
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        let names = quote_all(self.missing(seen));
        // Apt's lists may be older than the repository: refresh them once, when the first try finds nothing. Apt is
        // told to wait for a lock; dnf waits by itself, and refreshes by itself.
        let text = format!(
            "if command -v apt-get >/dev/null; then\n\
             export DEBIAN_FRONTEND=noninteractive\n\
             try() {{ apt-get -qy -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold install --no-install-recommends {names}; }}\n\
             try || {{ apt-get -qy update && try; }}\n\
             else dnf -qy --setopt=install_weak_deps=False install {names}; fi"
        );
        vec![Act::Script { text, stdin: None, timeout: Duration::from_secs(1800) }]
    }
}
