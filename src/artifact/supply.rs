//! The artifacts that an inventory names: a folder, or a bundle.

use std::path::Path;

use super::{Error, Index, Lock, Store, bundle, hold, space, stage, up_to_date};
use crate::inventory::{ArtifactsFrom, Inventory, expand_home};

/// The index of what an inventory's hosts need. A bundle is verified and unpacked into `cache` the first time.
/// `home` is what `~` means; `file` is the inventory's, beside which there may be a lock.
///
/// # Errors
/// When there are no artifacts, or they are not those that the lock pins; [`Error::NoOrigins`] when there is no lock to say
/// where hosts fetch them.
pub fn supply(inventory: &Inventory, file: &Path, home: &Path, cache: &Path) -> Result<Index, Error> {
    let version = &inventory.cluster.kubernetes;
    let path = Lock::beside(file);
    let lock = match Lock::load(&path) {
        Ok(lock) => Some(lock),
        Err(Error::NoLock { .. }) => None,
        Err(error) => return Err(error),
    };
    if let Some(lock) = &lock {
        lock.fits(&path, version)?;
    }
    if let Some(bundle) = &inventory.artifacts.bundle {
        let bundle = expand_home(bundle, home);
        let bundled = bundle::lock(&bundle)?;
        bundled.fits(&bundle, version)?;
        if lock.is_some_and(|lock| lock != bundled) {
            return Err(Error::NotPinned { place: bundle, lock: path });
        }
        let folder = cache.join("bundles").join(bundled.digest()?);
        if !up_to_date(&bundled, &folder)? {
            unpack(&bundle, &bundled, &folder, cache)?;
        }
        return Index::load(&folder, &version.to_string());
    }
    let folder = expand_home(&inventory.artifacts.folder, home);
    let mut index = Index::load(&folder, &version.to_string())?;
    match lock {
        Some(lock) if !up_to_date(&lock, &folder)? => {
            return Err(Error::NotPinned { place: folder, lock: path });
        }
        Some(lock) if inventory.artifacts.from == ArtifactsFrom::Origin => index.origins = lock.origins(),
        None if inventory.artifacts.from == ArtifactsFrom::Origin => {
            return Err(Error::NoOrigins { lock: path });
        }
        _ => {}
    }
    Ok(index)
}

/// Unpacks a bundle into the cache, one process at a time, and lays its folder out.
fn unpack(bundle: &Path, lock: &Lock, folder: &Path, cache: &Path) -> Result<(), Error> {
    let _alone = hold::folder(&cache.join("bundles"))?;
    // Who was at work before may have unpacked it.
    if up_to_date(lock, folder)? {
        return Ok(());
    }
    let store = Store::at(cache.join("store"));
    let needed = space::to_unpack(lock, &store);
    space::require(cache, needed)?;
    bundle::extract(bundle, &store)
        .and_then(|_| stage(&store, lock, folder))
        .map_err(|error| space::explain(error, cache, needed))?;
    Ok(())
}
