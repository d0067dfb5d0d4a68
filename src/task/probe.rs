//! Observing a host: all probes in one script, one answer, one typed result.
//!
//! The script asks each tool once for everything (`stat` for all paths, `systemctl show` for all units), so
//! that reading a host costs a handful of processes there. Its output is line-oriented; sections start with
//! a line `#name`, which no answer can contain because every answer's lines start otherwise.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{quote, quote_all};

/// Something to observe.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// A path: kind, mode, owner, modification time and, for a regular file, digest.
    Path(String),
    /// A distribution package.
    Package(String),
    /// A systemd unit.
    Unit(String),
    /// A kernel parameter, in dotted form.
    Sysctl(String),
    /// A kernel module: loaded, built in, or evidenced by a path that exists only with it.
    Module { name: String, evidence: Option<String> },
    /// Swap: what is active, and what fstab would activate.
    Swap,
    /// The images in containerd's namespace for Kubernetes.
    Images,
    /// A script whose exit status is the answer.
    Check(String),
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PathState {
    /// `st_mode`: file type and permission bits.
    pub mode: u32,
    pub owner: String,
    pub group: String,
    pub size: u64,
    /// Modification time, seconds and fraction since the epoch as `stat` prints them.
    pub modified: String,
    /// Lower-case hex SHA-256 of a regular file.
    pub sha256: Option<String>,
}

impl PathState {
    const TYPE: u32 = 0o170000;

    /// Permission bits with set-id and sticky bits.
    pub fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }

    pub fn is_directory(&self) -> bool {
        self.mode & Self::TYPE == 0o040000
    }

    pub fn is_file(&self) -> bool {
        self.mode & Self::TYPE == 0o100000
    }

    /// The type in words.
    pub fn kind(&self) -> &'static str {
        match self.mode & Self::TYPE {
            0o040000 => "directory",
            0o100000 => "file",
            0o120000 => "symbolic link",
            _ => "special file",
        }
    }
}

/// What systemd says of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnitState {
    /// `LoadState`: `loaded`, `not-found`, `masked` …
    pub load: String,
    /// `ActiveState`: `active`, `inactive`, `failed`, `activating` …
    pub active: String,
    /// `UnitFileState`: `enabled`, `disabled`, `static` …
    pub file: String,
    /// `NeedDaemonReload`: the unit file is newer than what systemd has read.
    pub stale: bool,
    /// When the running invocation began, as `stat` prints times; nothing when it does not run.
    pub started: Option<String>,
}

/// Everything that was observed of a host in one probe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observations {
    pub paths: BTreeMap<String, PathState>,
    /// Installed packages and their versions.
    pub packages: BTreeMap<String, String>,
    pub units: BTreeMap<String, UnitState>,
    pub sysctls: BTreeMap<String, String>,
    pub modules: BTreeSet<String>,
    /// Devices or files that are swapped to now.
    pub swaps: Vec<String>,
    /// Whether fstab would bring swap back.
    pub swap_in_fstab: bool,
    /// References of images and the digest of each.
    pub images: BTreeMap<String, String>,
    /// Scripts of [`Probe::Check`] that answered 0.
    pub passed: BTreeSet<String>,
    /// Present contents of text files that differ; read in a second round trip, only to be shown.
    pub contents: BTreeMap<String, String>,
}

/// The script that observes all of these in one go.
pub fn probe_script(probes: &BTreeSet<Probe>) -> String {
    let mut paths = BTreeSet::new();
    let (mut packages, mut units, mut sysctls, mut tail) = (vec![], vec![], vec![], String::new());
    for probe in probes {
        match probe {
            Probe::Path(path) => {
                paths.insert(path.clone());
            }
            Probe::Package(name) => packages.push(name.as_str()),
            Probe::Unit(unit) => {
                units.push(unit.as_str());
                paths.insert(invocation(unit));
            }
            Probe::Sysctl(key) => sysctls.push(key.as_str()),
            Probe::Module { name, evidence } => tail.push_str(&module_probe(name, evidence.as_deref())),
            Probe::Swap => tail.push_str(SWAP),
            Probe::Images => tail.push_str("echo '#images'\nctr -n k8s.io images ls 2>/dev/null\n"),
            Probe::Check(_) => {}
        }
    }
    let mut script = String::from("export LC_ALL=C\n");
    if !paths.is_empty() {
        let words = quote_all(paths.iter().map(String::as_str));
        // Two processes however many paths there are; what is missing is simply not answered.
        script.push_str(&format!(
            "set -- {words}\necho '#paths'\nstat -c '%f %U %G %s %.9Y %n' -- \"$@\" 2>/dev/null\n"
        ));
        script.push_str("echo '#digests'\nsha256sum -- \"$@\" 2>/dev/null\n");
    }
    if !packages.is_empty() {
        let words = quote_all(packages);
        script.push_str(&format!(
            "echo '#packages'\nif command -v dpkg-query >/dev/null; then \
             dpkg-query -W -f '${{db:Status-Status}} ${{Package}} ${{Version}}\\n' {words} 2>/dev/null; \
             else rpm -q --qf 'installed %{{NAME}} %{{VERSION}}-%{{RELEASE}}\\n' {words} 2>/dev/null | grep '^installed '; fi\n"
        ));
    }
    if !units.is_empty() {
        script.push_str(&format!(
            "echo '#units'\nsystemctl show -p Id -p LoadState -p ActiveState -p UnitFileState -p NeedDaemonReload {}\n",
            quote_all(units)
        ));
    }
    if !sysctls.is_empty() {
        // Not the shell's `read`: it asks byte by byte, and these files answer only the first time.
        let files: Vec<String> = sysctls.into_iter().map(sysctl_file).collect();
        let words = quote_all(files.iter().map(String::as_str));
        script.push_str(&format!("echo '#sysctls'\ngrep -sH '' {words}\n"));
    }
    script.push_str(&tail);
    for (index, check) in checks(probes).enumerate() {
        // A subshell of its own: a check may set, cd or exit.
        script.push_str(&format!("(\n{check}\n) >/dev/null 2>&1 </dev/null && echo '#passed {index}'\n"));
    }
    script.push_str("exit 0\n");
    script
}

