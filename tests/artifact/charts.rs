//! Helm charts and their images: out of a repository and out of a registry, into a lock, a folder and a bundle.

use std::fs;

use hoist::{artifact, inventory};

use super::{commands::Site, server::Server, sha256, tar_gz};

const IMAGES: [&str; 5] = [
    "quay.io/metallb/controller:v0.16.1",
    "quay.io/metallb/speaker:v0.16.1",
    "quay.io/metallb/frr-k8s:v0.0.25",
    "quay.io/frrouting/frr:10.4.3",
    "ghcr.io/acme/own:2",
];
const MORE: &str = ", charts: [{name: own, version: 1.2.3+build, repository: 'oci://ghcr.io/acme/charts'}, \
    {name: plain, version: 0.1.0, repository: 'https://charts.acme.example/stable/'}], images: ['ghcr.io/acme/own:2']";
const METALLB: &str = "https://metallb.github.io/metallb";
const PLAIN: &str = "https://charts.acme.example";

fn chart(name: &str) -> Vec<u8> {
    tar_gz(&format!("{name}/Chart.yaml"), format!("name: {name}\n").as_bytes())
}

fn index(mirror: &Server, repository: &str, name: &str, version: &str, url: &str, digest: Option<String>) {
    let digest = digest.map(|digest| format!("\n    digest: {digest}")).unwrap_or_default();
    let index = format!(
        "apiVersion: v1\nentries:\n  {name}:\n  - name: {name}\n    version: 9.9.9\n    urls: [x.tgz]\n  \
         - name: {name}\n    version: {version}\n    urls: [{url}]{digest}\ngenerated: 2026-01-01T00:00:00Z\n"
    );
    mirror.mirror(&format!("{repository}/index.yaml"), index);
}

