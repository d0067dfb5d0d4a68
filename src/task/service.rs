//! systemd units.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, Change, Kind, Observations, Probe, probe::later, quote};

fn yes() -> bool {
    true
}

/// A systemd unit that is enabled and running with its present configuration.
///
/// Whether it runs with its present configuration is judged from the host alone: a unit whose invocation is
/// older than one of its files restarts. So a run that was killed between writing a file and restarting
/// the unit is mended by the next one, which a handler that is only remembered could not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The unit's full name, such as `containerd.service`.
    pub unit: String,
    /// Started at boot.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether it must run now. A kubelet before `kubeadm join` is enabled but must not run.
    #[serde(default = "yes")]
    pub running: bool,
    /// Files that the unit reads only when it starts; a newer one restarts it.
    #[serde(default)]
    pub restart_after: Vec<String>,
    /// What a restart interrupts, shown in plans.
    #[serde(default)]
    pub disrupts: Option<String>,
}

impl Service {
    /// The files that are newer than the running invocation.
    fn newer<'a>(&'a self, seen: &'a Observations) -> Vec<&'a str> {
        let Some(started) = seen.units.get(&self.unit).and_then(|unit| unit.started.as_deref()) else {
            return Vec::new();
        };
        let newer = |path: &&String| seen.paths.get(*path).is_some_and(|file| later(&file.modified, started));
        self.restart_after.iter().filter(newer).map(String::as_str).collect()
    }
}

impl Kind for Service {
    fn probes(&self) -> Vec<Probe> {
        let files = self.restart_after.iter().map(|path| Probe::Path(path.clone()));
        files.chain([Probe::Unit(self.unit.clone())]).collect()
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        let now = seen.units.get(&self.unit).cloned().unwrap_or_default();
        let mut change = Change::new(format!("bring up {}", self.unit));
        if now.load == "masked" {
            change = change.attribute("masked", "yes", "no");
        }
        let enabled =
            matches!(now.file.as_str(), "enabled" | "enabled-runtime" | "static" | "alias" | "generated");
        if self.enabled && !enabled {
            change = change.attribute("at boot", "not started", "started");
        }
        let running = now.active == "active";
        if self.running && !running {
            let state = if now.active.is_empty() { "absent".to_string() } else { now.active.clone() };
            change = change.attribute("state", state, "active");
        }
        let newer = self.newer(seen);
        if self.running && running && (now.stale || !newer.is_empty()) {
            change.summary = format!("restart {}", self.unit);
            let why = if now.stale { "its unit file".to_string() } else { newer.join(" ") };
            change = change.attribute("started", format!("before the change of {why}"), "now");
            change = change.disrupting(self.disrupts.clone().unwrap_or_else(|| self.unit.clone()));
        } else if now.stale {
            change = change.attribute("unit file", "not read since its change", "read");
        }
        (!change.details.is_empty()).then_some(change)
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        let unit = quote(&self.unit);
        let now = seen.units.get(&self.unit).cloned().unwrap_or_default();
        let mut text = String::from("systemctl daemon-reload || exit 1\n");
        if now.load == "masked" {
            text.push_str(&format!("systemctl unmask {unit} || exit 1\n"));
        }
        if self.enabled {
            text.push_str(&format!("systemctl -q enable {unit} || exit 1\n"));
        }
        if self.running {
            let verb = if now.active == "active" && (now.stale || !self.newer(seen).is_empty()) {
                "restart"
            } else {
                "start"
            };
            text.push_str(&format!(
                "systemctl reset-failed {unit} 2>/dev/null\nsystemctl {verb} {unit} && systemctl -q is-active {unit} || \
                 {{ journalctl -q --no-pager -n 20 -u {unit} >&2; exit 1; }}\n"
            ));
        }
        vec![Act::Script { text, stdin: None, timeout: Duration::from_secs(180) }]
    }
}
