//! Which Helm charts an inventory asks for, and which images they and their users run.

use schemars::JsonSchema;
use semver::{Version, VersionReq};
use serde::Deserialize;

use super::{Error, catalogue, digest};
use crate::inventory::{self, Inventory, Plugin};

/// An add-on's chart in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chart {
    /// What its repository calls it.
    pub name: String,
    /// The add-on's key in an inventory, where that is not the chart's name.
    #[serde(default)]
    pub addon: Option<String>,
    /// Without one there is no chart: the add-on's manifests are hoist's own, and these are the images that they run.
    #[serde(default)]
    #[schemars(regex(pattern = "^(https|oci)://"))]
    pub repository: Option<String>,
    /// Every node may run its images, not only workers.
    #[serde(default)]
    pub everywhere: bool,
    /// Newest first.
    #[schemars(length(min = 1))]
    pub versions: Vec<ChartVersion>,
}

impl Chart {
    /// The add-on's key in an inventory.
    pub fn addon(&self) -> &str {
        self.addon.as_deref().unwrap_or(&self.name)
    }
}

/// A version of a chart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChartVersion {
    pub version: String,
    /// Which Kubernetes it is for, such as `>=1.25`.
    #[schemars(with = "String")]
    pub kubernetes: VersionReq,
    /// What it runs with the values that it comes with.
    #[schemars(length(min = 1))]
    pub images: Vec<String>,
    /// Files that it does not bring and that hoist applies before it.
    #[serde(default)]
    pub files: Vec<ChartFile>,
    /// What nobody could confirm.
    #[serde(default)]
    pub unverified: Vec<String>,
}

/// A file with manifests that a chart needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChartFile {
    /// What the add-on's definition calls it.
    pub name: String,
    pub version: String,
    #[schemars(regex(pattern = "^https://"))]
    pub url: String,
    /// The add-on's setting that must be true, or nobody needs it.
    pub setting: String,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Charts {
    pub(super) charts: Vec<Chart>,
}

/// What an inventory asks for beside Kubernetes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extra {
    pub charts: Vec<inventory::Chart>,
    /// Name, reference, and whether every node may run it.
    pub images: Vec<(String, String, bool)>,
    /// Files with manifests.
    pub files: Vec<ChartFile>,
    /// What nobody could confirm of these charts.
    pub unverified: Vec<String>,
}

/// The charts of an inventory's add-ons and its own, with all their images.
///
/// # Errors
/// [`Error::UnknownChart`] when the catalogue has none for an add-on, or none for the inventory's Kubernetes.
pub fn extra(inventory: &Inventory) -> Result<Extra, Error> {
    let known = catalogue::charts()?;
    let own = &inventory.artifacts.charts;
    let mine = inventory.addons.own.values().filter_map(|addon| addon.chart.clone());
    let mut own: Vec<inventory::Chart> = own.clone();
    for chart in mine {
        // Two of one name are one and the same: the inventory is verified.
        if !own.contains(&chart) {
            own.push(chart);
        }
    }
    let mut addons = inventory.addons.names();
    addons.retain(|name| !inventory.addons.own.contains_key(name));
    // Cilium is installed wherever it is the network plugin; its key holds only its settings.
    if inventory.cluster.network.plugin == Plugin::Cilium && !addons.iter().any(|name| name == "cilium") {
        addons.push(String::from("cilium"));
    }
    let mut extra = Extra { charts: own.clone(), ..Extra::default() };
    let mut references = Vec::new();
    for addon in addons {
        let chart = known.iter().find(|chart| chart.addon() == addon);
        if own.iter().any(|own| own.name == chart.map_or(addon.as_str(), |chart| &chart.name)) {
            continue;
        }
        let Some(chart) = chart else {
            return Err(Error::UnknownChart { name: addon, reason: String::from("none is known") });
        };
        let version = fitting(chart, &inventory.cluster.kubernetes)?;
        extra.charts.extend(chart.repository.as_ref().map(|repository| inventory::Chart {
            name: chart.name.clone(),
            version: version.version.clone(),
            repository: repository.clone(),
        }));
        let notes = version.unverified.iter();
        extra.unverified.extend(notes.map(|note| format!("chart {addon} {}: {note}", version.version)));
        references.extend(version.images.iter().map(|image| (image.clone(), chart.everywhere)));
    }
    extra.files = files(&known, &extra.charts, inventory);
    let mine = inventory.artifacts.images.iter();
    references.extend(mine.map(|image| (image.clone(), false)));
    references.sort();
    references.dedup_by(|b, a| {
        let same = a.0 == b.0;
        a.1 |= same && b.1;
        same
    });
    let names = names(&references);
    let named = names.into_iter().zip(references);
    extra.images = named.map(|(name, (reference, everywhere))| (name, reference, everywhere)).collect();
    Ok(extra)
}

