//! Room on this machine's disks: said before it runs out where that can be known, and explained where it ran out.

use std::{io::ErrorKind, path::Path};

use nix::sys::statvfs::statvfs;

use super::{Error, Lock, Store};

/// Bytes that this user may still write where `path` is or will be; nothing when the system does not tell.
fn free(path: &Path) -> Option<u64> {
    let existing = path.ancestors().find(|folder| folder.exists())?;
    let stat = statvfs(existing).ok()?;
    Some(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

/// Bytes that everything which a lock pins takes in a store that has none of it.
pub(super) fn of_all(lock: &Lock) -> u64 {
    lock.blobs().map(|(_, size)| size).sum::<u64>() + of_images(lock)
}

fn of_images(lock: &Lock) -> u64 {
    lock.images.iter().map(|image| image.size).sum()
}

/// Bytes that it takes to unpack a bundle with this lock, and to lay it out: files that are not there yet, and every
/// image once more as an archive.
pub(super) fn to_unpack(lock: &Lock, store: &Store) -> u64 {
    let absent = |sha256: &str| !store.path(sha256).exists();
    let files = lock.blobs().filter(|(sha256, _)| absent(sha256)).map(|(_, size)| size);
    // Which layers are there is not known without the manifest; where that is, they mostly are.
    let images = lock.images.iter().filter(|image| absent(image.digest.trim_start_matches("sha256:")));
    files.chain(images.map(|image| image.size)).sum::<u64>() + of_images(lock)
}

/// Refuses to begin what would not fit.
///
/// # Errors
/// [`Error::NoSpace`].
pub(super) fn require(path: &Path, needed: u64) -> Result<(), Error> {
    match free(path) {
        Some(free) if free < needed => Err(Error::NoSpace { path: path.to_owned(), needed, free }),
        _ => Ok(()),
    }
}

/// An error of writing, with how much room would be needed if it was for lack of it.
pub(super) fn explain(error: Error, path: &Path, needed: u64) -> Error {
    match error {
        Error::Unwritable { cause, .. }
            if matches!(cause.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
        {
            Error::NoSpace { path: path.to_owned(), needed, free: free(path).unwrap_or(0) }
        }
        other => other,
    }
}
