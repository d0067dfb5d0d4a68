//! Keeps two processes from making the same thing at the same time.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use super::Error;

/// Waits until no other process works in the folder, which is made if it is not there. Others wait until the value goes.
///
/// # Errors
/// When the folder cannot be made or locked.
pub(super) fn folder(path: &Path) -> Result<File, Error> {
    fs::create_dir_all(path).map_err(Error::writing(path))?;
    let folder = File::open(path).map_err(Error::writing(path))?;
    folder.lock().map_err(Error::writing(path))?;
    Ok(folder)
}

/// A file that is being made: opened, created if need be, and this process's alone until the value goes.
///
/// # Errors
/// [`Error::Busy`] when another process makes it.
pub(super) fn partial(path: &Path, what: &str) -> Result<File, Error> {
    loop {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(Error::writing(path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { what: what.to_owned() }),
            Err(TryLockError::Error(cause)) => return Err(Error::writing(path)(cause)),
        }
        // Who had it may have finished and renamed it since it was opened: then this is the finished file.
        let own = file.metadata().map_err(Error::writing(path))?;
        if fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino())) {
            return Ok(file);
        }
    }
}
