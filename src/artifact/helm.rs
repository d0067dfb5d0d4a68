//! Helm charts: in a repository, which is a web server with an `index.yaml`, or in a container registry.
//!
//! Sources: Helm's "chart repository guide" for the index, and "use OCI-based registries" for the media types.

use std::collections::BTreeMap;

use reqwest::Url;
use serde::Deserialize;

use super::{
    Error, lock,
    origin::Location,
    registry::{self, Blob},
    source::Source,
};
use crate::inventory::Chart;

/// Indexes of large repositories have some ten megabytes.
const MAX_INDEX: u64 = 64 << 20;
const OCI: &str = "oci://";

#[derive(Deserialize)]
struct Index {
    entries: BTreeMap<String, Vec<Release>>,
}

#[derive(Deserialize)]
struct Release {
    version: String,
    #[serde(default)]
    urls: Vec<String>,
    /// SHA-256 in hex, in some repositories with `sha256:` before it.
    #[serde(default)]
    digest: Option<String>,
}

/// Pins a chart.
///
/// # Errors
/// When its repository does not have it.
pub(super) async fn pin(source: &Source, wanted: &Chart) -> Result<lock::Chart, Error> {
    let Chart { name, version, repository } = wanted;
    let (name, version) = (name.clone(), version.clone());
    let repository = repository.trim_end_matches('/');
    if let Some(path) = repository.strip_prefix(OCI) {
        // A tag cannot hold the plus of a version; Helm writes an underscore.
        let reference = format!("{path}/{name}:{}", version.replace('+', "_"));
        let Blob { digest, size } = registry::chart(&source.http, &source.registry, &reference).await?;
        let sha256 = digest.trim_start_matches("sha256:").to_owned();
        return Ok(lock::Chart { name, version, url: format!("{OCI}{reference}"), sha256, size });
    }
    let address = format!("{repository}/index.yaml");
    let text = source.text(&address, MAX_INDEX).await?;
    let bad = |reason: String| Error::BadRepository { url: address.clone(), reason };
    let index: Index = serde_yaml::from_str(&text).map_err(|error| bad(error.to_string()))?;
    let releases = index.entries.get(&name).ok_or_else(|| bad(format!("it has no chart {name}")))?;
    let Some(release) = releases.iter().find(|release| same(&release.version, &version)) else {
        let known: Vec<&str> = releases.iter().take(10).map(|release| release.version.as_str()).collect();
        return Err(bad(format!(
            "it has no version {version} of {name}; the first that it lists: {}",
            known.join(", ")
        )));
    };
    let relative = release.urls.first().ok_or_else(|| bad(format!("{name} {version} has no address")))?;
    let url = Url::parse(&format!("{repository}/"))
        .and_then(|base| base.join(relative))
        .map_err(|error| bad(format!("the address of {name} {version}: {error}")))?
        .to_string();
    let published = release.digest.as_deref().map(|digest| digest.trim_start_matches("sha256:").to_owned());
    let (sha256, size) = match (published, source.size(&url).await?.filter(|size| *size > 0)) {
        (Some(sha256), Some(size)) => (sha256, size),
        (published, _) => source.learn(&url, published.as_deref()).await?,
    };
    Ok(lock::Chart { name, version, url, sha256, size })
}

/// Where the packed chart is from which this address was pinned.
///
/// # Errors
/// [`Error::BadUrl`].
pub(super) fn locate(source: &Source, url: &str, sha256: &str) -> Result<Location, Error> {
    match url.strip_prefix(OCI) {
        Some(reference) => {
            let blob = Blob { digest: format!("sha256:{sha256}"), size: 0 };
            Ok(Location::Url(registry::blob(&source.registry, reference, &blob)?))
        }
        None => source.files.locate(url),
    }
}

/// Some repositories write a `v` before versions; Helm does not care.
fn same(a: &str, b: &str) -> bool {
    a.trim_start_matches('v') == b.trim_start_matches('v')
}
