//! Which Kubernetes a lab gets: an official release where these can be reached, otherwise the one that Debian has the
//! source of.

use std::{fmt, path::Path, str::FromStr};

use semver::Version;
use serde_json::{Map, Value};

use super::{cgroup::Cgroups, config::Config, down, error::LabError, kubernetes};
use crate::{
    artifact::catalogue,
    inventory::{self, NO_CGROUP_V1},
    yaml::{self, Problems},
};

/// An image with busybox, in the registry of Kubernetes itself: the sample application of a lab with an official release,
/// whose artifacts have no image that set-up made.
pub const SAMPLE_IMAGE: &str = "registry.k8s.io/e2e-test-images/busybox:1.36.1-1";

/// Where a lab's Kubernetes comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kubernetes {
    /// Set-up builds it from Debian's source package.
    Debian,
    /// It is downloaded.
    Release(Version),
}

impl fmt::Display for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kubernetes::Debian => {
                write!(f, "Kubernetes {} from Debian's source package", kubernetes::VERSION)
            }
            Kubernetes::Release(version) => write!(f, "Kubernetes {version} from the official releases"),
        }
    }
}

impl FromStr for Kubernetes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "debian" {
            return Ok(Kubernetes::Debian);
        }
        let version = text.strip_prefix('v').unwrap_or(text).parse();
        version
            .map(Kubernetes::Release)
            .map_err(|_| "expected `debian`, or a version such as 1.34.2".to_owned())
    }
}

/// What a lab gets, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub kubernetes: Kubernetes,
    pub why: String,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kubernetes, self.why)
    }
}

/// Chooses for a lab: what its nodes were made for (`kept`), or else what is asked for, or else `newest` if it can be had.
/// `reached` is asked only then, and says why not.
///
/// # Errors
/// [`LabError::OtherKubernetes`] when nodes are there for another one; [`LabError::CgroupV1`] when what is asked for does
/// not start on this machine.
pub fn choose(
    lab: &str,
    kept: Option<Kubernetes>,
    asked: Option<&Kubernetes>,
    cgroup_v2: bool,
    newest: &Version,
    reached: impl FnOnce(&Version) -> Result<(), String>,
) -> Result<Choice, LabError> {
    let choice = |kubernetes, why: &str| Ok(Choice { kubernetes, why: why.to_owned() });
    match (asked, kept) {
        (Some(asked), Some(kept)) if *asked != kept => Err(LabError::OtherKubernetes {
            lab: lab.to_owned(),
            kept: kept.to_string(),
            asked: asked.to_string(),
        }),
        (_, Some(kept)) => choice(kept, "the lab has nodes for it already"),
        (Some(Kubernetes::Release(version)), None) if !starts(version, cgroup_v2) => {
            Err(LabError::CgroupV1 { asked: version.to_string(), newest: newest.to_string() })
        }
        (Some(asked), None) => choice(asked.clone(), "as `--kubernetes` says"),
        (None, None) => match reached(newest) {
            Ok(()) => choice(
                Kubernetes::Release(newest.clone()),
                "they can be had; `--kubernetes debian` builds one instead",
            ),
            Err(reason) => choice(
                Kubernetes::Debian,
                &format!("official releases of {newest} cannot be reached: {reason}"),
            ),
        },
    }
}

/// What the nodes of a lab were made for; nothing when it has none.
///
/// # Errors
/// When the lab's own inventory cannot be read.
pub fn kept(config: &Config) -> Result<Option<Kubernetes>, inventory::Error> {
    if down::nodes(config).is_empty() {
        return Ok(None);
    }
    if !config.release().exists() {
        return Ok(Some(Kubernetes::Debian));
    }
    let inventory = inventory::load(&config.release())?.inventory;
    Ok(Some(Kubernetes::Release(inventory.cluster.kubernetes)))
}

/// Whether this machine has cgroup v2 and nothing older, and so have its nodes.
pub fn has_cgroup_v2() -> bool {
    // A machine that has neither is told so before anything is done.
    Cgroups::of_this_machine().is_ok_and(|cgroups| cgroups.unified())
}

/// The newest official release of the catalogue that starts on this machine.
///
/// # Errors
/// When the catalogue is wrong, which a test rules out.
pub fn newest(cgroup_v2: bool) -> Result<Option<Version>, Problems> {
    catalogue::newest(|version| starts(version, cgroup_v2))
}

