//! `hoist.lock`: what an inventory's hosts need, pinned.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::{Error, catalogue::Place, difference::differences, digest, packages::System};
use crate::yaml::{self, Document, Problem, Source, schema};

/// The name of the file beside an inventory.
pub const NAME: &str = "hoist.lock";
const HEAD: &str = "\
# Written by `hoist lock`: everything that the inventory's hosts need, pinned by its digest.
# Keep it with the inventory. `hoist lock --update` writes it anew.
";

/// What an inventory's hosts need, pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The Kubernetes version.
    #[schemars(schema_with = "schema::version")]
    pub kubernetes: String,
    /// Architectures by Go's names; the hosts have the first.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub architectures: Vec<Architecture>,
    /// Files, by name and architecture.
    #[schemars(length(min = 1))]
    pub files: Vec<File>,
    /// Container images, by name and architecture.
    pub images: Vec<Image>,
    /// Helm charts, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<Chart>,
    /// Packages of the hosts' operating systems, by distribution, release and architecture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<System>,
}

/// An architecture, by Go's name of it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    Amd64,
    Arm64,
}

impl Architecture {
    /// That of this machine, as far as there are releases for it.
    pub fn of_this_machine() -> Self {
        if cfg!(target_arch = "aarch64") { Architecture::Arm64 } else { Architecture::Amd64 }
    }

    /// Go's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Amd64 => "amd64",
            Architecture::Arm64 => "arm64",
        }
    }
}

/// A pinned file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What roles call it.
    #[schemars(schema_with = "schema::dns_label")]
    pub name: String,
    pub version: String,
    pub architecture: Architecture,
    /// What it is for.
    pub place: Place,
    /// Where it was released. A mirror has it at another address.
    #[schemars(regex(pattern = "^https://"))]
    pub url: String,
    /// Lower-case hex.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
    /// Bytes.
    #[schemars(range(min = 1))]
    pub size: u64,
    /// The one file that is taken out of the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
}

/// A pinned container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// What roles call it.
    #[schemars(schema_with = "schema::dns_label")]
    pub name: String,
    /// What pods call it.
    #[schemars(regex(pattern = r"^[a-z0-9.:-]+(/[a-z0-9._-]+)+:[A-Za-z0-9_][A-Za-z0-9._-]*$"))]
    pub reference: String,
    pub architecture: Architecture,
    /// Digest of the manifest for the architecture, which names every layer by its digest.
    #[schemars(regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub digest: String,
    /// Bytes of the manifest, the configuration and the layers together.
    #[schemars(range(min = 1))]
    pub size: u64,
    /// Every node may run it, not only workers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everywhere: bool,
}

/// A pinned Helm chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chart {
    #[schemars(schema_with = "schema::dns_label")]
    pub name: String,
    /// As its repository writes it.
    pub version: String,
    /// Where the packed chart is: `https://….tgz`, or `oci://REGISTRY/REPOSITORY:TAG`.
    #[schemars(regex(pattern = "^(https|oci)://"))]
    pub url: String,
    /// Lower-case hex.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
    /// Bytes.
    #[schemars(range(min = 1))]
    pub size: u64,
}

impl Lock {
    /// Where the lock of an inventory is: beside the file, or in the folder.
    pub fn beside(inventory: &Path) -> PathBuf {
        if inventory.is_dir() { inventory.join(NAME) } else { inventory.with_file_name(NAME) }
    }

    /// Reads a lock.
    ///
    /// # Errors
    /// [`Error::NoLock`] when there is none; otherwise with every mistake in it.
    pub fn load(path: &Path) -> Result<Lock, Error> {
        if !path.exists() {
            return Err(Error::NoLock { path: path.to_owned() });
        }
        Lock::parse(&Source::load(path)?)
    }

    /// Reads a lock that is at hand as text.
    ///
    /// # Errors
    /// With every mistake in it.
    pub fn parse(source: &Source) -> Result<Lock, Error> {
        Ok(yaml::read_and(source, verify)?.value)
    }

    /// The text of the file; the same lock gives the same bytes.
    ///
    /// # Errors
    /// When a value cannot be written as YAML, which none of a lock's can.
    pub fn text(&self) -> Result<String, Error> {
        let body = serde_yaml::to_string(self)
            .map_err(|error| Error::Broken { path: NAME.into(), reason: error.to_string() })?;
        Ok(format!("{HEAD}{body}"))
    }

    /// The digest by which a folder of artifacts names the lock that it was made from.
    ///
    /// # Errors
    /// As [`Lock::text`].
    pub fn digest(&self) -> Result<String, Error> {
        Ok(digest::of(self.text()?.as_bytes()))
    }

