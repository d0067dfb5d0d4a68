//! systemd units.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Act, Change, Kind, Observations, Probe, UnitState, probe::later, quote};

fn yes() -> Option<bool> {
    Some(true)
}

/// A systemd unit that is enabled and running with its present configuration, or is not.
///
/// Whether it runs with its present configuration is judged from the host alone: a unit whose invocation is
/// older than one of its files restarts. So a run that was killed between writing a file and restarting
/// the unit is mended by the next one, which a handler that is only remembered could not do. The same goes for reloads,
/// whose last one is known by the age of a file in `/run/hoist`; so a reload by somebody else is repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The unit's full name, such as `containerd.service`.
    pub unit: String,
    /// Whether it is started at boot; null where that is left as it is.
    #[serde(default = "yes")]
    pub enabled: Option<bool>,
    /// Whether it runs now: false stops it; null where that is left as it is, as that of a kubelet before `kubeadm join`.
    #[serde(default = "yes")]
    pub running: Option<bool>,
    /// Files that the unit reads only when it starts; a newer one restarts it.
    #[serde(default)]
    pub restart_after: Vec<String>,
    /// Files that the unit reads again when it is told to reload, which interrupts nothing; a newer one reloads it.
    #[serde(default)]
    pub reload_after: Vec<String>,
    /// What a restart or a stop interrupts, shown in plans.
    #[serde(default)]
    pub disrupts: Option<String>,
    /// A name: of the restarts and stops that have it, and of the commands, one is carried out at a time on all hosts
    /// together, in whatever run of the cluster. When one fails, those that wait are not begun in this run. Empty: no
    /// such limit.
    #[serde(default)]
    pub one_at_a_time: Option<String>,
    /// A check (POSIX sh) that succeeds where what needs the unit is well. What was well before a restart has to be so
    /// again within two minutes: else it has failed. Empty: nothing is looked at.
    #[serde(default)]
    pub well: Option<String>,
}

/// Where the units are that are no part of a package.
const UNITS: &str = "/etc/systemd/system/";

/// How long what needs a unit may take to get well again.
const WELL_AGAIN: Duration = Duration::from_secs(120);

impl Service {
    /// Made by each reload, and as old as its beginning.
    fn reloaded(&self) -> String {
        format!("/run/hoist/reloaded:{}", self.unit)
    }

    /// The unit's own file, and the folder of its drop-ins, whose time moves when one comes or goes. systemd itself forgets
    /// that they were changed as soon as anybody has it read all units anew, which restarts none.
    fn own_files(&self) -> [String; 2] {
        [format!("{UNITS}{}", self.unit), format!("{UNITS}{}.d", self.unit)]
    }

    /// Those of these files that are newer than the running invocation.
    fn newer<'a>(&self, files: &'a [String], seen: &Observations) -> Vec<&'a str> {
        let Some(started) = seen.units.get(&self.unit).and_then(|unit| unit.started.as_deref()) else {
            return Vec::new();
        };
        let newer = |path: &&String| seen.paths.get(*path).is_some_and(|file| later(&file.modified, started));
        files.iter().filter(newer).map(String::as_str).collect()
    }

    /// What a running unit has not been started with. A link to its file is not that: systemd makes those for aliases,
    /// whenever a unit is enabled.
    fn restart_because(&self, now: &UnitState, seen: &Observations) -> Vec<String> {
        let mut newer: Vec<String> =
            self.newer(&self.restart_after, seen).into_iter().map(String::from).collect();
        let own = self.own_files();
        let own = self.newer(&own, seen).into_iter().filter(|path| !seen.paths[*path].is_link());
        let own: Vec<String> =
            own.filter(|path| !newer.iter().any(|file| file == path)).map(String::from).collect();
        newer.extend(own);
        if now.stale { vec!["its unit file".to_string()] } else { newer }
    }

    /// The files that a running unit has read at no start and at no reload.
    fn unread(&self, seen: &Observations) -> Vec<&str> {
        let reloaded = seen.paths.get(&self.reloaded()).map_or("0", |stamp| &stamp.modified);
        let unread = |path: &&str| seen.paths.get(*path).is_some_and(|file| later(&file.modified, reloaded));
        self.newer(&self.reload_after, seen).into_iter().filter(unread).collect()
    }

    /// Whether anybody wants it: what is masked then cannot stay so.
    fn is_wanted(&self) -> bool {
        self.enabled == Some(true) || self.running == Some(true)
    }

    /// What restarts it, and proves that all is as well as before.
    fn restart(&self) -> String {
        let unit = quote(&self.unit);
        let start = start("restart", &unit);
        let Some(well) = self.well.as_deref().filter(|check| !check.trim().is_empty()) else { return start };
        let message = quote(&format!(
            "what needs {} is not well {} s after its restart",
            self.unit,
            WELL_AGAIN.as_secs()
        ));
        format!(
            "is_well() {{\n(\n{well}\n) >/dev/null 2>&1 </dev/null\n}}\nis_well && was_well=yes || was_well=\n{start}\
             end=$(($(date +%s) + {}))\nuntil [ -z \"$was_well\" ] || is_well; do\n\
             [ \"$(date +%s)\" -lt $end ] || {{ echo {message} >&2; journalctl -q --no-pager -n 20 -u {unit} >&2; exit 1; }}\n\
             sleep 1\ndone\n",
            WELL_AGAIN.as_secs()
        )
    }

    /// Whether it is started at boot and shall not be, or the other way round.
    fn boot_differs(&self, now: &UnitState) -> bool {
        match (self.enabled, now.file.as_str()) {
            (Some(true), file) => !matches!(file, "enabled" | "static" | "alias" | "generated"),
            (Some(false), file) => matches!(file, "enabled" | "enabled-runtime"),
            (None, _) => false,
        }
    }

    /// What makes it run with its present configuration, or not run.
    fn verb(&self, now: &UnitState, seen: &Observations) -> Option<&'static str> {
        if !self.running? {
            let runs = !matches!(now.active.as_str(), "" | "inactive" | "failed");
            runs.then_some("stop")
        } else if now.active != "active" {
            Some("start")
        } else if !self.restart_because(now, seen).is_empty() {
            Some("restart")
        } else if !self.unread(seen).is_empty() {
            Some("reload")
        } else {
            None
        }
    }
}

