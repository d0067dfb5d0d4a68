//! Whether ssh_config files can say anything that matters here, without understanding all of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::transport::known_hosts::matches_wildcards;

/// What is taken from the files.
const KEYWORDS: [&str; 16] = [
    "certificatefile",
    "connecttimeout",
    "globalknownhostsfile",
    "hostkeyalias",
    "hostname",
    "identitiesonly",
    "identityagent",
    "identityfile",
    "port",
    "proxycommand",
    "proxyjump",
    "revokedhostkeys",
    "serveraliveinterval",
    "user",
    "userknownhostsfile",
    "canonicalizehostname",
];

/// As deep as ssh itself includes files in files.
const DEPTH: usize = 16;

/// The sections of files.
#[derive(Debug, Default)]
pub(super) struct Outline {
    sections: Vec<Section>,
}

#[derive(Debug)]
struct Section {
    /// The patterns of its `Host` line; none when it may be for any host: before the first such line, or in a `Match`.
    hosts: Option<Vec<String>>,
    /// Whether it says anything that is taken.
    matters: bool,
}

impl Outline {
    /// Reads files, each with the folder from which it includes others.
    pub(super) fn read(files: &[(PathBuf, PathBuf)]) -> Result<Outline, (PathBuf, io::Error)> {
        let mut outline = Outline::default();
        for (path, folder) in files {
            let text = fs::read(path).map_err(|error| (path.clone(), error))?;
            outline.add(&String::from_utf8_lossy(&text), folder, 0);
        }
        Ok(outline)
    }

    fn add(&mut self, text: &str, folder: &Path, depth: usize) {
        self.sections.push(Section { hosts: None, matters: false });
        for line in text.lines() {
            let mut words = words(line);
            let Some(keyword) = words.next().map(str::to_lowercase) else { continue };
            match keyword.as_str() {
                "host" => {
                    let hosts = words.map(str::to_lowercase).collect();
                    self.sections.push(Section { hosts: Some(hosts), matters: false });
                }
                "match" => self.sections.push(Section { hosts: None, matters: false }),
                "include" => {
                    for file in words.flat_map(|pattern| included(pattern, folder)) {
                        // ssh passes over what it cannot read, too.
                        if depth < DEPTH
                            && let Ok(text) = fs::read(file)
                        {
                            self.resume_after(|outline| {
                                outline.add(&String::from_utf8_lossy(&text), folder, depth + 1);
                            });
                        }
                    }
                }
                keyword => {
                    let matters = KEYWORDS.contains(&keyword);
                    if let Some(section) = self.sections.last_mut() {
                        section.matters |= matters;
                    }
                }
            }
        }
    }

    /// The section goes on after what it includes.
    fn resume_after(&mut self, include: impl FnOnce(&mut Outline)) {
        let hosts = self.sections.last().and_then(|section| section.hosts.clone());
        include(self);
        self.sections.push(Section { hosts, matters: false });
    }

    /// Whether anything that is taken may be said of a host of this name.
    pub(super) fn speaks_of(&self, name: &str) -> bool {
        let may = |section: &Section| section.hosts.as_ref().is_none_or(|hosts| matches(hosts, name));
        self.sections.iter().any(|section| section.matters && may(section))
    }

    /// Whether a `Host` line means this name, and not just every name.
    pub(super) fn names(&self, name: &str) -> bool {
        self.sections
            .iter()
            .filter_map(|section| section.hosts.as_ref())
            .any(|hosts| matches(hosts, name) && !hosts.iter().any(|pattern| pattern == "*"))
    }
}

fn matches(hosts: &[String], name: &str) -> bool {
    let name = name.to_lowercase();
    let fits = |pattern: &str| matches_wildcards(pattern, &name);
    let refused = hosts.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(fits);
    !refused && hosts.iter().any(|pattern| fits(pattern))
}

/// The words of a line: a keyword, perhaps an equals sign, and values, perhaps in quotes.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let line = line.trim();
    let line = if line.starts_with('#') { "" } else { line };
    let (keyword, values) = line.split_once([' ', '\t', '=']).unwrap_or((line, ""));
    let values = values.trim_start_matches([' ', '\t', '=']);
    let values = values.split(['"']).enumerate().flat_map(|(index, part)| {
        // Every second part stands between quotes.
        let (quoted, bare) = if index % 2 == 1 { (Some(part), "") } else { (None, part) };
        quoted.into_iter().chain(bare.split_ascii_whitespace())
    });
    [keyword].into_iter().filter(|keyword| !keyword.is_empty()).chain(values)
}

