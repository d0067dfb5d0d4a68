//! `hoist lock` and `hoist bundle` from outside: a site with a mirror, and one that has only what it brings out.

use std::{
    fs,
    path::{Path, PathBuf},
};

use assert_cmd::Command;
use hoist::{
    artifact::{self, Error},
    inventory,
};
use tempfile::TempDir;

use super::{registry::Registry, server::Server, sha256, tar_gz};

const IMAGES: [&str; 7] = [
    "k8s.gcr.io/kube-apiserver:v1.20.2",
    "k8s.gcr.io/kube-controller-manager:v1.20.2",
    "k8s.gcr.io/kube-scheduler:v1.20.2",
    "k8s.gcr.io/kube-proxy:v1.20.2",
    "k8s.gcr.io/coredns:1.7.0",
    "k8s.gcr.io/etcd:3.4.13-0",
    "k8s.gcr.io/pause:3.2",
];
const RELEASES: &str = "https://dl.k8s.io/release/v1.20.2/bin/linux/amd64";
const CRICTL: &str = "https://github.com/kubernetes-sigs/cri-tools/releases/download/v1.20.0/crictl-v1.20.0-linux-amd64.tar.gz";
const ETCD: &str = "https://github.com/etcd-io/etcd/releases/download/v3.4.13";

/// A mirror with everything of a release, as small as it can be, and an inventory that wants it.
pub struct Site {
    pub folder: TempDir,
    pub mirror: Server,
    pub registry: Registry,
}

impl Site {
    pub async fn new() -> Option<Site> {
        Site::with("").await
    }

