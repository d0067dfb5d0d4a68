//! `hoist.lock`: what an inventory's hosts need, pinned.

use std::{
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
pub(super) mod tests {
    use super::*;
    use crate::artifact::packages;

    pub(in crate::artifact) fn sample() -> Lock {
        Lock {
            kubernetes: "1.36.5".into(),
            architectures: vec![Architecture::Amd64],
            files: vec![File {
                name: "crictl".into(),
                version: "1.36.0".into(),
                architecture: Architecture::Amd64,
                place: Place::Host,
                url: "https://github.com/crictl.tar.gz".into(),
                sha256: "ab".repeat(32),
                size: 3,
                member: Some("crictl".into()),
            }],
            images: vec![Image {
                name: "pause".into(),
                reference: "registry.k8s.io/pause:3.10.2".into(),
                architecture: Architecture::Amd64,
                digest: format!("sha256:{}", "cd".repeat(32)),
                size: 5,
                everywhere: false,
            }],
            charts: Vec::new(),
            packages: Vec::new(),
        }
    }

    /// With what only some sites have.
    pub(in crate::artifact) fn full_sample() -> Lock {
        let chart = Chart {
            name: "metallb".into(),
            version: "0.16.1".into(),
            url: "https://metallb.github.io/metallb-0.16.1.tgz".into(),
            sha256: "ef".repeat(32),
            size: 7,
        };
        Lock { charts: vec![chart], packages: vec![packages::sample()], ..sample() }
    }

    #[test]
    fn the_file_is_the_contract() {
        insta::assert_snapshot!(sample().text().unwrap(), @r#"
        # Written by `hoist lock`: everything that the inventory's hosts need, pinned by its digest.
        # Keep it with the inventory. `hoist lock --update` writes it anew.
        kubernetes: "1.36.5"
        architectures:
        - amd64
        files:
        - name: crictl
          version: "1.36.0"
          architecture: amd64
          place: host
          url: https://github.com/crictl.tar.gz
          sha256: abababababababababababababababababababababababababababababababab
          size: 3
          member: crictl
        images:
        - name: pause
          reference: registry.k8s.io/pause:3.10.2
          architecture: amd64
          digest: sha256:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd
          size: 5
        "#);
    }

    #[test]
    fn charts_and_packages_are_written_and_read_again() {
        let text = full_sample().text().unwrap();
        insta::assert_snapshot!("full_lock", text);
        assert_eq!(Lock::parse(&Source::new(NAME, text)).unwrap(), full_sample());
    }

    #[test]
    fn a_package_that_is_needed_and_not_pinned_is_a_mistake() {
        let mut lock = full_sample();
        lock.packages[0].files.remove(0);
        let Err(Error::Mistakes(problems)) = Lock::parse(&Source::new(NAME, lock.text().unwrap())) else {
            panic!()
        };
        assert!(problems.to_json()[0]["message"].as_str().unwrap().contains("`libc6` for debian-12"));
    }

    #[test]
    fn what_is_written_can_be_read_and_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = Lock::beside(&folder.path().join("office.yaml"));
        assert!(matches!(Lock::load(&path), Err(Error::NoLock { .. })));
        assert!(sample().write(&path, false).unwrap());
        assert_eq!(Lock::load(&path).unwrap(), sample());
        assert!(!sample().write(&path, false).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file is left");
    }

    #[test]
    fn another_lock_is_refused_until_it_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        sample().write(&path, false).unwrap();
        let mut new = sample();
        new.images.clear();
        let Err(Error::LockDiffers { differences, .. }) = new.write(&path, false) else { panic!() };
        assert_eq!(differences, ["image pause (amd64): not needed any more"]);
        assert_eq!(Lock::load(&path).unwrap(), sample(), "nothing was written");
        assert!(new.write(&path, true).unwrap());
        assert_eq!(Lock::load(&path).unwrap(), new);
    }

    proptest::proptest! {
        /// Among others digests that look like numbers to a reader of YAML.
        #[test]
        fn every_lock_can_be_read_again(
            sha256 in "[0-9a-f]{64}|[0-9]{64}|[0-9]{20}e[0-9]{43}|0{64}|0b[01]{62}",
            version in "[0-9]{1,2}\\.[0-9]{1,2}(\\.[0-9]{1,2})?|[0-9]{1,5}|0x[0-9]|1e3|null|true|~",
            size in 1..u64::MAX,
        ) {
            let mut lock = sample();
            lock.files[0].sha256 = sha256;
            lock.files[0].version = version;
            lock.files[0].size = size;
            let text = lock.text().unwrap();
            proptest::prop_assert_eq!(Lock::parse(&Source::new(NAME, text)).unwrap(), lock);
        }
    }

    #[test]
    fn a_mistake_has_its_place() {
        let text = sample().text().unwrap().replace(&"ab".repeat(32), "short");
        let Err(Error::Mistakes(problems)) = Lock::parse(&Source::new(NAME, text)) else { panic!() };
        assert_eq!(problems.list().len(), 1);
        assert_eq!(problems.to_json()[0]["line"], 12);
    }

    #[test]
    fn an_entry_that_stands_twice_is_refused() {
        let mut twice = sample();
        twice.files.push(File { sha256: "00".repeat(32), ..twice.files[0].clone() });
        let answer = Lock::parse(&Source::new(NAME, twice.text().unwrap()));
        assert!(matches!(answer, Err(Error::Mistakes(_))), "{answer:?}");
    }

    #[test]
    fn a_lock_for_another_version_is_refused() {
        let path = Path::new(NAME);
        assert!(sample().fits(path, &Version::new(1, 36, 5)).is_ok());
        assert!(matches!(sample().fits(path, &Version::new(1, 36, 4)), Err(Error::OtherVersion { .. })));
    }
}
