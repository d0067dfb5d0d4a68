//! Whether what is wanted can be had, without having it.

use std::collections::BTreeMap;

use futures::future::try_join_all;

use super::{Error, registry, source::Source, wanted};

/// Asks each server for one thing that is wanted of it: of files whether they are there, of images for the manifest. A
/// server that has one has the others, as a rule; which are missing, `pin` says.
///
/// # Errors
/// The first server's that does not answer as it should.
pub async fn reach(source: &Source, wanted: &wanted::Wanted) -> Result<(), Error> {
    // Official addresses, which are told apart by their hosts; a mirror has them below these names.
    let host = |url: &str| url.split('/').nth(2).unwrap_or_default().to_owned();
    let files: BTreeMap<String, &str> =
        wanted.files.iter().rev().map(|file| (host(&file.url), file.url.as_str())).collect();
    let registry = |reference: &str| reference.split('/').next().unwrap_or_default().to_owned();
    let images: BTreeMap<String, &wanted::Image> =
        wanted.images.iter().rev().map(|image| (registry(&image.reference), image)).collect();
    let files = try_join_all(files.into_values().map(|url| source.size(url)));
    let images = try_join_all(images.into_values().map(|image| {
        registry::resolve(&source.http, &source.registry, &image.reference, image.architecture)
    }));
    futures::try_join!(files, images).map(drop)
}
