//! Distribution packages, through apt or dnf: from the host's repositories, or from files that are sent there.

use std::{cmp::Ordering, fmt, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::transport::WITH_PROXIES;

use super::{Act, Change, Delivery, Kind, Mode, Observations, Probe, debian_version, quote, quote_all};

/// Where the files are sent to. It is removed when they are installed.
const FOLDER: &str = "/var/lib/hoist/packages";

/// Distribution packages that must be installed, in whatever version the host's repositories give. Where others would
/// have to be removed for them, they are refused.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Their names in the host's distribution.
    pub names: Vec<String>,
    /// The files to install them from, those of all they need included; without them, the host's repositories are
    /// asked.
    #[serde(skip)]
    pub files: Option<Arc<[PackageFile]>>,
}

impl fmt::Debug for Package {
    /// Where there are no files, nothing is said of them: plans that were saved are compared by this.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Package");
        shown.field("names", &self.names);
        if let Some(files) = &self.files {
            shown.field("files", files);
        }
        shown.finish()
    }
}

/// The file of a package on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFile {
    pub name: String,
    pub version: String,
    pub source: String,
    /// Where the host can fetch it itself.
    pub url: Option<String>,
    /// Lower-case hex.
    pub sha256: String,
}

impl PackageFile {
    fn is_deb(&self) -> bool {
        self.source.ends_with(".deb")
    }

    fn file_name(&self) -> String {
        format!("{}.{}", self.sha256, if self.is_deb() { "deb" } else { "rpm" })
    }

    /// Whether the host has none of it or an older one. A newer one serves as well; a distribution does not break its
    /// own packages with an update.
    fn is_needed(&self, seen: &Observations) -> bool {
        match seen.packages.get(&self.name) {
            None => true,
            Some(installed) if self.is_deb() => {
                debian_version::compare(installed, &self.version) == Ordering::Less
            }
            // dnf leaves a newer one alone.
            Some(installed) => *installed != self.version,
        }
    }
}

impl Package {
    fn missing<'a>(&'a self, seen: &'a Observations) -> impl Iterator<Item = &'a str> {
        self.names.iter().map(String::as_str).filter(|name| !seen.packages.contains_key(*name))
    }

    /// The files of packages that the host does not have, or not in this version.
    fn needed<'a>(&'a self, seen: &'a Observations) -> impl Iterator<Item = &'a PackageFile> {
        self.files.iter().flat_map(|files| files.iter()).filter(|file| file.is_needed(seen))
    }
}

impl Kind for Package {
    fn probes(&self) -> Vec<Probe> {
        let files = self.files.iter().flat_map(|files| files.iter().map(|file| &file.name));
        self.names.iter().chain(files).map(|name| Probe::Package(name.clone())).collect()
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        let missing: Vec<&str> = self.missing(seen).collect();
        if missing.is_empty() {
            return None;
        }
        let mut change = Change::new(format!("install {}", missing.join(" ")));
        for file in self.needed(seen) {
            // The package manager leaves alone what is new enough for what is installed.
            let (from, to) = match seen.packages.get(&file.name) {
                None => ("absent", file.version.clone()),
                Some(installed) => (installed.as_str(), format!("at most {}", file.version)),
            };
            change = change.attribute(&file.name, from, to);
        }
        Some(change)
    }

    fn acts(&self, seen: &Observations) -> Vec<Act> {
        let names = quote_all(self.missing(seen));
        let timeout = Duration::from_secs(1800);
        let Some(files) = &self.files else {
            // Apt's lists may be older than the repository, and an installation may have been cut off: both are mended
            // once, when the first try fails. Apt is told to wait for a lock; dnf waits and refreshes by itself. Neither
            // removes what is in the way: that would be a change of which the plan says nothing.
            let text = format!(
                "{WITH_PROXIES}if command -v apt-get >/dev/null; then\n\
                 export DEBIAN_FRONTEND=noninteractive\n\
                 try() {{ apt-get -qy -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold install --no-remove --no-install-recommends {names}; }}\n\
                 try || {{ dpkg --force-confold --configure -a && apt-get -qy -o Acquire::Retries=3 update && try; }}\n\
                 else dnf -qy --setopt=install_weak_deps=False install {names}; fi"
            );
            return vec![Act::Script { text, stdin: None, timeout }];
        };
        let needed: Vec<&PackageFile> = self.needed(seen).collect();
        let sent = needed.iter().map(|file| {
            Act::Send(Delivery {
                source: file.source.clone(),
                destination: format!("{FOLDER}/{}", file.file_name()),
                sha256: file.sha256.clone(),
                mode: Mode(0o600),
                url: file.url.clone(),
                public: true,
                beside: None,
            })
        });
        let mut acts: Vec<Act> = sent.collect();
        let script = if files.iter().all(PackageFile::is_deb) { APT } else { DNF };
        let here: Vec<String> = needed.iter().map(|file| file.file_name()).collect();
        let text = format!(
            "dir={} names={} files={}\n{script}",
            quote(FOLDER),
            quote(&self.missing(seen).collect::<Vec<_>>().join(" ")),
            quote(&here.join(" "))
        );
        acts.push(Act::Script { text, stdin: None, timeout });
        acts
    }
}