    /// With more of `artifacts`, and what comes behind it, in the inventory.
    pub async fn with(more: &str) -> Option<Site> {
        let registry = Registry::start()?;
        for image in IMAGES {
            registry.push(image, &["amd64", "arm64"]).await;
        }
        let mirror = Server::start();
        for name in ["kubeadm", "kubelet", "kubectl"] {
            release(&mirror, name, name.as_bytes());
        }
        mirror.mirror(CRICTL, tar_gz("./crictl", b"#!crictl"));
        let etcd = tar_gz("etcd-v3.4.13-linux-amd64/etcd", b"#!etcd");
        let name = "etcd-v3.4.13-linux-amd64.tar.gz";
        mirror.mirror(
            &format!("{ETCD}/SHA256SUMS"),
            format!("{}  other.tar.gz\n{}  {name}\n", sha256(b""), sha256(&etcd)),
        );
        mirror.mirror(&format!("{ETCD}/{name}"), etcd);
        let folder = tempfile::tempdir().unwrap();
        let inventory = format!(
            "cluster: {{name: one, kubernetes: \"1.20.2\"}}\nartifacts: {{folder: {}/artifacts{more}}}\nhosts:\n  \
             a: {{address: 10.0.0.1, roles: [control-plane]}}\n",
            folder.path().display()
        );
        fs::write(folder.path().join("site.yaml"), inventory).unwrap();
        Some(Site { folder, mirror, registry })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn lock_text(&self) -> String {
        fs::read_to_string(self.path("hoist.lock")).unwrap()
    }

    /// Exit code, standard output and standard error, without what differs from run to run.
    pub fn hoist(&self, words: &[&str]) -> (i32, String, String) {
        self.hoist_with(words, &[])
    }

    /// The same with these variables in the environment.
    pub fn hoist_with(&self, words: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
        command.args(words).current_dir(self.folder.path()).env("HOME", self.folder.path());
        command.env("HOIST_CACHE", self.path("cache")).env("HOIST_MIRROR", self.mirror.url());
        command.env("HOIST_REGISTRY", self.registry.url()).env_remove("HOIST_INVENTORY");
        command.env_remove("DOCKER_CONFIG").env_remove("DOCKER_AUTH_CONFIG").envs(variables.iter().copied());
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            let text = text.replace(self.folder.path().to_str().unwrap(), "SITE");
            text.replace(&self.mirror.url(), "MIRROR").replace(&self.registry.url(), "REGISTRY")
        };
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

fn release(mirror: &Server, name: &str, content: &[u8]) {
    mirror.mirror(&format!("{RELEASES}/{name}"), content);
    mirror.mirror(&format!("{RELEASES}/{name}.sha256"), sha256(content));
}

/// Every file below a folder with its content, by name.
fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => all.extend(tree(&path)),
            path => all.push((path.clone(), fs::read(path).unwrap())),
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn a_lock_pins_everything_and_says_the_same_again() {
    let Some(site) = Site::new().await else { return };
    let (exit, output, errors) = site.hoist(&["lock", "-i", "site.yaml"]);
    assert_eq!((exit, output.as_str()), (0, ""), "{errors}");
    assert_eq!(errors, "hoist.lock: written: 5 files, 7 images\n");
    insta::assert_snapshot!("lock", site.lock_text());

    let before = fs::metadata(site.path("hoist.lock")).unwrap().modified().unwrap();
    let (exit, _, errors) = site.hoist(&["lock", "-i", "site.yaml"]);
    assert_eq!((exit, errors.as_str()), (0, "hoist.lock: unchanged: 5 files, 7 images\n"));
    assert_eq!(fs::metadata(site.path("hoist.lock")).unwrap().modified().unwrap(), before);
}

#[tokio::test]
async fn what_changed_without_a_new_version_is_refused_until_it_is_asked_for() {
    let Some(site) = Site::new().await else { return };
    assert_eq!(site.hoist(&["lock", "-i", "site.yaml"]).0, 0);
    let locked = site.lock_text();
    release(&site.mirror, "kubelet", b"another kubelet");
    let (exit, _, errors) = site.hoist(&["lock", "-i", "site.yaml", "--fetch"]);
    assert_eq!(exit, 65, "{errors}");
    insta::assert_snapshot!("differs", errors);
    assert_eq!(site.lock_text(), locked);
    assert!(!site.path("artifacts").exists(), "nothing was fetched");

    assert_eq!(site.hoist(&["lock", "-i", "site.yaml", "--update"]).0, 0);
    assert!(site.lock_text().contains(&sha256(b"another kubelet")));
}

#[tokio::test]
async fn fetched_artifacts_are_what_an_inventory_finds() {
    let Some(site) = Site::new().await else { return };
    // What a killed run left.
    fs::create_dir_all(site.path("artifacts/.kubernetes-1.20.2.partial/images/half")).unwrap();
    let (exit, _, errors) = site.hoist(&["lock", "-i", "site.yaml", "--fetch"]);
    assert_eq!(exit, 0, "{errors}");
    assert_eq!(fs::read_dir(site.path("artifacts")).unwrap().count(), 1);
    let inventory = inventory::load(&site.path("site.yaml")).unwrap().inventory;
    let supply =
        || artifact::supply(&inventory, &site.path("site.yaml"), site.folder.path(), &site.path("cache"));
    let index = supply().unwrap();
    let files: Vec<_> =
        index.files.iter().map(|file| (file.name.as_str(), fs::read(&file.path).unwrap())).collect();
    assert_eq!(
        files,
        [
            ("crictl", b"#!crictl".to_vec()),
            ("kubeadm", b"kubeadm".to_vec()),
            ("kubectl", b"kubectl".to_vec()),
            ("kubelet", b"kubelet".to_vec())
        ]
    );
    for file in index.files.iter().chain(&index.extras) {
        assert_eq!(sha256(&fs::read(&file.path).unwrap()), file.sha256, "{}", file.name);
    }
    for image in &index.images {
        assert_eq!(sha256(&fs::read(&image.path).unwrap()), image.sha256, "{}", image.name);
    }
    assert_eq!(index.images.len(), 7);
    assert!(index.extras[0].path.ends_with("extras/etcd"));

    // Again: nothing is downloaded but the digests, and nothing is written.
    site.mirror.log();
    let before = tree(&site.path("artifacts"));
    let (exit, _, errors) = site.hoist(&["lock", "-i", "site.yaml", "--fetch"]);
    assert_eq!(exit, 0, "{errors}");
    assert!(errors.contains("kubernetes-1.20.2: unchanged"), "{errors}");
    assert_eq!(tree(&site.path("artifacts")), before);
    let log = site.mirror.log();
    assert!(log.iter().all(|line| !line.starts_with("GET") || !line.ends_with("/kubelet")), "{log:?}");

    // Hosts may fetch what they get as it was released; so not what came out of an archive, and no image.
    let mut fetching = inventory.clone();
    fetching.artifacts.from = inventory::ArtifactsFrom::Origin;
    let supply_of = |inventory: &inventory::Inventory| {
        artifact::supply(inventory, &site.path("site.yaml"), site.folder.path(), &site.path("cache"))
    };
    let fetched = supply_of(&fetching).unwrap().origins;
    assert_eq!(fetched[&sha256(b"kubelet")], format!("{RELEASES}/kubelet"));
    assert_eq!(fetched.len(), 4, "kubeadm, kubectl, kubelet and etcd's archive: {fetched:?}");
    assert!(supply().unwrap().origins.is_empty(), "they get it of each other");

    // A lock that was changed since is not what the folder holds.
    let lock = site.lock_text();
    fs::write(site.path("hoist.lock"), lock.replace(&sha256(b"kubelet"), &sha256(b"other"))).unwrap();
    assert!(matches!(supply(), Err(Error::NotPinned { .. })));
    fs::write(site.path("hoist.lock"), lock.replace("kubernetes: \"1.20.2\"", "kubernetes: \"1.20.3\""))
        .unwrap();
    assert!(matches!(supply(), Err(Error::OtherVersion { .. })));
    fs::remove_file(site.path("hoist.lock")).unwrap();
    assert!(matches!(supply_of(&fetching), Err(Error::NoOrigins { .. })));
    assert!(supply().is_ok());
}

#[tokio::test]
async fn artifacts_that_somebody_else_made_are_not_overwritten() {
    let Some(site) = Site::new().await else { return };
    let home = site.path("artifacts/kubernetes-1.20.2");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("index.yaml"), "kubernetes: 1.20.2\norigin: the lab\nfiles: []\nimages: []\n")
        .unwrap();
    let (exit, _, errors) = site.hoist(&["lock", "-i", "site.yaml", "--fetch"]);
    assert_eq!(exit, 65, "{errors}");
    assert!(errors.contains("holds other artifacts: the lab"), "{errors}");
    assert_eq!(fs::read_dir(&home).unwrap().count(), 1);
}

#[tokio::test]
async fn a_bundle_is_all_that_a_site_without_internet_needs() {
    let Some(site) = Site::new().await else { return };
    let (exit, _, errors) = site.hoist(&["bundle", "create", "-i", "site.yaml", "site.bundle"]);
    assert_eq!(exit, 71, "{errors}");
    assert!(errors.contains("there is no hoist.lock") && errors.contains("hoist lock -i"), "{errors}");
    assert_eq!(site.hoist(&["lock", "-i", "site.yaml"]).0, 0);
    let (exit, _, errors) = site.hoist(&["bundle", "create", "-i", "site.yaml", "site.bundle"]);
    assert_eq!(exit, 0, "{errors}");
    let (exit, output, errors) = site.hoist(&["bundle", "verify", "site.bundle"]);
    assert_eq!((exit, errors.as_str()), (0, ""));
    insta::assert_snapshot!("verify", output);
    let (exit, output, _) = site.hoist(&["bundle", "inspect", "site.bundle"]);
    assert_eq!(exit, 0);
    insta::assert_snapshot!("inspect", output);

    // Elsewhere: no mirror, no registry, no cache, only the bundle and the inventory.
    let Site { folder, mirror, registry } = site;
    drop((mirror, registry));
    let away = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(folder.path().join("site.yaml")).unwrap();
    let text = text.replace("artifacts: {folder: ", "artifacts: {bundle: ~/site.bundle, folder: ");
    fs::write(away.path().join("site.yaml"), &text).unwrap();
    fs::copy(folder.path().join("site.bundle"), away.path().join("site.bundle")).unwrap();
    fs::copy(folder.path().join("hoist.lock"), away.path().join("hoist.lock")).unwrap();
    drop(folder);
    let inventory = inventory::load(&away.path().join("site.yaml")).unwrap().inventory;
    let supply = || {
        artifact::supply(&inventory, &away.path().join("site.yaml"), away.path(), &away.path().join("cache"))
    };
    let index = supply().unwrap();
    assert_eq!((index.files.len(), index.images.len(), index.extras.len()), (4, 7, 1));
    let unpacked = fs::metadata(&index.files[0].path).unwrap().modified().unwrap();
    assert_eq!(supply().unwrap(), index);
    assert_eq!(fs::metadata(&index.files[0].path).unwrap().modified().unwrap(), unpacked, "unpacked once");

    // A lock that pins something else.
    let lock = fs::read_to_string(away.path().join("hoist.lock")).unwrap();
    fs::write(away.path().join("hoist.lock"), lock.replace(&sha256(b"kubelet"), &sha256(b"other"))).unwrap();
    assert!(matches!(supply(), Err(Error::NotPinned { .. })));
}

#[test]
fn a_proxy_is_asked_for_everything() {
    let proxy = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let inventory =
        "cluster: {name: one, kubernetes: 1.20.2}\nhosts: {a: {address: 10.0.0.1, roles: [control-plane]}}\n";
    fs::write(folder.path().join("site.yaml"), inventory).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
    command.args(["lock", "-i", "site.yaml", "--mirror", "http://mirror.invalid"]).current_dir(folder.path());
    command.env("HOME", folder.path()).env("HTTP_PROXY", proxy.url());
    for name in
        ["HOIST_CACHE", "HOIST_REGISTRY", "NO_PROXY", "no_proxy", "http_proxy", "ALL_PROXY", "all_proxy"]
    {
        command.env_remove(name);
    }
    // The proxy answers 404 to everything: who was asked is the question.
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let log = proxy.log();
    assert!(!log.is_empty(), "{output:?}");
    assert!(log.iter().all(|line| line.contains(" http://mirror.invalid/")), "{log:?}");
}

#[test]
fn a_damaged_bundle_is_answered_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site.bundle");
    fs::write(&path, "no bundle").unwrap();
    for verb in ["verify", "inspect"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
        let output = command.args(["bundle", verb]).arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(65));
        assert!(output.stdout.is_empty());
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains("is no bundle") && errors.contains("hoist bundle create"), "{errors}");
    }
}
