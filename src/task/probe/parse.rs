//! From a host's answer to what was observed.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{
    DeviceNumber, DiskState, ImageState, MountState, Observations, PathState, Probe, Text, UnitState,
    UserState, checks, invocation, script::octal, sysctl_key, words,
};
use crate::task::image::PINNED_LABEL;

impl Observations {
    /// Reads the answer to [`probe_script`] for the same probes. Lines it does not know are passed over.
    pub fn parse(probes: &BTreeSet<Probe>, answer: &str) -> Observations {
        let mut seen = Observations::default();
        let mut section = "";
        let (mut id, mut unit) = (String::new(), UnitState::default());
        let (mut encoded, mut user) = (BTreeMap::new(), None);
        let mut asked: Vec<&String> = probes
            .iter()
            .filter_map(|probe| match probe {
                Probe::Unit(name) => Some(name),
                _ => None,
            })
            .collect();
        let scripts: Vec<&String> = checks(probes).collect();
        // Blocks of units are divided by an empty line; the end of the section closes the last one.
        for line in answer.lines().chain(["#end"]) {
            if section == "#units" {
                if let Some(value) = line.strip_prefix("Id=") {
                    id = value.to_string();
                }
                let ended = (line.is_empty() || line.starts_with('#')) && !unit.load.is_empty();
                if ended && let Some(name) = answered(&mut asked, &id) {
                    let started = seen.paths.get(&invocation(&id)).map(|path| path.modified.clone());
                    seen.units.insert(name.clone(), UnitState { started, ..std::mem::take(&mut unit) });
                }
            }
            if line.starts_with('#') {
                if let Some(name) = line.strip_prefix("#module ") {
                    seen.modules.insert(name.to_string());
                } else if let Some(script) =
                    line.strip_prefix("#passed ").and_then(|index| scripts.get(index.parse::<usize>().ok()?))
                {
                    seen.passed.insert(script.to_string());
                } else if let Some((source, device)) = line.strip_prefix("#device ").and_then(device_line) {
                    seen.devices.insert(source, device);
                } else if let Some(path) = line.strip_prefix("#odd ") {
                    seen.texts.insert(path.to_string(), Text::Unfit("no regular file"));
                } else if let Some(path) = line.strip_prefix("#large ") {
                    seen.texts.insert(path.to_string(), Text::Unfit("larger than 256 KiB"));
                } else if let Some(path) = line.strip_prefix("#text ") {
                    encoded.insert(path, String::new());
                }
                section = line;
                continue;
            }
            match section.split_once(' ') {
                Some(("#text", path)) => encoded.entry(path).or_default().push_str(line),
                Some(("#disk", path)) => seen.disk(path, line),
                _ if section == "#users" => seen.user(&mut user, line),
                _ => seen.line(section, line, &mut unit),
            }
        }
        for (path, encoded) in encoded {
            seen.texts.insert(path.to_string(), text(&encoded));
        }
        for probe in probes {
            if let Probe::Mount { path, .. } = probe
                && let Some(state) = mounted(answer, path)
            {
                seen.mounts.insert(path.clone(), state);
            }
        }
        seen
    }

    /// A line of what is on a block device.
    fn disk(&mut self, path: &str, line: &str) {
        let state = match line.split_once(' ') {
            Some(("size", size)) => {
                DiskState { size: size.parse().unwrap_or_default(), ..DiskState::default() }
            }
            Some((key, value)) => {
                let Some(state) = self.disks.get_mut(path) else { return };
                match key {
                    "type" => state.fstype = Some(value.to_string()),
                    "found" => state.found.push(value.to_string()),
                    _ => {}
                }
                return;
            }
            None => return,
        };
        self.disks.insert(path.to_string(), state);
    }

    /// Two lines for each user: the entry of passwd(5), then the groups.
    fn user(&mut self, open: &mut Option<(String, UserState)>, line: &str) {
        match open.take() {
            Some((name, state)) => {
                let groups = line.split(' ').map(String::from).collect();
                self.users.insert(name, UserState { groups, ..state });
            }
            None => {
                if let [name, _, _, _, _, home, shell] = line.split(':').collect::<Vec<_>>()[..] {
                    let (home, shell) = (home.to_string(), shell.to_string());
                    *open = Some((name.to_string(), UserState { home, shell, groups: BTreeSet::new() }));
                }
            }
        }
    }

    /// Adds the answer to [`contents_script`]. What is not UTF-8 is not text and is not shown.
    pub fn add_contents(&mut self, answer: &str) {
        for block in answer.split("#content ").skip(1) {
            if let Some((path, encoded)) = block.split_once('\n')
                && let Ok(bytes) = BASE64.decode(encoded.replace('\n', ""))
                && let Ok(text) = String::from_utf8(bytes)
            {
                self.contents.insert(path.to_string(), text);
            }
        }
    }