/// What charts need and do not bring, as far as the catalogue knows their minor version.
fn files(known: &[Chart], pinned: &[inventory::Chart], inventory: &Inventory) -> Vec<ChartFile> {
    let mut files = Vec::new();
    for wanted in inventory.wanted() {
        let Some(chart) = known.iter().find(|chart| chart.addon() == wanted.name) else { continue };
        let Some(pinned) = pinned.iter().find(|pinned| pinned.name == chart.name) else { continue };
        let same = chart.versions.iter().find(|known| minor(&known.version) == minor(&pinned.version));
        let is_on = |file: &&ChartFile| wanted.settings.get(&file.setting) == Some(&true.into());
        files.extend(same.into_iter().flat_map(|known| &known.files).filter(is_on).cloned());
    }
    files
}

/// `1.20` of `v1.20.3`.
fn minor(version: &str) -> Vec<&str> {
    version.trim_start_matches('v').split('.').take(2).collect()
}

fn fitting<'a>(chart: &'a Chart, kubernetes: &Version) -> Result<&'a ChartVersion, Error> {
    chart.versions.iter().find(|version| version.kubernetes.matches(kubernetes)).ok_or_else(|| {
        let known = chart.versions.iter();
        let known: Vec<String> =
            known.map(|known| format!("{} is for Kubernetes {}", known.version, known.kubernetes)).collect();
        Error::UnknownChart {
            name: chart.name.clone(),
            reason: format!("none is known for Kubernetes {kubernetes} ({})", known.join(", ")),
        }
    })
}

/// A DNS label for each image: the repository without its registry, and where two have the same, part of a digest.
fn names(references: &[(String, bool)]) -> Vec<String> {
    let short: Vec<String> = references.iter().map(|(reference, _)| label(reference)).collect();
    let mut names = Vec::new();
    for (name, (reference, _)) in short.iter().zip(references) {
        let alone = short.iter().filter(|other| *other == name).count() == 1;
        let digest = digest::of(reference.as_bytes());
        names.push(if alone { name.clone() } else { format!("{name}-{}", &digest[..8]) });
    }
    names
}

