//! From what is wanted to a lock: every digest is asked for.

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{Error, helm, lock, registry, source::Source, wanted};

/// Requests at the same time: enough to hide their round trips, few enough for a small mirror.
const AT_ONCE: usize = 8;

/// Pins everything that is wanted. Packages of operating systems are not among it: only hosts know theirs.
///
/// # Errors
/// The first that occurs: a lock is whole or is not written.
pub async fn pin(source: &Source, wanted: &wanted::Wanted) -> Result<lock::Lock, Error> {
    let files = stream::iter(wanted.files.iter().map(|wanted| file(source, wanted)));
    let images = stream::iter(wanted.images.iter().map(|wanted| image(source, wanted)));
    let charts = stream::iter(wanted.charts.iter().map(|wanted| helm::pin(source, wanted)));
    let mut lock = lock::Lock {
        kubernetes: wanted.kubernetes.clone(),
        architectures: wanted.architectures.clone(),
        files: files.buffered(AT_ONCE).try_collect().await?,
        images: images.buffered(AT_ONCE).try_collect().await?,
        charts: charts.buffered(AT_ONCE).try_collect().await?,
        packages: Vec::new(),
    };
    lock.sort();
    Ok(lock)
}

async fn file(source: &Source, wanted: &wanted::File) -> Result<lock::File, Error> {
    let url = &wanted.url;
    let published = match &wanted.sums {
        Some(sums) => Some(source.published(sums, url).await?),
        None => None,
    };
    let size = source.size(url).await?.filter(|size| *size > 0);
    let (sha256, size) = match (published, size) {
        (Some(sha256), Some(size)) => (sha256, size),
        (published, _) => source.learn(url, published.as_deref()).await?,
    };
    Ok(lock::File {
        name: wanted.name.clone(),
        version: wanted.version.clone(),
        architecture: wanted.architecture,
        place: wanted.place,
        url: url.clone(),
        sha256,
        size,
        member: wanted.member.clone(),
    })
}

async fn image(source: &Source, wanted: &wanted::Image) -> Result<lock::Image, Error> {
    let wanted::Image { name, reference, architecture, everywhere } = wanted;
    let manifest = registry::resolve(&source.http, &source.registry, reference, *architecture).await?;
    Ok(lock::Image {
        name: name.clone(),
        reference: reference.clone(),
        architecture: *architecture,
        digest: manifest.digest(),
        size: manifest.size(),
        everywhere: *everywhere,
    })
}