const SWAP: &str = "echo '#swap'
while read -r device rest; do case $device in Filename) ;; *) echo \"active $device\";; esac; done < /proc/swaps
grep -Eq '^[^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap[[:space:]]' /etc/fstab 2>/dev/null && echo 'fstab'
";

/// Where systemd keeps a link for the running invocation of a unit; its age is the age of the invocation.
fn invocation(unit: &str) -> String {
    format!("/run/systemd/units/invocation:{unit}")
}

const SYSCTLS: &str = "/proc/sys/";

/// The file of a kernel parameter. As sysctl(8) has it, a `/` in a dotted key stands for a dot in a name.
pub(super) fn sysctl_file(key: &str) -> String {
    format!("{SYSCTLS}{}", dots_and_slashes_swapped(key))
}

fn sysctl_key(file: &str) -> Option<String> {
    file.strip_prefix(SYSCTLS).map(dots_and_slashes_swapped)
}

fn dots_and_slashes_swapped(text: &str) -> String {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    text.chars().map(swap).collect()
}

fn module_probe(name: &str, evidence: Option<&str>) -> String {
    let evidence = evidence.map(|path| format!("[ -e {} ] || ", quote(path))).unwrap_or_default();
    let directory = quote(&format!("/sys/module/{}", name.replace('-', "_")));
    let builtin = quote(&format!("/{}.ko", name));
    let filesystem = quote(name);
    format!(
        "{{ {evidence}[ -d {directory} ] || grep -qsw {filesystem} /proc/filesystems || grep -qsF {builtin} /lib/modules/$(uname -r)/modules.builtin; }} && echo '#module {name}'\n"
    )
}

fn checks(probes: &BTreeSet<Probe>) -> impl Iterator<Item = &String> {
    probes.iter().filter_map(|probe| match probe {
        Probe::Check(script) => Some(script),
        _ => None,
    })
}

impl Observations {
    /// Reads the answer to [`probe_script`] for the same probes. Lines it does not know are passed over.
    pub fn parse(probes: &BTreeSet<Probe>, answer: &str) -> Observations {
        let mut seen = Observations::default();
        let mut section = "";
        let mut unit = UnitState::default();
        let mut unit_names = probes.iter().filter_map(|probe| match probe {
            Probe::Unit(name) => Some(name),
            _ => None,
        });
        let scripts: Vec<&String> = checks(probes).collect();
        // Blocks of units are divided by an empty line; the end of the section closes the last one.
        for line in answer.lines().chain(["#end"]) {
            if section == "#units" && (line.is_empty() || line.starts_with('#')) && !unit.load.is_empty() {
                if let Some(name) = unit_names.next() {
                    let started = seen.paths.get(&invocation(name)).map(|path| path.modified.clone());
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
                }
                section = line;
                continue;
            }
            seen.line(section, line, &mut unit);
        }
        seen
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
                if let Some((digest, path)) = line.split_once("  ")
                    && let Some(state) = self.paths.get_mut(path)
                    && state.is_file()
                {
                    state.sha256 = Some(digest.to_string());
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
            "#swap" => match line.strip_prefix("active ") {
                Some(device) => self.swaps.push(device.to_string()),
                None => self.swap_in_fstab |= line == "fstab",
            },
            "#images" => {
                let columns: Vec<&str> = line.split_whitespace().collect();
                if let [reference, _, digest, ..] = columns[..]
                    && digest.starts_with("sha256:")
                {
                    self.images.insert(reference.to_string(), digest.to_string());
                }
            }
            _ => {}
        }
    }
}

/// A kernel parameter with several values answers them divided by tabs; people write blanks.
pub(super) fn words(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn path_line(line: &str) -> Option<(String, PathState)> {
    let mut parts = line.splitn(6, ' ');
    let mode = u32::from_str_radix(parts.next()?, 16).ok()?;
    let (owner, group) = (parts.next()?.to_string(), parts.next()?.to_string());
    let size = parts.next()?.parse().ok()?;
    let modified = parts.next()?.to_string();
    Some((parts.next()?.to_string(), PathState { mode, owner, group, size, modified, sha256: None }))
}

/// Contents larger than this are not fetched to be shown.
const SHOWN_BYTES: u64 = 256 * 1024;

/// The script that reads the present contents of text files, to be shown in a diff.
pub fn contents_script(paths: &[&str]) -> String {
    let words = quote_all(paths.iter().copied());
    // base64 makes the answer lines again, whatever the files contain.
    format!(
        "for path in {words}; do [ -f \"$path\" ] && [ \"$(stat -c %s \"$path\")\" -le {SHOWN_BYTES} ] || continue\n\
         printf '#content %s\\n' \"$path\"; base64 < \"$path\"; done\nexit 0\n"
    )
}
