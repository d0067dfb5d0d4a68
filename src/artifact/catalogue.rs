//! The catalogue: which versions go with which Kubernetes minor, and where their releases are.
//!
//! It is data, in `catalogue/`: a file a minor, and `downloads.yaml`. It names versions and addresses, never
//! digests: those are pinned in the lock.

use std::collections::BTreeMap;

use include_dir::{Dir, include_dir};
use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::{
    Error,
    charts::{Chart, Charts},
};
use crate::yaml::{self, Problems, Source, schema};

static FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/src/artifact/catalogue");
const DOWNLOADS: &str = "downloads.yaml";
const CHARTS: &str = "charts.yaml";

/// What goes with one Kubernetes minor.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Minor {
    /// Such as `1.36`.
    #[schemars(regex(pattern = r"^1\.[0-9]+$"))]
    pub kubernetes: String,
    /// The version of kubeadm's configuration that its kubeadm is given.
    pub kubeadm_api: KubeadmApi,
    /// Where its images are, and what their names begin with.
    pub registry: String,
    /// The repository of CoreDNS in the registry.
    pub coredns: String,
    /// The label that marks a control-plane node.
    pub label: String,
    /// The taint that keeps workloads away from a control-plane node.
    pub taint: String,
    /// What kubeadm deploys unless it is told otherwise, by the patch release that was seen to say so; ascending.
    #[schemars(length(min = 1))]
    pub defaults: Vec<Defaults>,
    /// Versions of the programs beside Kubernetes, by their names in the downloads.
    #[serde(default)]
    pub tools: BTreeMap<String, String>,
    /// What nobody could confirm.
    #[serde(default)]
    pub unverified: Vec<String>,
}

/// A version of kubeadm's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KubeadmApi {
    V1beta2,
    V1beta3,
    V1beta4,
}

impl KubeadmApi {
    /// As in `apiVersion: kubeadm.k8s.io/…`.
    pub fn name(self) -> &'static str {
        match self {
            KubeadmApi::V1beta2 => "v1beta2",
            KubeadmApi::V1beta3 => "v1beta3",
            KubeadmApi::V1beta4 => "v1beta4",
        }
    }
}

/// Image tags that one kubeadm deploys.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// The release whose kubeadm was seen to list them.
    #[schemars(schema_with = "schema::version")]
    pub seen: Version,
    pub etcd: String,
    pub coredns: String,
    pub pause: String,
}

/// Where a program is released.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Download {
    pub name: String,
    pub place: Place,
    /// With `{version}` and `{arch}` to be filled in.
    #[schemars(regex(pattern = "^https://"))]
    pub url: String,
    /// Where its SHA-256 is published; without it, the file is downloaded and hashed.
    #[serde(default)]
    #[schemars(regex(pattern = "^https://"))]
    pub sums: Option<String>,
    /// The one file that is taken out of the archive.
    #[serde(default)]
    pub member: Option<String>,
}

/// What a download is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A program for every host.
    Host,
    /// For roles to unpack.
    Extra,
    /// hoist itself runs it, or applies it.
    Installer,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Downloads {
    downloads: Vec<Download>,
}

/// One Kubernetes release with everything that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub version: Version,
    pub minor: Minor,
    /// What its kubeadm deploys, as far as was seen: the newest entry that is not newer than the
    /// release, or else the oldest.
    pub defaults: Defaults,
}

impl Release {
    /// The catalogue's entry for a release.
    ///
    /// # Errors
    /// [`Error::UnknownRelease`] when the catalogue has nothing of its minor.
    pub fn find(version: &Version) -> Result<Release, Error> {
        let name = format!("{}.{}", version.major, version.minor);
        let all = minors()?;
        let minor = all.iter().find(|minor| minor.kubernetes == name);
        let defaults = minor.and_then(|minor| {
            let seen = minor.defaults.iter().rev().find(|defaults| defaults.seen <= *version);
            seen.or(minor.defaults.first())
        });
        let (Some(minor), Some(defaults)) = (minor, defaults) else {
            let known = all.iter().map(|minor| minor.kubernetes.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::UnknownRelease { version: version.to_string(), known });
        };
        Ok(Release { version: version.clone(), minor: minor.clone(), defaults: defaults.clone() })
    }

    /// The version of a program that goes with this release; `None` when it comes from elsewhere.
    pub fn tool(&self, name: &str) -> Option<String> {
        match name {
            "kubeadm" | "kubelet" | "kubectl" => Some(self.version.to_string()),
            // The image's tag is the release and the number of its packaging: 3.6.8-0.
            "etcd" => self.defaults.etcd.split('-').next().map(str::to_owned),
            _ => self.minor.tools.get(name).cloned(),
        }
    }