/// Whether the kubelet of a release starts.
fn starts(version: &Version, cgroup_v2: bool) -> bool {
    cgroup_v2 || version.minor < NO_CGROUP_V1
}

/// The text of a lab's inventory with an official release in place of what set-up builds, whose artifacts are laid out in
/// `folder`. What stands there for the build alone goes: images are all at hand, CoreDNS' among them.
pub fn inventory_of(lab: &Value, version: &Version, folder: &Path) -> String {
    let mut lab = lab.as_object().cloned().unwrap_or_default();
    change(&mut lab, "cluster", |cluster| {
        cluster.insert("kubernetes".into(), version.to_string().into());
        without(cluster, "ignore_preflight_errors", "ImagePull");
        without(cluster, "skip_addons", "coredns");
    });
    change(&mut lab, "artifacts", |artifacts| {
        artifacts.insert("folder".into(), folder.display().to_string().into());
        let images = artifacts.entry("images").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(images) = images
            && !images.contains(&SAMPLE_IMAGE.into())
        {
            images.push(SAMPLE_IMAGE.into());
        }
    });
    let sections = lab.iter().map(|(name, value)| match value {
        Value::Object(entries) => yaml::section(name, entries),
        other => format!("{}: {}\n", yaml::quoted(name), yaml::flow(other)),
    });
    format!(
        "# Written by `hoist demo`: a lab with an official release, which `hoist.lock` beside it pins.\n{}",
        sections.collect::<String>()
    )
}

/// Changes one of the inventory's maps, in its place; an empty one where there was none.
fn change(lab: &mut Map<String, Value>, name: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    let mut section = lab.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    change(&mut section);
    lab.insert(name.to_owned(), Value::Object(section));
}