/// Makes a repository of the files, which were compared with their digests when they came, and installs from that one
/// alone. So apt decides what is needed, as always, and the host's own repositories and caches are left alone.
const APT: &str = r#"
export DEBIAN_FRONTEND=noninteractive
cd "$dir" && mkdir -p lists/partial || exit 1
for file in $files; do
    dpkg-deb -f "$file" && printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$file" $(wc -c <"$file") "${file%.deb}" || exit 1
done >Packages
echo "deb [trusted=yes] file:$dir ./" >sources.list
apt() {
    apt-get -qy -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$dir/lists" \
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root -o Acquire::Languages=none \
        -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold "$@"
}
try() { apt install --no-remove --no-install-recommends $names; }
apt update && { try || { dpkg --force-confold --configure -a && try; }; }
status=$?
[ "$status" = 0 ] || echo 'the pinned packages cannot be installed on this host: if it has newer ones, pin them anew with hoist lock --update' >&2
cd / && rm -rf "$dir"
rmdir "${dir%/*}" 2>/dev/null
exit $status"#;

/// dnf installs files with their dependencies among them, and looks at the signature of each. The keys that the distribution
/// lays on its hosts are not known to rpm until dnf installs from a repository for the first time, and of files dnf knows no
/// repository that would name a key.
const DNF: &str = r#"
cd "$dir" || exit 1
for key in /etc/pki/rpm-gpg/RPM-GPG-KEY-*; do [ ! -e "$key" ] || rpmkeys --import "$key"; done
set --
for file in $files; do set -- "$@" "./$file"; done
dnf -qy --disablerepo='*' --setopt=localpkg_gpgcheck=1 --setopt=install_weak_deps=False install "$@"
status=$?
[ "$status" = 0 ] || echo 'the pinned packages cannot be installed on this host: if it has newer ones, pin them anew with hoist lock --update; if a public key is not installed, put the key of who signed them on the host and run rpmkeys --import FILE' >&2
cd / && rm -rf "$dir"
rmdir "${dir%/*}" 2>/dev/null
exit $status"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, version: &str, kind: &str) -> PackageFile {
        PackageFile {
            name: name.into(),
            version: version.into(),
            source: format!("/store/{name}.{kind}"),
            url: None,
            sha256: format!("{:0>64}", name.len()),
        }
    }

    fn seen(packages: &[(&str, &str)]) -> Observations {
        let packages = packages.iter().map(|(name, version)| (name.to_string(), version.to_string()));
        Observations { packages: packages.collect(), ..Observations::default() }
    }

    fn sent(acts: &[Act]) -> Vec<&str> {
        let sources = acts.iter().filter_map(|act| match act {
            Act::Send(delivery) => Some(delivery.source.as_str()),
            Act::Script { .. } | Act::Await { .. } => None,
        });
        sources.collect()
    }

    #[test]
    fn a_host_gets_the_files_that_it_lacks_or_has_an_older_one_of() {
        let files =
            [("socat", "1.8"), ("libc6", "2.36-9+deb12u10"), ("libssl3", "3.0.17"), ("zlib1g", "1:1.2")];
        let files = files.map(|(name, version)| file(name, version, "deb"));
        let package = Package { names: vec!["socat".into()], files: Some(files.into()) };
        let old = seen(&[("libc6", "2.36-9+deb12u9"), ("libssl3", "3.0.17"), ("zlib1g", "1:1.3")]);
        assert_eq!(package.probes().len(), 5, "what is needed is looked at, too");
        let expected = Change::new("install socat").attribute("socat", "absent", "1.8");
        let expected = expected.attribute("libc6", "2.36-9+deb12u9", "at most 2.36-9+deb12u10");
        assert_eq!(package.diff(&old), Some(expected), "what may be upgraded for it is named");
        let acts = package.acts(&old);
        assert_eq!(sent(&acts), ["/store/socat.deb", "/store/libc6.deb"]);
        assert_eq!(package.diff(&seen(&[("socat", "1.7")])), None, "an older one is good enough");
    }

    #[test]
    fn the_scripts_are_the_golden_ones() {
        for kind in ["deb", "rpm"] {
            let names = vec!["socat".into(), "ebtables".into()];
            let files = [file("socat", "1", kind), file("libc", "2", kind)];
            let package = Package { names, files: Some(files.into()) };
            let acts = package.acts(&seen(&[("libc", "2")]));
            let Some(Act::Script { text, .. }) = acts.last() else { panic!("{acts:?}") };
            insta::assert_snapshot!(format!("package_files_{kind}"), text);
        }
    }
}