    /// Full names of the images that kubeadm deploys, under the names by which roles know them.
    pub fn images(&self) -> Vec<(&'static str, String)> {
        let Minor { registry, coredns, .. } = &self.minor;
        let own = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"];
        let own = own.map(|name| (name, format!("{registry}/{name}:v{}", self.version)));
        let Defaults { etcd, coredns: dns, pause, .. } = &self.defaults;
        own.into_iter()
            .chain([
                ("coredns", format!("{registry}/{coredns}:{dns}")),
                ("etcd", format!("{registry}/etcd:{etcd}")),
                ("pause", format!("{registry}/pause:{pause}")),
            ])
            .collect()
    }
}

impl Download {
    /// The address of a version for an architecture, by Go's name of it.
    pub fn url(&self, version: &str, architecture: &str) -> String {
        fill(&self.url, version, architecture)
    }

    /// The address of its checksums.
    pub fn sums(&self, version: &str, architecture: &str) -> Option<String> {
        self.sums.as_ref().map(|sums| fill(sums, version, architecture))
    }

    /// The file to take out of the archive.
    pub fn member(&self, version: &str, architecture: &str) -> Option<String> {
        self.member.as_ref().map(|member| fill(member, version, architecture))
    }
}

fn fill(pattern: &str, version: &str, architecture: &str) -> String {
    pattern.replace("{version}", version).replace("{arch}", architecture)
}

/// All minors of the catalogue, oldest first.
///
/// # Errors
/// When a file of the catalogue is wrong, which a test rules out for those in the program.
pub fn minors() -> Result<Vec<Minor>, Problems> {
    let mut minors = Vec::new();
    let others = [DOWNLOADS, CHARTS];
    for file in FILES.files().filter(|file| others.iter().all(|other| !file.path().ends_with(other))) {
        minors.push(read::<Minor>(file)?);
    }
    minors.sort_by_key(|minor| number(&minor.kubernetes));
    Ok(minors)
}

/// The newest release that `fits`, of those whose images were seen: one a minor and entry.
///
/// # Errors
/// As [`minors`].
pub fn newest(fits: impl Fn(&Version) -> bool) -> Result<Option<Version>, Problems> {
    let minors = minors()?;
    let mut seen = minors.iter().rev().flat_map(|minor| minor.defaults.iter().rev());
    Ok(seen.find(|defaults| fits(&defaults.seen)).map(|defaults| defaults.seen.clone()))
}

/// Where everything is released.
///
/// # Errors
/// As [`minors`].
pub fn downloads() -> Result<Vec<Download>, Problems> {
    let mut downloads = Vec::new();
    for file in FILES.files().filter(|file| file.path().ends_with(DOWNLOADS)) {
        downloads.extend(read::<Downloads>(file)?.downloads);
    }
    Ok(downloads)
}

/// The charts of add-ons.
///
/// # Errors
/// As [`minors`].
pub fn charts() -> Result<Vec<Chart>, Problems> {
    let mut charts = Vec::new();
    for file in FILES.files().filter(|file| file.path().ends_with(CHARTS)) {
        charts.extend(read::<Charts>(file)?.charts);
    }
    Ok(charts)
}

fn read<T: JsonSchema + serde::de::DeserializeOwned>(file: &include_dir::File<'_>) -> Result<T, Problems> {
    let text = file.contents_utf8().unwrap_or_default();
    let source = Source::new(format!("catalogue/{}", file.path().display()), text);
    Ok(yaml::read::<T>(&source)?.value)
}