/// Takes a word out of a list, and the list with its last word.
fn without(section: &mut Map<String, Value>, key: &str, word: &str) {
    if let Some(Value::Array(list)) = section.get_mut(key) {
        list.retain(|item| item != word);
        if list.is_empty() {
            section.shift_remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        artifact::{Architecture, wanted},
        lab::Cache,
    };

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn tree(text: &str) -> Value {
        inventory::parse("lab.yaml", text).unwrap().tree.to_json()
    }

    fn never(_: &Version) -> Result<(), String> {
        panic!("somebody was asked")
    }

    #[test]
    fn what_can_be_reached_is_taken_and_otherwise_debians() {
        let newest = version("1.34.2");
        let choice = choose("two", None, None, false, &newest, |_| Ok(())).unwrap();
        assert_eq!(choice.kubernetes, Kubernetes::Release(newest.clone()));
        insta::assert_snapshot!(choice, @"Kubernetes 1.34.2 from the official releases: they can be had; `--kubernetes debian` builds one instead");
        let choice = choose("two", None, None, false, &newest, |_| Err("nobody answers".into())).unwrap();
        assert_eq!(choice.kubernetes, Kubernetes::Debian);
        insta::assert_snapshot!(choice, @"Kubernetes 1.20.2 from Debian's source package: official releases of 1.34.2 cannot be reached: nobody answers");
    }

    #[test]
    fn what_is_asked_for_is_taken_and_nobody_is_asked() {
        for (asked, expected) in [
            ("debian", Kubernetes::Debian),
            ("1.33.4", Kubernetes::Release(version("1.33.4"))),
            ("v1.20.2", Kubernetes::Release(version("1.20.2"))),
        ] {
            let asked = asked.parse().unwrap();
            let choice = choose("two", None, Some(&asked), false, &version("1.34.2"), never).unwrap();
            assert_eq!(choice.kubernetes, expected);
        }
        for text in ["", "Debian", "1.34", "newest"] {
            assert!(text.parse::<Kubernetes>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_machine_with_cgroup_v1_gets_what_starts_there() {
        let (old, new) = (newest(false).unwrap().unwrap(), newest(true).unwrap().unwrap());
        assert_eq!(old.minor, 34);
        assert!(new.minor > old.minor, "{new}");
        let asked = Kubernetes::Release(new.clone());
        let error = choose("two", None, Some(&asked), false, &old, never).unwrap_err();
        assert!(matches!(error, LabError::CgroupV1 { .. }), "{error}");
        choose("two", None, Some(&asked), true, &new, never).unwrap();
    }

    #[test]
    fn nodes_keep_what_they_were_made_for() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::new(Cache::at(folder.path()), "two").unwrap();
        assert_eq!(kept(&config).unwrap(), None);
        fs::create_dir_all(config.disk("cp1")).unwrap();
        assert_eq!(kept(&config).unwrap(), Some(Kubernetes::Debian));
        fs::create_dir_all(config.release().parent().unwrap()).unwrap();
        let lab = tree(include_str!("../../inventory/lab.yaml"));
        fs::write(config.release(), inventory_of(&lab, &version("1.33.4"), folder.path())).unwrap();
        let release = Kubernetes::Release(version("1.33.4"));
        assert_eq!(kept(&config).unwrap(), Some(release.clone()));
        // Of a lab that was taken down only the file is left: the next one is another.
        fs::remove_dir_all(config.disks()).unwrap();
        assert_eq!(kept(&config).unwrap(), None);

        for kept in [Kubernetes::Debian, release] {
            let choose = |asked: Option<&Kubernetes>| {
                choose("two", Some(kept.clone()), asked, false, &version("1.34.2"), never)
            };
            assert_eq!(choose(None).unwrap().kubernetes, kept);
            assert_eq!(choose(Some(&kept)).unwrap().kubernetes, kept);
            let other = Kubernetes::Release(version("1.34.2"));
            let error = choose(Some(&other)).unwrap_err();
            assert!(matches!(error, LabError::OtherKubernetes { .. }), "{error}");
        }
    }

    #[test]
    fn the_labs_inventories_take_an_official_release() {
        for text in [include_str!("../../inventory/lab.yaml"), include_str!("../../inventory/lab-ha.yaml")] {
            let before = inventory::parse("lab.yaml", text).unwrap().inventory;
            let text = inventory_of(&tree(text), &version("1.34.2"), Path::new("/cache/releases"));
            let after = inventory::parse("release.yaml", &text).unwrap().inventory;
            let wanted = wanted(&after, &[Architecture::Amd64]).unwrap();
            let has = |name: &str| wanted.images.iter().any(|image| image.reference.starts_with(name));
            assert!(has("registry.k8s.io/coredns/coredns:"), "CoreDNS is left out: {text}");
            assert!(has(SAMPLE_IMAGE), "the sample application has no image: {text}");
            let mut expected = before;
            expected.cluster.kubernetes = version("1.34.2");
            expected.cluster.ignore_preflight_errors.clear();
            expected.cluster.skip_addons.clear();
            expected.artifacts.folder = "/cache/releases".into();
            expected.artifacts.images = vec![SAMPLE_IMAGE.to_owned()];
            let [after, expected] =
                [after, expected].map(|inventory| serde_json::to_string_pretty(&inventory).unwrap());
            assert_eq!(after, expected, "nothing else is changed, nor is the order of hosts");
        }
    }

    #[test]
    fn an_inventory_for_a_release_reads_like_any_other() {
        let text = include_str!("../../inventory/lab.yaml").replace("[ImagePull]", "[ImagePull, NumCPU]");
        let text = inventory_of(&tree(&text), &version("1.34.2"), Path::new("/cache/releases"));
        insta::assert_snapshot!(text, @r#"
        # Written by `hoist demo`: a lab with an official release, which `hoist.lock` beside it pins.
        cluster:
          name: lab
          kubernetes: "1.34.2"
          endpoint: {address: 10.77.0.11, port: 6443}
          etcd: stacked
          network: {pods: 10.244.0.0/16, services: 10.96.0.0/12, plugin: bridge}
          ignore_preflight_errors: [NumCPU]
          kubelet: {evictionHard: {memory.available: 100Mi, nodefs.available: 1Gi, nodefs.inodesFree: "1%", imagefs.available: 1Gi}, imageGCHighThresholdPercent: 100}
          kube_proxy: {conntrack: {maxPerCore: 0, min: 0}}
        ssh:
          user: root
          key: ~/.cache/hoist/lab/ssh/id_ed25519
          known_hosts: ~/.cache/hoist/lab/ssh/known_hosts
          network_namespace: hoist-lab
        artifacts:
          folder: /cache/releases
          images: ["registry.k8s.io/e2e-test-images/busybox:1.36.1-1"]
        hosts:
          cp1: {address: 10.77.0.11, roles: [control-plane]}
          w1: {address: 10.77.0.12, roles: [worker]}
          w2: {address: 10.77.0.13, roles: [worker]}
        vars:
          containerd: {restrict_oom_score_adj: true}
        "#);
        assert_eq!(inventory_of(&tree(&text), &version("1.34.2"), Path::new("/cache/releases")), text);
    }
}