/// `quay.io/cilium/operator-generic:v1` is `cilium-operator-generic`. At most 50 characters: a name has up to 63.
/// Images of Kubernetes have one word, these at least two.
fn label(reference: &str) -> String {
    let path = reference.split_once('/').map_or(reference, |(_, path)| path);
    let path = path.rsplit_once(':').map_or(path, |(path, _)| path);
    let path = if path.contains('/') { path.to_owned() } else { format!("image-{path}") };
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let label: String = path.chars().map(letter).collect();
    let start = label.len().saturating_sub(50);
    label[start..].trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kubernetes: &str, rest: &str) -> Result<Extra, Error> {
        let text = format!(
            "cluster: {{name: a, kubernetes: {kubernetes}}}\nhosts: {{a: {{address: 10.0.0.1, roles: [control-plane]}}}}\n{rest}"
        );
        extra(&inventory::parse("test", &text).unwrap().inventory)
    }

    #[test]
    fn every_chart_of_the_catalogue_is_an_addon_with_images() {
        for chart in catalogue::charts().unwrap() {
            let addons = crate::yaml::schema_of::<inventory::Addons>();
            assert!(addons["properties"].get(chart.addon()).is_some(), "{}", chart.name);
            for version in &chart.versions {
                let whole = |image: &String| image.split('/').count() == 3 && !image.contains('@');
                assert!(version.images.iter().all(whole), "{}", chart.name);
            }
        }
    }

    #[test]
    fn the_inventory_knows_what_charts_are_called() {
        for chart in catalogue::charts().unwrap() {
            assert_eq!(inventory::chart_of(chart.addon()), chart.name);
        }
    }

    #[test]
    fn a_chart_that_two_addons_use_is_pinned_once() {
        let own = |name: &str| {
            format!(
                "{name}: {{namespace: {name}, chart: {{name: web, version: 1.0.0, repository: \"https://c.lan\"}}}}"
            )
        };
        let found = of("1.36.5", &format!("addons: {{own: {{{}, {}}}}}\n", own("a"), own("b"))).unwrap();
        assert_eq!(found.charts.len(), 1);
    }

    #[test]
    fn addons_bring_their_charts_and_images() {
        let found =
            of("1.36.5", "addons: {cert-manager: {}, metallb: {pools: [10.0.0.200-10.0.0.210]}}\n").unwrap();
        let charts: Vec<String> =
            found.charts.iter().map(|chart| format!("{} {}", chart.name, chart.version)).collect();
        assert_eq!(charts, ["cert-manager v1.21.1", "metallb 0.16.1"]);
        let images: Vec<String> = found.images.iter().map(|(name, _, all)| format!("{name} {all}")).collect();
        assert_eq!(
            images,
            [
                "frrouting-frr true",
                "jetstack-cert-manager-acmesolver false",
                "jetstack-cert-manager-cainjector false",
                "jetstack-cert-manager-controller false",
                "jetstack-cert-manager-startupapicheck false",
                "jetstack-cert-manager-webhook false",
                "metallb-controller true",
                "metallb-frr-k8s true",
                "metallb-speaker true",
            ]
        );
        assert_eq!(found.unverified.len(), 2);
    }

    #[test]
    fn an_addon_may_have_a_chart_of_another_name_or_none() {
        let addons = "addons: {nfs-provisioner: {server: nas, path: /srv}, registry: {host: r.lan, tls: false, \
                      users: {env: USERS}}}\n";
        let found = of("1.36.5", addons).unwrap();
        let charts: Vec<&str> = found.charts.iter().map(|chart| chart.name.as_str()).collect();
        assert_eq!(charts, ["nfs-subdir-external-provisioner"]);
        let images: Vec<&str> = found.images.iter().map(|(name, _, _)| name.as_str()).collect();
        assert_eq!(images, ["library-registry", "sig-storage-nfs-subdir-external-provisioner"]);
        let own = "artifacts: {charts: [{name: nfs-subdir-external-provisioner, version: 4.0.17, repository: \"oci://r.lan\"}]}\n";
        let found = of("1.36.5", &format!("{own}{addons}")).unwrap();
        assert_eq!((found.charts.len(), found.charts[0].version.as_str()), (1, "4.0.17"));
    }

    #[test]
    fn the_gateway_api_comes_where_it_is_on_with_the_release_for_the_minor_version_of_cilium() {
        let files = |addons: &str, charts: &str| {
            let text = format!(
                "cluster: {{name: a, kubernetes: 1.36.5, network: {{plugin: cilium}}}}\nhosts: {{a: {{address: 10.0.0.1, \
                 roles: [control-plane]}}}}\naddons: {{{addons}}}\nartifacts: {{charts: [{charts}]}}\n"
            );
            let files = extra(&inventory::parse("test", &text).unwrap().inventory).unwrap().files;
            files.into_iter().map(|file| format!("{} {}", file.name, file.version)).collect::<Vec<_>>()
        };
        let own =
            |version: &str| format!("{{name: cilium, version: {version}, repository: \"https://c.lan\"}}");
        let on = "cilium: {gateway_api: true}";
        assert_eq!(files(on, ""), ["gateway-api 1.6.1"]);
        assert_eq!(files(on, &own("v1.20.7")), ["gateway-api 1.6.1"]);
        // Nobody has looked which release other versions need.
        assert_eq!(files(on, &own("1.19.6")), [""; 0]);
        assert_eq!(files("cilium: {}", ""), [""; 0]);
        assert_eq!(files("cert-manager: {gateway_api: true}", ""), [""; 0]);
    }

    #[test]
    fn an_own_chart_takes_the_place_of_an_addons() {
        let own = "artifacts: {charts: [{name: cert-manager, version: v1.5.0, repository: \"https://charts.jetstack.io\"}], \
                   images: [\"quay.io/jetstack/cert-manager-controller:v1.5.0\"]}\naddons: {cert-manager: {}}\n";
        let found = of("1.20.2", own).unwrap();
        assert_eq!((found.charts.len(), found.charts[0].version.as_str()), (1, "v1.5.0"));
        assert_eq!(found.images[0].0, "jetstack-cert-manager-controller");
    }

    #[test]
    fn what_has_no_chart_is_named_with_what_to_do() {
        for (kubernetes, addon, expected) in [
            ("1.20.2", "cert-manager", "v1.21.1 is for Kubernetes >=1.22"),
            ("1.20.2", "keda", "2.21.1 is for Kubernetes >=1.23"),
        ] {
            let error = of(kubernetes, &format!("addons: {{{addon}: {{}}}}\n")).unwrap_err();
            assert!(error.to_string().contains(addon) && error.to_string().contains(expected), "{error}");
            assert!(miette::Diagnostic::help(&error).unwrap().to_string().contains("artifacts.charts"));
        }
    }

    #[test]
    fn two_tags_of_one_repository_have_two_names() {
        let images = "artifacts: {images: [\"docker.io/nginx:1.26\", \"docker.io/nginx:1.27\", \"a.b:5000/x/y.z_w:1\"]}\n";
        let found = of("1.36.5", images).unwrap();
        let names: Vec<&str> = found.images.iter().map(|(name, _, _)| name.as_str()).collect();
        assert_eq!(names[0], "x-y-z-w");
        assert!(names[1].starts_with("image-nginx-") && names[1] != names[2], "{names:?}");
    }
}
