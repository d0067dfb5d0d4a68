//! Images out of a real registry.

use std::{collections::BTreeMap, fs::File, io::Read as _};

use hoist::artifact::{self, Architecture, Error, Index, Lock, Wanted, lock};

use super::{
    registry::{Registry, layer},
    sha256, source,
};

const PAUSE: &str = "registry.k8s.io/pause:3.10.2";

/// One image for one architecture.
pub fn wanted(architecture: Architecture) -> Wanted {
    let image = artifact::WantedImage {
        name: "pause".into(),
        reference: PAUSE.into(),
        architecture,
        everywhere: false,
    };
    Wanted {
        kubernetes: "1.36.5".into(),
        architectures: vec![architecture],
        files: Vec::new(),
        images: vec![image],
        charts: Vec::new(),
    }
}

#[tokio::test]
async fn one_platform_of_an_index_becomes_an_archive_that_can_be_imported() {
    let Some(registry) = Registry::start() else { return };
    let digests = registry.push(PAUSE, &["amd64", "arm64"]).await;
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path(), "/nowhere", Some(&registry.url()));
    let lock = artifact::pin(&source, &wanted(Architecture::Arm64)).await.unwrap();
    assert_eq!(lock.images[0].digest, digests[1]);

    artifact::fetch(&source, &lock, &|_| ()).await.unwrap();
    let home = folder.path().join("artifacts");
    assert!(artifact::stage(&source.store, &lock, &home).unwrap());
    let index = Index::load(&home, "1.36.5").unwrap();
    let image = &index.images[0];
    assert_eq!((image.reference.as_str(), &image.digest), (PAUSE, &digests[1]));

    // Everything is in the archive under its own digest, and the index leads to all of it.
    let entries = unpack(&image.path);
    for (name, content) in &entries {
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            assert_eq!(sha256(content), hex);
        }
    }
    let json = |name: &str| serde_json::from_slice::<serde_json::Value>(&entries[name]).unwrap();
    let top = &json("index.json")["manifests"][0];
    assert_eq!(top["digest"], digests[1]);
    assert_eq!(top["annotations"]["io.containerd.image.name"], PAUSE);
    let manifest = json(&digests[1].replace("sha256:", "blobs/sha256/"));
    let total: usize =
        entries.iter().filter(|(name, _)| name.starts_with("blobs/")).map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(total as u64, lock.images[0].size);
    for blob in [&manifest["config"], &manifest["layers"][0]] {
        let name = blob["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
        assert_eq!(entries[&name].len() as u64, blob["size"].as_u64().unwrap());
    }
    assert_eq!(entries["oci-layout"], br#"{"imageLayoutVersion":"1.0.0"}"#);

    // The same again is the same bytes.
    let first = std::fs::read(&image.path).unwrap();
    std::fs::remove_dir_all(&home).unwrap();
    artifact::stage(&source.store, &lock, &home).unwrap();
    assert_eq!(std::fs::read(&image.path).unwrap(), first);
}

#[tokio::test]
async fn an_image_without_an_index_is_taken_if_it_is_for_the_architecture() {
    let Some(registry) = Registry::start() else { return };
    let (digest, _) = registry.push_manifest("registry.k8s.io/pause", Some("3.10.2"), "amd64").await;
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path(), "/nowhere", Some(&registry.url()));
    let lock = artifact::pin(&source, &wanted(Architecture::Amd64)).await.unwrap();
    assert_eq!(lock.images[0].digest, digest);
    let error = artifact::pin(&source, &wanted(Architecture::Arm64)).await.unwrap_err().to_string();
    assert!(error.contains("it is for linux/amd64, not for linux/arm64"), "{error}");
}

#[tokio::test]
async fn what_a_registry_does_not_have_is_named() {
    let Some(registry) = Registry::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path(), "/nowhere", Some(&registry.url()));
    let error = artifact::pin(&source, &wanted(Architecture::Amd64)).await.unwrap_err();
    let Error::Refused { url, status: 404 } = error else { panic!("{error}") };
    assert_eq!(url, format!("{}/v2/registry.k8s.io/pause/manifests/3.10.2", registry.url()));

    registry.push(PAUSE, &["amd64"]).await;
    let error = artifact::pin(&source, &wanted(Architecture::Arm64)).await.unwrap_err().to_string();
    assert!(error.contains("nothing for linux/arm64, only for linux/amd64"), "{error}");
}

#[tokio::test]
async fn a_layer_that_was_replaced_is_refused() {
    let Some(registry) = Registry::start() else { return };
    registry.push(PAUSE, &["amd64"]).await;
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path(), "/nowhere", Some(&registry.url()));
    let lock = artifact::pin(&source, &wanted(Architecture::Amd64)).await.unwrap();
    let layer = format!("sha256:{}", sha256(&layer("registry.k8s.io/pause", "amd64")));
    registry.damage(&layer);
    let error = artifact::fetch(&source, &lock, &|_| ()).await.unwrap_err();
    let Error::WrongDigest { expected, .. } = error else { panic!("{error}") };
    assert_eq!(layer, format!("sha256:{expected}"));
}

#[tokio::test]
async fn what_is_in_the_cache_is_not_asked_for_again() {
    let Some(registry) = Registry::start() else { return };
    registry.push(PAUSE, &["amd64"]).await;
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path(), "/nowhere", Some(&registry.url()));
    let lock: Lock = artifact::pin(&source, &wanted(Architecture::Amd64)).await.unwrap();
    artifact::fetch(&source, &lock, &|_| ()).await.unwrap();
    drop(registry);
    artifact::fetch(&source, &lock, &|_| ()).await.unwrap();
    let lock::Image { digest, .. } = &lock.images[0];
    assert!(source.store.find(digest.trim_start_matches("sha256:")).unwrap().is_some());
}

fn unpack(path: &std::path::Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(File::open(path).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), content)
    });
    entries.collect()
}
