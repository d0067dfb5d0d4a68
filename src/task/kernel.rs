//! Kernel parameters and modules: each for now and for after the next boot.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Act, Change, File, Kind, Mode, Observations, Probe,
    probe::{has_module, sysctl_file, words},
    quote,
};

/// Kernel parameters, set now and written to a file of `/etc/sysctl.d` for every later boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sysctl {
    /// The file, such as `/etc/sysctl.d/zz-kubernetes.conf`. It belongs to this task alone.
    pub file: String,
    /// Dotted names and their values.
    pub values: BTreeMap<String, String>,
}

/// Kernel modules, loaded now and listed in a file of `/etc/modules-load.d` for every later boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KernelModules {
    /// The file, such as `/etc/modules-load.d/kubernetes.conf`. It belongs to this task alone.
    pub file: String,
    /// Each module's name, and a path that exists only when the kernel has it (built in or loaded), or null.
    pub modules: BTreeMap<String, Option<String>>,
}

/// A configuration file that a kernel task keeps.
fn kept(path: &str, content: String) -> File {
    let root = || "root".to_string();
    File {
        path: path.to_string(),
        content,
        mode: Mode(0o644),
        owner: root(),
        group: root(),
        secret: false,
        validate: None,
    }
}

/// What puts the file in place, if it is not.
fn kept_acts(file: &File, seen: &Observations) -> Vec<Act> {
    if file.diff(seen).is_some() { file.acts(seen) } else { Vec::new() }
}

impl Sysctl {
    fn kept(&self) -> File {
        let lines: String = self.values.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        kept(&self.file, lines)
    }

    fn wrong<'a>(&'a self, seen: &'a Observations) -> impl Iterator<Item = (&'a String, &'a String)> {
        self.values.iter().filter(|(key, value)| seen.sysctls.get(*key) != Some(&words(value)))
    }
}

impl Kind for Sysctl {
    fn probes(&self) -> Vec<Probe> {
        let values = self.values.keys().map(|key| Probe::Sysctl(key.clone()));
        values.chain(self.kept().probes()).collect()
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        let mut change = Change::new(format!("set kernel parameters ({})", self.file));
        for (key, value) in self.wrong(seen) {
            let now = seen.sysctls.get(key).cloned().unwrap_or_else(|| "absent".to_string());
            change = change.attribute(key, now, value);
        }
        if let Some(file) = self.kept().diff(seen) {
            change.details.extend(file.details);
        }
        (!change.details.is_empty()).then_some(change)
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        let mut acts = kept_acts(&self.kept(), seen);
        // Asked once more, for what holds need not be written: a container often may not.
        acts.extend(self.wrong(seen).map(|(key, value)| {
            let (file, wanted) = (quote(&sysctl_file(key)), quote(&words(value)));
            let value = quote(value);
            Act::quick(format!(
                "[ \"$(set -f; echo $(cat {file} 2>/dev/null))\" = {wanted} ] || printf '%s\\n' {value} > {file}"
            ))
        }));
        acts
    }

    fn foresee(&self, seen: &mut Observations) {
        self.kept().foresee(seen);
    }
}

impl KernelModules {
    fn kept(&self) -> File {
        kept(&self.file, self.modules.keys().map(|name| format!("{name}\n")).collect())
    }

    fn missing<'a>(&'a self, seen: &'a Observations) -> impl Iterator<Item = &'a String> {
        self.modules.keys().filter(|name| !seen.modules.contains(*name))
    }
}

impl Kind for KernelModules {
    fn probes(&self) -> Vec<Probe> {
        let modules = self
            .modules
            .iter()
            .map(|(name, evidence)| Probe::Module { name: name.clone(), evidence: evidence.clone() });
        modules.chain(self.kept().probes()).collect()
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        let mut change = Change::new(format!("load kernel modules ({})", self.file));
        for name in self.missing(seen) {
            change = change.attribute(name, "absent", "loaded");
        }
        if let Some(file) = self.kept().diff(seen) {
            change.details.extend(file.details);
        }
        (!change.details.is_empty()).then_some(change)
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        let mut acts = kept_acts(&self.kept(), seen);
        // A kernel without the module is the likeliest cause, and modprobe(8) says only that something failed.
        acts.extend(self.missing(seen).map(|name| {
            let hint = format!(
                "the kernel has no {name}: boot the distribution's own kernel, or install the package with the rest of its modules (linux-modules-extra-$(uname -r), kernel-modules-extra-$(uname -r))"
            );
            let evidence = self.modules.get(name).and_then(Option::as_deref);
            let present = has_module(name, evidence);
            Act::quick(format!(
                "{{ {present}; }} || modprobe {} || {{ echo {} >&2; exit 1; }}",
                quote(name),
                quote(&hint)
            ))
        }));
        acts
    }

    fn foresee(&self, seen: &mut Observations) {
        self.kept().foresee(seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the last act of a statement about a host that nobody has looked at succeeds here.
    fn done(task: &dyn Kind) -> bool {
        let acts = task.acts(&Observations::default());
        let Some(Act::Script { text, .. }) = acts.last() else { panic!("{acts:?}") };
        std::process::Command::new("sh").args(["-c", text]).output().unwrap().status.success()
    }

    #[test]
    fn what_holds_already_is_not_done_where_it_must_not_be() {
        let sysctl = |value: &str| Sysctl {
            file: "/etc/sysctl.d/a.conf".into(),
            // Nobody may write it.
            values: [("kernel.ostype".to_string(), value.to_string())].into(),
        };
        assert!(done(&sysctl("Linux")) && !done(&sysctl("Other")));
        let modules = |evidence: &str| KernelModules {
            file: "/etc/modules-load.d/a.conf".into(),
            modules: [("hoist_none".to_string(), Some(evidence.to_string()))].into(),
        };
        assert!(done(&modules("/proc/self")) && !done(&modules("/proc/none")));
    }
}
