//! Packages of operating systems: what a lock pins of them, and what hosts said that their roles need.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Error, lock::Architecture, origin::Location, source::Source};

/// The pinned packages for the hosts of one distribution and release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// Distribution and release, such as `debian-12`.
    #[schemars(regex(pattern = "^[a-z0-9._-]+$"))]
    pub os: String,
    pub architecture: Architecture,
    /// What roles install, and every package that each of these needs on a host that has nothing, itself included.
    pub needs: BTreeMap<String, Vec<String>>,
    /// By name.
    pub files: Vec<Package>,
}

/// A pinned package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Package {
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9+._-]*$"))]
    pub name: String,
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9.+~:^_-]*$"))]
    pub version: String,
    /// Where the hosts' repository has it.
    #[schemars(regex(pattern = r"^https?://[^\s]+\.(deb|rpm)$"))]
    pub url: String,
    /// Lower-case hex.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
    /// Bytes.
    #[schemars(range(min = 1))]
    pub size: u64,
}

/// What a host answered: what its repositories would install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub os: String,
    pub architecture: Architecture,
    pub needs: BTreeMap<String, Vec<String>>,
    pub files: Vec<Found>,
}

/// A package in a repository of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    pub version: String,
    pub url: String,
    /// Digest and size in bytes as the signed index of the repository has them; the tools of some distributions do not
    /// tell.
    pub pinned: Option<(String, u64)>,
}

impl System {
    /// What messages call it.
    pub fn title(&self) -> String {
        format!("{} ({})", self.os, self.architecture.name())
    }

    /// Everything that must be at hand to install this package on a host that has nothing; `None` when it is not
    /// pinned.
    pub fn closure<'a>(&'a self, name: &str) -> Option<impl Iterator<Item = &'a Package>> {
        let needs = self.needs.get(name)?;
        Some(self.files.iter().filter(|file| needs.contains(&file.name)))
    }
}

/// Pins what hosts answered. A package whose digest is not known is downloaded and hashed.
///
/// # Errors
/// When one cannot be had.
pub async fn pin(source: &Source, answers: Vec<Answer>) -> Result<Vec<System>, Error> {
    let mut systems = Vec::new();
    for Answer { os, architecture, needs, files } in answers {
        let mut pinned = Vec::new();
        for Found { name, version, url, pinned: known } in files {
            let (sha256, size) = match known {
                Some(known) => known,
                None => source.learn_at(Location::Url(url.clone()), None).await?,
            };
            pinned.push(Package { name, version, url, sha256, size });
        }
        pinned.sort_by(|a, b| a.name.cmp(&b.name));
        systems.push(System { os, architecture, needs, files: pinned });
    }
    Ok(systems)
}

/// The file of a package in a folder of artifacts and on hosts: what it is called there is up to nobody else.
pub fn file_name(package: &Package) -> String {
    let kind = package.url.rsplit('.').next().unwrap_or_default();
    format!("{}.{kind}", package.sha256)
}

#[cfg(test)]
pub(super) fn sample() -> System {
    use super::digest;
    let file = |name: &str| Package {
        name: name.to_owned(),
        version: "1:2.0-1~deb12u1".into(),
        url: format!("http://deb.example.org/pool/{name}_2.0-1%7edeb12u1_amd64.deb"),
        sha256: digest::of(name.as_bytes()),
        size: name.len() as u64,
    };
    System {
        os: "debian-12".into(),
        architecture: Architecture::Amd64,
        needs: [("socat".to_owned(), vec!["libc6".to_owned(), "socat".to_owned()])].into(),
        files: vec![file("libc6"), file("socat")],
    }
}