/// The files that an `Include` means.
fn included(pattern: &str, folder: &Path) -> Vec<PathBuf> {
    let home = std::env::home_dir().unwrap_or_default();
    let path = match pattern.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => folder.join(pattern),
    };
    path.components().fold(vec![PathBuf::new()], |found, part| match part.as_os_str().to_str() {
        Some(name) if name.contains(['*', '?', '[']) => {
            found.iter().flat_map(|folder| entries(folder, name)).collect()
        }
        _ => found.into_iter().map(|path| path.join(part)).collect(),
    })
}

/// What is in a folder by such a name. A set of characters is taken for any character: a file too many does no harm.
fn entries(folder: &Path, name: &str) -> Vec<PathBuf> {
    let wide = name.find('[').map_or_else(|| name.to_owned(), |at| format!("{}*", &name[..at]));
    let wide = wide.to_lowercase();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let fits = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
        name.is_some_and(|name| matches_wildcards(&wide, &name))
    };
    entries.filter(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(text: &str) -> Outline {
        let mut outline = Outline::default();
        outline.add(text, Path::new("/nonexistent"), 0);
        outline
    }

    #[test]
    fn what_speaks_of_a_host() {
        for (text, speaks) in [
            ("", false),
            ("# Port 22\n\n  # User x", false),
            ("SendEnv LANG\nHashKnownHosts yes\nHost *\n GSSAPIAuthentication yes", false),
            ("Port 22", true),
            ("port=22", true),
            ("  PORT\t=\t22", true),
            ("Host w1\n Port 22", true),
            ("Host w2\n Port 22", false),
            ("Host w2 \"w1\"\n Port 22", true),
            ("Host w? !w1\n Port 22", false),
            ("Host W*\n Port 22", true),
            ("Host w1\n ForwardAgent yes\nHost w2\n Port 22", false),
            ("Host w2\n ForwardAgent yes\nMatch user x\n Port 22", true),
            ("Host unix/* vsock/*\n ProxyCommand x %h %p", false),
        ] {
            assert_eq!(outline(text).speaks_of("w1"), speaks, "{text:?}");
        }
    }

    #[test]
    fn what_names_a_host() {
        for (text, names) in [
            ("Port 22\nMatch all\n Port 22\nHost *\n Port 22", false),
            ("Host w1", true),
            ("Host w*", true),
            ("Host * w1", false),
            ("Host w2", false),
            ("Host w* !w1", false),
        ] {
            assert_eq!(outline(text).names("w1"), names, "{text:?}");
        }
    }

    #[test]
    fn files_that_are_included() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("10-a.conf", "Host other\n User x\n");
        write("20-B.conf", "Host w1\n ForwardAgent yes\n");
        let files = |text: &str| {
            write("config", text);
            Outline::read(&[(dir.path().join("config"), dir.path().to_owned())]).unwrap()
        };
        assert!(!files("Include *.conf\n").speaks_of("w1"));
        assert!(files("Include *.conf\n").names("w1"));
        // The section goes on.
        assert!(files("Host w1\nInclude 10-a.conf\nUser y\n").speaks_of("w1"));
        assert!(!files("Host w2\nInclude 10-a.conf\nUser y\n").speaks_of("w1"));
        write("10-a.conf", "Host w1\n User x\n");
        let absolute = format!("Include nothing \"{}/10*\"\n", dir.path().display());
        assert!(files(&absolute).speaks_of("w1"));
        // Folders, too, and on the way to a file.
        fs::create_dir_all(dir.path().join("Conf.d/one")).unwrap();
        write("Conf.d/one/hosts", "Host w9\n User x\n");
        for pattern in ["Conf.d/*/hosts", "Conf.?/*/*", "C[a-z]*/one/hosts"] {
            assert!(files(&format!("Include {pattern}\n")).speaks_of("w9"), "{pattern}");
        }
        assert!(!files("Include Conf.d/*/none\n").speaks_of("w9"));
        // A file that includes itself ends.
        assert!(files("Include config\nUser y\n").speaks_of("w1"));
    }
}