    /// Puts the entries into their order.
    pub fn sort(&mut self) {
        self.files.sort_by(|a, b| (&a.name, a.architecture).cmp(&(&b.name, b.architecture)));
        self.images.sort_by(|a, b| (&a.name, a.architecture).cmp(&(&b.name, b.architecture)));
        self.charts.sort_by(|a, b| a.name.cmp(&b.name));
        self.packages.sort_by(|a, b| (&a.os, a.architecture).cmp(&(&b.os, b.architecture)));
    }

    /// Digest and size in bytes of every single file that is pinned: everything but images, which consist of several.
    pub fn blobs(&self) -> impl Iterator<Item = (&str, u64)> {
        let files = self.files.iter().map(|file| (file.sha256.as_str(), file.size));
        let charts = self.charts.iter().map(|chart| (chart.sha256.as_str(), chart.size));
        let packages = self.packages.iter().flat_map(|system| &system.files);
        files.chain(charts).chain(packages.map(|file| (file.sha256.as_str(), file.size)))
    }

    /// Where hosts can fetch files for themselves, by digest: those that they get as they were released. Not so what is
    /// taken out of an archive, nor charts, which one control plane at most gets.
    pub fn origins(&self) -> BTreeMap<String, String> {
        let files =
            self.files.iter().filter(|file| file.member.is_none()).map(|file| (&file.sha256, &file.url));
        let packages = self.packages.iter().flat_map(|system| &system.files);
        let all = files.chain(packages.map(|package| (&package.sha256, &package.url)));
        all.map(|(sha256, url)| (sha256.clone(), url.clone())).collect()
    }

    /// Writes the file so that it is there whole or not at all. Returns whether it had to be written.
    ///
    /// # Errors
    /// When it cannot be written; [`Error::LockDiffers`] when there is another and `update` is false.
    pub fn write(&self, path: &Path, update: bool) -> Result<bool, Error> {
        match Lock::load(path) {
            Ok(old) if old == *self => return Ok(false),
            Ok(old) if !update => {
                let differences = differences(&old, self);
                return Err(Error::LockDiffers { path: path.to_owned(), differences });
            }
            Ok(_) | Err(Error::NoLock { .. }) => {}
            // A lock that cannot be read is replaced only when that was asked for.
            Err(_) if update => {}
            Err(error) => return Err(error),
        }
        let text = self.text()?;
        let failed = |cause| Error::Unwritable { path: path.to_owned(), cause };
        let partial = path.with_extension("lock.partial");
        fs::write(&partial, text).map_err(failed)?;
        fs::rename(&partial, path).map_err(failed)?;
        Ok(true)
    }

    /// Refuses a lock that was made for another Kubernetes version.
    ///
    /// # Errors
    /// [`Error::OtherVersion`].
    pub fn fits(&self, path: &Path, wanted: &Version) -> Result<(), Error> {
        if self.kubernetes == wanted.to_string() {
            return Ok(());
        }
        let locked = self.kubernetes.clone();
        Err(Error::OtherVersion { path: path.to_owned(), locked, wanted: wanted.to_string() })
    }
}

/// Two entries of one name would make it a matter of luck which is used; a package that is needed and not there could
/// not be installed.
fn verify(document: &Document<Lock>) -> Vec<Problem> {
    let lock = &document.value;
    let mut problems = Vec::new();
    let mut wrong = |list: &str, what: String| {
        problems.push(
            Problem::new(document.tree.at(&[list]), what)
                .help("a merge has gone wrong: write the lock anew with `hoist lock --update`"),
        );
    };
    let mut seen = std::collections::HashSet::new();
    let files = lock.files.iter().map(|file| ("files", &file.name, file.architecture.name()));
    let images = lock.images.iter().map(|image| ("images", &image.name, image.architecture.name()));
    let charts = lock.charts.iter().map(|chart| ("charts", &chart.name, "all hosts"));
    let systems = lock.packages.iter().map(|system| ("packages", &system.os, system.architecture.name()));
    for entry @ (list, name, architecture) in files.chain(images).chain(charts).chain(systems) {
        if !seen.insert(entry) {
            wrong(list, format!("`{name}` for {architecture} stands twice in `{list}`"));
        }
    }
    for system in &lock.packages {
        let mut names = std::collections::HashSet::new();
        for file in &system.files {
            if !names.insert(file.name.as_str()) {
                wrong(
                    "packages",
                    format!("`{}` for {} stands twice in `packages`", file.name, system.title()),
                );
            }
        }
        let needs = system.needs.iter().flat_map(|(name, needs)| needs.iter().chain([name]));
        let missing: std::collections::BTreeSet<_> =
            needs.filter(|name| !names.contains(name.as_str())).collect();
        for name in missing {
            wrong("packages", format!("`{name}` for {} is needed and not pinned", system.title()));
        }
    }
    problems
}

#[cfg(test)]
#[path = "lock_tests.rs"]
pub(super) mod tests;