async fn site() -> Option<Site> {
    let site = Site::with(MORE).await?;
    let path = site.path("site.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, format!("{text}addons: {{metallb: {{pools: [10.0.0.200-10.0.0.210]}}}}\n")).unwrap();
    for image in IMAGES {
        site.registry.push(image, &["amd64"]).await;
    }
    let metallb = chart("metallb");
    index(
        &site.mirror,
        METALLB,
        "metallb",
        "0.16.1",
        "https://github.com/m/metallb.tgz",
        Some(sha256(&metallb)),
    );
    site.mirror.mirror("https://github.com/m/metallb.tgz", metallb);
    // A repository with relative addresses and without digests.
    index(&site.mirror, &format!("{PLAIN}/stable"), "plain", "v0.1.0", "plain-0.1.0.tgz", None);
    site.mirror.mirror(&format!("{PLAIN}/stable/plain-0.1.0.tgz"), chart("plain"));
    site.registry.push_chart("ghcr.io/acme/charts/own:1.2.3_build", &chart("own")).await;
    Some(site)
}

#[tokio::test]
async fn charts_and_their_images_are_pinned_bundled_and_laid_out() {
    let Some(site) = site().await else { return };
    let (exit, _, errors) = site.hoist(&["lock", "-i", "site.yaml", "--fetch"]);
    assert_eq!(exit, 0, "{errors}");
    assert!(errors.contains("written: 5 files, 12 images, 3 charts\n"), "{errors}");
    assert!(errors.contains("not confirmed: chart metallb 0.16.1: which Kubernetes"), "{errors}");
    let lock = site.lock_text();
    let charts = lock.split_once("\ncharts:").unwrap().1;
    insta::assert_snapshot!("charts", charts);
    let (exit, _, errors) = site.hoist(&["lock", "-i", "site.yaml"]);
    assert!(exit == 0 && errors.contains("unchanged: 5 files"), "{errors}");

    let inventory = inventory::load(&site.path("site.yaml")).unwrap().inventory;
    let supply =
        || artifact::supply(&inventory, &site.path("site.yaml"), site.folder.path(), &site.path("cache"));
    let found = supply().unwrap();
    for (entry, name) in found.charts.iter().zip(["metallb", "own", "plain"]) {
        assert_eq!((entry.name.as_str(), fs::read(&entry.path).unwrap()), (name, chart(name)));
    }
    let speaker = found.images.iter().find(|image| image.name == "metallb-speaker").unwrap();
    assert!(speaker.everywhere && speaker.path.exists());
    assert_eq!(found.reference("acme-own"), Some("ghcr.io/acme/own:2"));

    let (exit, _, errors) = site.hoist(&["bundle", "create", "-i", "site.yaml", "site.bundle"]);
    assert_eq!(exit, 0, "{errors}");
    let (exit, output, _) = site.hoist(&["bundle", "inspect", "site.bundle"]);
    assert!(exit == 0 && output.contains("chart metallb") && output.contains("metallb-speaker"), "{output}");
    assert_eq!(site.hoist(&["bundle", "verify", "site.bundle"]).0, 0);
}

#[tokio::test]
async fn manifests_that_a_chart_needs_are_pinned_bundled_and_laid_out_where_they_are_wanted() {
    let own = format!(", charts: [{{name: cilium, version: 1.20.0, repository: '{PLAIN}'}}]");
    let Some(site) = Site::with(&own).await else { return };
    let path = site.path("site.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace("\"1.20.2\"}", "\"1.20.2\", network: {plugin: cilium}}");
    let write = |addons: &str| fs::write(&path, format!("{text}addons: {{cilium: {{{addons}}}}}\n")).unwrap();
    index(&site.mirror, PLAIN, "cilium", "1.20.0", "cilium.tgz", None);
    site.mirror.mirror(&format!("{PLAIN}/cilium.tgz"), chart("cilium"));
    let definitions = b"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n";
    let url = "https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.6.1/standard-install.yaml";
    site.mirror.mirror(url, definitions);

    write("");
    let (exit, _, errors) = site.hoist(&["lock", "-i", "site.yaml"]);
    assert!(exit == 0 && !site.lock_text().contains("gateway-api"), "{errors}");
    write("gateway_api: true");
    let (exit, _, errors) = site.hoist(&["lock", "-i", "site.yaml"]);
    assert!(exit != 0 && errors.contains("gateway-api"), "what is wanted now is told: {errors}");
    let (exit, _, errors) = site.hoist(&["lock", "-i", "site.yaml", "--update", "--fetch"]);
    assert_eq!(exit, 0, "{errors}");
    let lock = artifact::Lock::load(&site.path("hoist.lock")).unwrap();
    let pinned: Vec<_> = lock.files.iter().filter(|file| file.name == "gateway-api").collect();
    let told = (pinned[0].url.as_str(), pinned[0].sha256.as_str(), pinned[0].size);
    assert_eq!(told, (url, sha256(definitions).as_str(), definitions.len() as u64));
    assert_eq!(pinned.len(), 1);

    let (exit, _, errors) = site.hoist(&["bundle", "create", "-i", "site.yaml", "site.bundle"]);
    assert_eq!(exit, 0, "{errors}");
    let (_, output, _) = site.hoist(&["bundle", "inspect", "site.bundle"]);
    assert!(output.contains("gateway-api"), "{output}");
    // From the bundle alone.
    let folder = format!("folder: {}", site.path("artifacts").display());
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(&folder, &format!("bundle: {}", site.path("site.bundle").display())))
        .unwrap();
    let inventory = inventory::load(&path).unwrap().inventory;
    let found = artifact::supply(&inventory, &path, site.folder.path(), &site.path("other")).unwrap();
    let file = found.extra("gateway-api").unwrap();
    assert_eq!(
        (file.version.as_str(), fs::read(&file.path).unwrap().as_slice()),
        ("1.6.1", &definitions[..])
    );
}

#[tokio::test]
async fn what_a_repository_does_not_have_or_has_another_of_is_said() {
    let Some(site) = site().await else { return };
    index(&site.mirror, METALLB, "metallb", "0.15.0", "metallb.tgz", None);
    let (exit, _, errors) = site.hoist(&["lock", "-i", "site.yaml"]);
    assert_eq!(exit, 1, "{errors}");
    assert!(errors.contains("no version 0.16.1 of metallb") && errors.contains("9.9.9, 0.15.0"), "{errors}");
    index(&site.mirror, METALLB, "other", "0.16.1", "metallb.tgz", None);
    let (_, _, errors) = site.hoist(&["lock", "-i", "site.yaml"]);
    assert!(errors.contains("it has no chart metallb"), "{errors}");
    // Published with a digest that the file does not have: found out when it is fetched.
    let url = "https://github.com/m/metallb.tgz";
    index(&site.mirror, METALLB, "metallb", "0.16.1", url, Some(sha256(b"other")));
    let (exit, _, errors) = site.hoist(&["lock", "-i", "site.yaml", "--fetch"]);
    assert!(exit == 1 && errors.contains("expected") && errors.contains("metallb.tgz"), "{errors}");
}
