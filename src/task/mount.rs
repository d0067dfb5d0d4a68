//! File systems that are mounted, now and after every boot.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Act, Change, Kind, Observations, Probe,
    edit::{Edit, set_line},
    is_template, octal, quote, sha256,
};

pub(super) const FSTAB: &str = "/etc/fstab";

/// A file system in `/etc/fstab` that is mounted; no bind mount. The directory is made when it is missing; nothing
/// is ever formatted or unmounted. The entry is written once the file system was mounted as it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// What is mounted, as fstab(5) has it: a device, `UUID=…`, `server:/path`, `tmpfs` …
    pub source: String,
    /// Absolute path of the directory.
    pub path: String,
    /// `ext4`, `xfs`, `nfs` …
    pub fstype: String,
    /// As fstab(5) has them. Another text in the entry mounts the file system anew with what it says; what is
    /// mounted is not compared with it.
    #[serde(default = "defaults")]
    pub options: String,
}

fn defaults() -> String {
    "defaults".to_string()
}

impl Mount {
    fn entry(&self) -> String {
        let words = [&self.source, &self.path, &self.fstype, &self.options].map(|word| octal(word));
        format!("{} 0 0", words.join(" "))
    }

    fn edit<'a>(&'a self, seen: &'a Observations) -> Edit<'a> {
        let path = octal(&self.path);
        let is_ours = |line: &str| {
            !line.trim_start().starts_with('#') && line.split_whitespace().nth(1) == Some(path.as_str())
        };
        Edit::new(FSTAB, seen, |text| Ok(set_line(text, &self.entry(), is_ours, |_| false)))
    }

    /// What is mounted there instead, in words.
    fn other(&self, seen: &Observations) -> Option<String> {
        let now = seen.mounts.get(&self.path)?;
        // A device has many names: what counts is its number, or its own name where a file system such as btrfs
        // has numbers of its own.
        let same_source = match seen.devices.get(&self.source) {
            Some((number, name)) => *number == now.device || *name == now.source,
            None => octal(&self.source) == now.source,
        };
        let same = now.fstype == self.fstype && same_source;
        (!same).then(|| format!("{} ({})", now.source, now.fstype))
    }
}

impl Kind for Mount {
    fn probes(&self) -> Vec<Probe> {
        vec![
            Probe::Text(FSTAB.to_string()),
            Probe::Mount { path: self.path.clone(), source: self.source.clone() },
        ]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        let wanted = format!("{} ({})", self.source, self.fstype);
        let edit = self.edit(seen).change(String::new(), false);
        let mut change = Change::new(format!("mount {wanted} on {}", self.path));
        if !seen.mounts.contains_key(&self.path) {
            change = change.attribute("mounted", "nothing", wanted);
        } else if let Some(other) = self.other(seen) {
            change = change.attribute("mounted", other, wanted);
        } else if edit.is_some() {
            change = change.disrupting(format!("{} is mounted anew with other options", self.path));
        }
        change.details.extend(edit.into_iter().flat_map(|edit| edit.details));
        (!change.details.is_empty()).then_some(change)
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        if let Some(other) = self.other(seen) {
            return vec![Act::refuse(&format!(
                "{other} is mounted on {}: unmount it first, hoist never does",
                self.path
            ))];
        }
        let [source, path, fstype, options] =
            [&self.source, &self.path, &self.fstype, &self.options].map(|word| quote(word));
        // With source and path mount(8) takes nothing from fstab, which still says what was before.
        let mount = match seen.mounts.contains_key(&self.path) {
            true => format!("mount -o remount,{options} {source} {path}"),
            false => format!("mkdir -p {path} && mount -t {fstype} -o {options} {source} {path}"),
        };
        // fstab comes after what it says was seen to work: an entry that fails could keep the host from booting, and one
        // that is there says that nothing is left to do.
        let slow = |text| Act::Script { text, stdin: None, timeout: Duration::from_secs(180) };
        let mut acts = vec![slow(mount)];
        acts.extend(self.edit(seen).acts());
        // systemd has made units of the old entries.
        acts.push(slow("[ ! -d /run/systemd/system ] || systemctl daemon-reload".to_string()));
        acts
    }

    fn foresee(&self, seen: &mut Observations) {
        if let Some(text) = self.edit(seen).foreseen() {
            seen.will_write(FSTAB, &sha256(text.as_bytes()), Some(&text));
        }
    }

    fn mistake(&self) -> Option<String> {
        let path = &self.path;
        let odd = !path.starts_with('/') || path.ends_with('/') || path.contains("//");
        if !is_template(path) && odd {
            return Some(format!("\"{path}\" is no absolute path without a slash at its end"));
        }
        let bind = self.fstype == "none" || self.options.split(',').any(|option| option.ends_with("bind"));
        bind.then(|| {
            "a bind mount cannot be told from what it shows: write a mount unit with `template`".to_string()
        })
    }
}
