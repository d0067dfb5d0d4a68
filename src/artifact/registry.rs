//! Images in a container registry, by the OCI distribution specification: manifests and where blobs are.
//!
//! Only what a reader needs; a library for all of it would bring some thirty more crates.

use serde::Deserialize;

use super::{Error, digest, http::Http, lock::Architecture, origin::Registry};

/// What a registry may answer: an index of manifests or one, in OCI's words and in Docker's older ones.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";
const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const LINUX: &str = "linux";

/// The manifest of an image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Exactly as the registry has it, or its digest would be another.
    pub bytes: Vec<u8>,
    pub media_type: String,
    pub config: Blob,
    pub layers: Vec<Blob>,
}

/// A piece of an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Blob {
    /// `sha256:…`
    pub digest: String,
    pub size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    media_type: Option<String>,
    config: Blob,
    layers: Vec<Blob>,
}

/// The manifest of a chart.
#[derive(Deserialize)]
struct Chart {
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
}

impl Blob {
    /// The digest in lower-case hex.
    pub fn sha256(&self) -> &str {
        self.digest.strip_prefix("sha256:").unwrap_or(&self.digest)
    }
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`Error::BadImage`] when it is none; `what` is what messages call it.
    pub fn parse(what: &str, bytes: Vec<u8>) -> Result<Manifest, Error> {
        let bad = |reason: String| Error::BadImage { what: what.to_owned(), reason };
        let Document { media_type, config, layers } =
            serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
        let media_type = media_type.unwrap_or_else(|| MANIFESTS[0].to_owned());
        if !MANIFESTS.contains(&media_type.as_str()) {
            return Err(bad(format!("it is of the kind {media_type}")));
        }
        for blob in layers.iter().chain([&config]) {
            check(&blob.digest).map_err(bad)?;
        }
        Ok(Manifest { bytes, media_type, config, layers })
    }

    /// `sha256:…`
    pub fn digest(&self) -> String {
        format!("sha256:{}", digest::of(&self.bytes))
    }

    /// The configuration and the layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        [&self.config].into_iter().chain(&self.layers)
    }

    /// Bytes of everything together.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64 + self.blobs().map(|blob| blob.size).sum::<u64>()
    }
}

/// Asks a registry which manifest an image has for an architecture.
///
/// # Errors
/// When it has none, or does not answer.
pub async fn resolve(
    http: &Http,
    registry: &Registry,
    reference: &str,
    architecture: Architecture,
) -> Result<Manifest, Error> {
    let (repository, tag) = registry.locate(reference)?;
    let url = format!("{repository}/manifests/{tag}");
    let answer = http.get(&url, ACCEPT).await?;
    let bad = |reason: String| Error::BadImage { what: url.clone(), reason };
    if let Ok(index) = serde_json::from_slice::<Index>(&answer) {
        let digest = choose(&index, architecture).ok_or_else(|| {
            let found = index.manifests.iter().filter_map(|entry| entry.platform.as_ref());
            let found = found.map(|platform| format!("{}/{}", platform.os, platform.architecture));
            bad(format!(
                "it has nothing for linux/{}, only for {}",
                architecture.name(),
                found.collect::<Vec<_>>().join(", ")
            ))
        })?;
        check(digest).map_err(bad)?;
        return fetch(http, registry, reference, digest).await;
    }
    let manifest = Manifest::parse(&url, answer)?;
    // Without an index only the configuration says what the image runs on.
    let config = format!("{repository}/blobs/{}", manifest.config.digest);
    let answer = http.get(&config, "*/*").await?;
    let platform: Platform = serde_json::from_slice(&answer)
        .map_err(|error| Error::BadImage { what: config.clone(), reason: error.to_string() })?;
    if (platform.os.as_str(), platform.architecture.as_str()) != (LINUX, architecture.name()) {
        let found = format!("{}/{}", platform.os, platform.architecture);
        return Err(bad(format!("it is for {found}, not for linux/{}", architecture.name())));
    }
    Ok(manifest)
}

/// Asks a registry for the packed chart under a reference.
///
/// # Errors
/// When there is something else, or the registry does not answer.
pub async fn chart(http: &Http, registry: &Registry, reference: &str) -> Result<Blob, Error> {
    let (repository, tag) = registry.locate(reference)?;
    let url = format!("{repository}/manifests/{tag}");
    let answer = http.get(&url, ACCEPT).await?;
    let bad = |reason: String| Error::BadImage { what: url.clone(), reason };
    let chart: Chart = serde_json::from_slice(&answer).map_err(|error| bad(error.to_string()))?;
    let layer = chart.layers.into_iter().find(|layer| layer.media_type == CHART);
    let layer = layer.ok_or_else(|| bad(String::from("it holds no packed Helm chart")))?;
    check(&layer.digest).map_err(bad)?;
    Ok(Blob { digest: layer.digest, size: layer.size })
}

/// The manifest with a digest, of an image.
///
/// # Errors
/// When the registry does not have it, or has something else under its name.
pub async fn fetch(
    http: &Http,
    registry: &Registry,
    reference: &str,
    digest: &str,
) -> Result<Manifest, Error> {
    let (repository, _) = registry.locate(reference)?;
    let url = format!("{repository}/manifests/{digest}");
    let answer = http.get(&url, ACCEPT).await?;
    let found = format!("sha256:{}", digest::of(&answer));
    if found != digest {
        return Err(Error::WrongDigest { what: url, expected: digest.to_owned(), found });
    }
    Manifest::parse(&url, answer)
}

/// The address of a blob of an image.
///
/// # Errors
/// [`Error::BadUrl`].
pub fn blob(registry: &Registry, reference: &str, blob: &Blob) -> Result<String, Error> {
    let (repository, _) = registry.locate(reference)?;
    Ok(format!("{repository}/blobs/{}", blob.digest))
}

fn choose(index: &Index, architecture: Architecture) -> Option<&str> {
    let fits = |platform: &Platform| platform.os == LINUX && platform.architecture == architecture.name();
    let entry = index.manifests.iter().find(|entry| entry.platform.as_ref().is_some_and(fits))?;
    Some(&entry.digest)
}

/// A digest becomes part of addresses and of file names.
fn check(digest: &str) -> Result<(), String> {
    let hex =
        |text: &str| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if digest.strip_prefix("sha256:").is_some_and(hex) {
        return Ok(());
    }
    Err(format!("`{digest}` is no SHA-256 digest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(digest: &str, kind: &str) -> Result<Manifest, Error> {
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{{"digest":"{digest}","size":2}},"layers":[{{"digest":"{digest}","size":3}}]}}"#
        );
        Manifest::parse("test", text.into_bytes())
    }

    #[test]
    fn a_manifest_keeps_its_bytes_and_counts_them() {
        let read = manifest(&format!("sha256:{}", "a".repeat(64)), MANIFESTS[1]).unwrap();
        assert_eq!(read.size(), read.bytes.len() as u64 + 5);
        assert_eq!(read.digest(), format!("sha256:{}", digest::of(&read.bytes)));
    }

    #[test]
    fn digests_that_would_be_paths_are_refused() {
        for digest in ["sha256:../../etc/passwd", "sha512:aa", "", "sha256:AA"] {
            assert!(matches!(manifest(digest, MANIFESTS[0]), Err(Error::BadImage { .. })), "{digest}");
        }
        let good = format!("sha256:{}", "a".repeat(64));
        assert!(manifest(&good, "application/vnd.docker.distribution.manifest.v1+json").is_err());
    }
}