/// The number behind the dot of `1.36`.
fn number(minor: &str) -> u64 {
    minor.rsplit('.').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory;

    fn release(version: &str) -> Release {
        Release::find(&version.parse().unwrap()).unwrap()
    }

    #[test]
    fn every_file_fits_its_schema_and_its_name() {
        let minors = minors().unwrap();
        let names: Vec<_> = minors.iter().map(|minor| minor.kubernetes.as_str()).collect();
        assert_eq!(names, ["1.20", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"]);
        let downloads = downloads().unwrap();
        for minor in &minors {
            assert!(FILES.contains(format!("{}.yaml", minor.kubernetes)), "{}", minor.kubernetes);
            assert!(minor.defaults.is_sorted_by_key(|defaults| &defaults.seen));
            for defaults in &minor.defaults {
                assert_eq!(format!("1.{}", defaults.seen.minor), minor.kubernetes);
            }
            for tool in minor.tools.keys() {
                assert!(downloads.iter().any(|download| download.name == *tool), "{tool}");
            }
        }
        let same: Vec<_> =
            minors.iter().map(|minor| (number(&minor.kubernetes), minor.kubeadm_api.name())).collect();
        let known: Vec<_> =
            inventory::RELEASES.iter().map(|known| (known.minor, known.kubeadm_api)).collect();
        assert_eq!(same, known, "what an inventory may name");
    }

    #[test]
    fn addresses_have_everything_filled_in() {
        for download in downloads().unwrap() {
            let all = [
                Some(download.url("1.2.3", "arm64")),
                download.sums("1.2.3", "arm64"),
                download.member("1.2.3", "arm64"),
            ];
            for text in all.into_iter().flatten() {
                assert!(!text.contains(['{', '}']), "{text}");
            }
            assert!(download.url("1.2.3", "arm64").contains("1.2.3"), "{}", download.name);
            assert!(download.url("1.2.3", "arm64").contains("arm64"), "{}", download.name);
        }
    }

    /// What `kubeadm config images list` of these releases prints.
    #[test]
    fn images_are_those_that_kubeadm_lists() {
        for (version, registry, coredns, pause, etcd) in [
            ("1.20.2", "k8s.gcr.io", "coredns:1.7.0", "3.2", "3.4.13-0"),
            ("1.31.0", "registry.k8s.io", "coredns/coredns:v1.11.1", "3.10", "3.5.15-0"),
            ("1.32.5", "registry.k8s.io", "coredns/coredns:v1.11.3", "3.10", "3.5.16-0"),
            ("1.32.11", "registry.k8s.io", "coredns/coredns:v1.11.3", "3.10", "3.5.24-0"),
            ("1.33.4", "registry.k8s.io", "coredns/coredns:v1.12.0", "3.10", "3.5.21-0"),
            ("1.34.0", "registry.k8s.io", "coredns/coredns:v1.12.1", "3.10.1", "3.6.4-0"),
            ("1.34.2", "registry.k8s.io", "coredns/coredns:v1.12.1", "3.10.1", "3.6.5-0"),
            ("1.35.0", "registry.k8s.io", "coredns/coredns:v1.13.1", "3.10.1", "3.6.6-0"),
            ("1.36.5", "registry.k8s.io", "coredns/coredns:v1.14.2", "3.10.2", "3.6.8-0"),
            ("1.37.1", "registry.k8s.io", "coredns/coredns:v1.14.6", "3.10.2", "3.7.0-0"),
        ] {
            let images: Vec<String> =
                release(version).images().into_iter().map(|(_, reference)| reference).collect();
            let expected: Vec<String> = [
                format!("kube-apiserver:v{version}"),
                format!("kube-controller-manager:v{version}"),
                format!("kube-scheduler:v{version}"),
                format!("kube-proxy:v{version}"),
                coredns.to_owned(),
                format!("etcd:{etcd}"),
                format!("pause:{pause}"),
            ]
            .map(|name| format!("{registry}/{name}"))
            .into();
            assert_eq!(images, expected);
        }
    }

    #[test]
    fn control_planes_are_marked_as_the_minor_marks_them() {
        for (version, word, api) in [("1.20.2", "master", "v1beta2"), ("1.31.0", "control-plane", "v1beta4")]
        {
            let minor = release(version).minor;
            assert_eq!(minor.label, format!("node-role.kubernetes.io/{word}"));
            assert_eq!(minor.taint, minor.label);
            assert_eq!(minor.kubeadm_api.name(), api);
        }
    }

    #[test]
    fn an_unknown_minor_is_answered_with_those_that_are_known() {
        let error = Release::find(&Version::new(1, 25, 0)).unwrap_err();
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(help.contains("1.20, 1.31"), "{help}");
    }

    #[test]
    fn the_newest_release_is_of_the_newest_minor_that_fits() {
        let of = |fits: fn(&Version) -> bool| newest(fits).unwrap().map(|version| version.to_string());
        let last = minors().unwrap().last().unwrap().defaults.last().unwrap().seen.to_string();
        assert_eq!(of(|_| true), Some(last));
        assert_eq!(of(|version| version.minor < 35).as_deref(), Some("1.34.2"));
        assert_eq!(of(|_| false), None);
    }

    #[test]
    fn tools_follow_the_release() {
        assert_eq!(release("1.36.5").tool("kubelet").as_deref(), Some("1.36.5"));
        assert_eq!(release("1.36.5").tool("etcd").as_deref(), Some("3.6.8"));
        assert_eq!(release("1.36.5").tool("helm").as_deref(), Some("4.3.0"));
        assert_eq!(release("1.20.2").tool("helm"), None);
    }
}