    fn line(&mut self, section: &str, line: &str, unit: &mut UnitState) {
        match section {
            "#paths" => {
                if let Some((path, state)) = path_line(line) {
                    self.paths.insert(path, state);
                }
            }
            "#digests" => {
                if let Some((digest, path)) = digest_line(line)
                    && let Some(state) = self.paths.get_mut(&path)
                    && state.is_file()
                {
                    state.sha256 = Some(digest);
                }
            }
            "#packages" => {
                if let ["installed", name, version] = line.split(' ').collect::<Vec<_>>()[..] {
                    self.packages.insert(name.to_string(), version.to_string());
                }
            }
            "#units" => match line.split_once('=') {
                Some(("LoadState", value)) => unit.load = value.to_string(),
                Some(("ActiveState", value)) => unit.active = value.to_string(),
                Some(("UnitFileState", value)) => unit.file = value.to_string(),
                Some(("NeedDaemonReload", value)) => unit.stale = value == "yes",
                _ => {}
            },
            "#sysctls" => {
                if let Some((key, value)) =
                    line.split_once(':').and_then(|(file, value)| Some((sysctl_key(file)?, value)))
                {
                    self.sysctls.insert(key, words(value));
                }
            }
            "#swap" => match line.split_once(' ') {
                Some(("active", device)) => self.swaps.push(device.to_string()),
                Some(("unit", unit)) => self.swap_units.push(unit.to_string()),
                _ => self.swap_masked |= line == "masked",
            },
            "#images" => {
                let columns: Vec<&str> = line.split_whitespace().collect();
                if let [reference, _, digest, ..] = columns[..]
                    && digest.starts_with("sha256:")
                {
                    let pinned = columns
                        .last()
                        .is_some_and(|labels| labels.split(',').any(|label| label == PINNED_LABEL));
                    self.images
                        .insert(reference.to_string(), ImageState { digest: digest.to_string(), pinned });
                }
            }
            _ => {}
        }
    }
}

/// Which of the units asked for a block is about. A name that is not valid gets no block, and an alias a block
/// with another name: the name decides where it can, the order where it cannot.
fn answered<'a>(asked: &mut Vec<&'a String>, id: &str) -> Option<&'a String> {
    let index = asked.iter().position(|name| *name == id).unwrap_or(0);
    (!asked.is_empty()).then(|| asked.remove(index))
}

/// What a file holds, from its base64.
fn text(encoded: &str) -> Text {
    match BASE64.decode(encoded).map(String::from_utf8) {
        Ok(Ok(text)) if !text.contains('\0') => Text::Known(text),
        _ => Text::Unfit("no UTF-8 text"),
    }
}

/// The last of the file systems mounted at a path, which is the one that is seen there.
fn mounted(answer: &str, path: &str) -> Option<MountState> {
    let (_, lines) = answer.split_once("#mounts\n")?;
    let path = octal(path);
    let at_path = |line: &&str| line.split(' ').nth(4) == Some(&path);
    let line = lines.lines().take_while(|line| !line.starts_with('#')).filter(at_path).last()?;
    let device = device_number(line.split(' ').nth(2)?, 10)?;
    let mut words = line.split_once(" - ")?.1.split(' ');
    Some(MountState { fstype: words.next()?.to_string(), source: words.next()?.to_string(), device })
}

/// `MAJOR:MINOR` in hexadecimal, the device's own name, and what else it is called.
fn device_line(line: &str) -> Option<(String, (DeviceNumber, String))> {
    let [number, name, source] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { return None };
    Some((source.to_string(), (device_number(number, 16)?, name.to_string())))
}

fn device_number(text: &str, radix: u32) -> Option<DeviceNumber> {
    let (major, minor) = text.split_once(':')?;
    Some((u32::from_str_radix(major, radix).ok()?, u32::from_str_radix(minor, radix).ok()?))
}

/// `DIGEST  PATH`; a line that begins with a backslash has backslashes in its path escaped.
fn digest_line(line: &str) -> Option<(String, String)> {
    let escaped = line.strip_prefix('\\');
    let (digest, path) = escaped.unwrap_or(line).split_once("  ")?;
    let path = if escaped.is_some() { path.replace("\\\\", "\\") } else { path.to_string() };
    Some((digest.to_string(), path))
}

fn path_line(line: &str) -> Option<(String, PathState)> {
    let mut parts = line.splitn(6, ' ');
    let mode = u32::from_str_radix(parts.next()?, 16).ok()?;
    let (owner, group) = (parts.next()?.to_string(), parts.next()?.to_string());
    let size = parts.next()?.parse().ok()?;
    let modified = parts.next()?.to_string();
    Some((parts.next()?.to_string(), PathState { mode, owner, group, size, modified, sha256: None }))
}