impl Kind for Service {
    fn probes(&self) -> Vec<Probe> {
        let files = self.restart_after.iter().chain(&self.reload_after).cloned().chain(self.own_files());
        let reloaded = (!self.reload_after.is_empty()).then(|| self.reloaded());
        files.chain(reloaded).map(Probe::Path).chain([Probe::Unit(self.unit.clone())]).collect()
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        let now = seen.units.get(&self.unit).cloned().unwrap_or_default();
        let verb = self.verb(&now, seen);
        let summary = match verb {
            Some(verb @ ("restart" | "reload" | "stop")) => verb,
            None if self.enabled == Some(false) => "disable",
            _ => "bring up",
        };
        let mut change = Change::new(format!("{summary} {}", self.unit));
        if now.load == "masked" && self.is_wanted() {
            change = change.attribute("masked", "yes", "no");
        }
        if self.boot_differs(&now) {
            let (from, to) = match self.enabled {
                Some(false) => ("started", "not started"),
                _ => ("not started", "started"),
            };
            change = change.attribute("at boot", from, to);
        }
        match verb {
            Some("start") => {
                let state = if now.active.is_empty() { "absent".to_string() } else { now.active.clone() };
                change = change.attribute("state", state, "active");
            }
            Some("stop") => {
                change = change.attribute("state", &now.active, "inactive");
                change = change.disrupting(self.disrupts.clone().unwrap_or_else(|| self.unit.clone()));
            }
            Some("restart") => {
                let why = self.restart_because(&now, seen).join(" ");
                change = change.attribute("started", format!("before the change of {why}"), "now");
                change = change.disrupting(self.disrupts.clone().unwrap_or_else(|| self.unit.clone()));
            }
            Some(_) => {
                let why = self.unread(seen).join(" ");
                change = change.attribute("loaded", format!("before the change of {why}"), "now");
            }
            None => {}
        }
        if now.stale && verb != Some("restart") {
            change = change.attribute("unit file", "not read since its change", "read");
        }
        (!change.details.is_empty()).then_some(change)
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        let unit = quote(&self.unit);
        let now = seen.units.get(&self.unit).cloned().unwrap_or_default();
        let mut text = String::from("systemctl daemon-reload || exit 1\n");
        if now.load == "masked" && self.is_wanted() {
            text.push_str(&format!("systemctl unmask {unit} || exit 1\n"));
        }
        match self.enabled {
            Some(true) => text.push_str(&format!("systemctl -q enable {unit} || exit 1\n")),
            Some(false) if self.boot_differs(&now) => text.push_str(&format!(
                "systemctl -q disable {unit} && systemctl -q --runtime disable {unit} || exit 1\n"
            )),
            _ => {}
        }
        // Enabled or read anew while it runs as it shall: starting it again does no harm.
        match self.verb(&now, seen).or((self.running == Some(true)).then_some("start")) {
            Some("stop") => text.push_str(&format!("systemctl stop {unit} || exit 1\n")),
            Some("reload") => {
                let (stamp, part) = (self.reloaded(), format!("{}.part", self.reloaded()));
                let (stamp, part) = (quote(&stamp), quote(&part));
                text.push_str(&format!(
                    "mkdir -p /run/hoist && : > {part} && systemctl reload {unit} && systemctl -q is-active {unit} && \
                     mv -f {part} {stamp} || {{ rm -f {part}; journalctl -q --no-pager -n 20 -u {unit} >&2; exit 1; }}\n"
                ));
            }
            Some("restart") => text.push_str(&self.restart()),
            Some(verb) => text.push_str(&start(verb, &unit)),
            None => {}
        }
        vec![Act::Script { text, stdin: None, timeout: Duration::from_secs(180) + WELL_AGAIN }]
    }

    /// What does not run can be started everywhere: nothing is interrupted by that, and each may need the others.
    fn turn(&self, seen: &Observations) -> Option<&str> {
        let now = seen.units.get(&self.unit).cloned().unwrap_or_default();
        let interrupts = matches!(self.verb(&now, seen), Some("restart" | "stop"));
        self.one_at_a_time.as_deref().filter(|_| interrupts)
    }
}

/// Starts a unit by this verb; where that fails, its log says why.
fn start(verb: &str, unit: &str) -> String {
    format!(
        "systemctl reset-failed {unit} 2>/dev/null\nsystemctl {verb} {unit} && systemctl -q is-active {unit} || \
         {{ journalctl -q --no-pager -n 20 -u {unit} >&2; exit 1; }}\n"
    )
}
