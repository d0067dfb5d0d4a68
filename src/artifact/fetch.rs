//! Brings everything that a lock pins into the store.

use std::{collections::HashSet, fs};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    Error, helm,
    lock::{Image, Lock},
    origin::Location,
    registry::{self, Manifest},
    source::{Pinned, Source},
    store::Store,
};

/// Downloads at the same time: a server's share of a line grows little beyond that.
const AT_ONCE: usize = 4;

/// What happens, for whoever shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// So many bytes are to be had, in so many files.
    Begun { bytes: u64, files: usize },
    /// So many bytes came, or were there already; fewer than none when a download begins anew.
    Grown(i64),
    /// A file is there.
    Done(&'a str),
}

/// Brings everything into the store, each file once.
///
/// # Errors
/// The first that occurs. What was downloaded until then stays.
pub async fn fetch(source: &Source, lock: &Lock, tell: &(dyn Fn(Event<'_>) + Sync)) -> Result<(), Error> {
    let mut jobs = Vec::new();
    for file in &lock.files {
        let location = source.files.locate(&file.url)?;
        jobs.push((
            format!("{} {}", file.name, file.version),
            Pinned { location, sha256: file.sha256.clone(), size: file.size },
        ));
    }
    for chart in &lock.charts {
        let location = helm::locate(source, &chart.url, &chart.sha256)?;
        let pinned = Pinned { location, sha256: chart.sha256.clone(), size: chart.size };
        jobs.push((format!("chart {} {}", chart.name, chart.version), pinned));
    }
    for package in lock.packages.iter().flat_map(|system| &system.files) {
        // Its address is that of a repository already, possibly of one inside of the site: a mirror of releases
        // does not have it.
        let location = Location::Url(package.url.clone());
        let pinned = Pinned { location, sha256: package.sha256.clone(), size: package.size };
        jobs.push((format!("{} {}", package.name, package.version), pinned));
    }
    let manifests: Vec<(&Image, Manifest)> = stream::iter(&lock.images)
        .map(|image| manifest(source, image))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    for (image, manifest) in &manifests {
        for blob in manifest.blobs() {
            let url = registry::blob(&source.registry, &image.reference, blob)?;
            jobs.push((
                format!("{} {:.19}", image.reference, blob.digest),
                Pinned { location: Location::Url(url), sha256: blob.sha256().to_owned(), size: blob.size },
            ));
        }
    }
    let mut seen = HashSet::new();
    jobs.retain(|(_, pinned)| seen.insert(pinned.sha256.clone()));
    tell(Event::Begun { bytes: jobs.iter().map(|(_, pinned)| pinned.size).sum(), files: jobs.len() });
    stream::iter(jobs)
        .map(async |(what, pinned)| {
            source.obtain(&pinned, &|bytes| tell(Event::Grown(bytes))).await?;
            tell(Event::Done(&what));
            Ok(())
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
}

/// The manifest of a pinned image: the store's, or else the registry's.
async fn manifest<'a>(source: &Source, image: &'a Image) -> Result<(&'a Image, Manifest), Error> {
    if let Some(manifest) = stored(&source.store, image)? {
        return Ok((image, manifest));
    }
    let manifest = registry::fetch(&source.http, &source.registry, &image.reference, &image.digest).await?;
    source.store.put(&manifest.bytes)?;
    Ok((image, manifest))
}

/// The manifest of a pinned image, if the store has it.
///
/// # Errors
/// When it cannot be read.
pub(super) fn stored(store: &Store, image: &Image) -> Result<Option<Manifest>, Error> {
    let sha256 = image.digest.strip_prefix("sha256:").unwrap_or(&image.digest);
    let Some(path) = store.find(sha256)? else { return Ok(None) };
    let bytes = fs::read(&path).map_err(Error::reading(&path))?;
    Manifest::parse(&image.reference, bytes).map(Some)
}
