//! The cache of artifacts on this machine: every file under its SHA-256.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{Error, digest, hold};

/// A folder with files under their digests. What is in it was verified when it was put there.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// A file on its way into the store. It keeps other processes away from the same file until it is dropped.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    /// Locked.
    file: File,
}

impl Partial {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that are there from an earlier try.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn len(&self) -> Result<u64, Error> {
        Ok(self.file.metadata().map_err(Error::reading(&self.path))?.len())
    }

    /// Begins anew.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn clear(&self) -> Result<(), Error> {
        self.file.set_len(0).map_err(Error::writing(&self.path))
    }
}

impl Store {
    /// A store in the folder `root`, which need not exist yet.
    pub fn at(root: impl Into<PathBuf>) -> Store {
        Store { root: root.into() }
    }

    /// Where the file with a digest is, or would be.
    pub fn path(&self, sha256: &str) -> PathBuf {
        self.root.join("sha256").join(sha256)
    }

    /// The file with a digest if it is there and whole. A damaged one is removed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn find(&self, sha256: &str) -> Result<Option<PathBuf>, Error> {
        let path = self.path(sha256);
        if !path.exists() {
            return Ok(None);
        }
        let (found, _) = digest::of_file(&path).map_err(Error::reading(&path))?;
        if found == sha256 {
            return Ok(Some(path));
        }
        fs::remove_file(&path).map_err(Error::writing(&path))?;
        Ok(None)
    }

    /// The beginning of a file, under any name that always means the same content.
    ///
    /// # Errors
    /// [`Error::Busy`] when another process has it.
    pub fn partial(&self, name: &str) -> Result<Partial, Error> {
        let folder = self.root.join("partial");
        fs::create_dir_all(&folder).map_err(Error::writing(&folder))?;
        let path = folder.join(name);
        let file = hold::partial(&path, name)?;
        Ok(Partial { path, file })
    }

    /// Takes a whole file in. Returns its digest and its size in bytes. `what` is what messages call it.
    ///
    /// # Errors
    /// [`Error::WrongDigest`] when it is not what was expected: then it is removed.
    pub fn admit(
        &self,
        partial: Partial,
        expected: Option<&str>,
        what: &str,
    ) -> Result<(String, u64), Error> {
        let path = &partial.path;
        let (found, size) = digest::of_file(path).map_err(Error::reading(path))?;
        if expected.is_some_and(|expected| expected != found) {
            fs::remove_file(path).map_err(Error::writing(path))?;
            return Err(Error::WrongDigest {
                what: what.to_owned(),
                expected: expected.unwrap_or_default().to_owned(),
                found,
            });
        }
        let home = self.path(&found);
        let folder = self.root.join("sha256");
        fs::create_dir_all(&folder).map_err(Error::writing(&folder))?;
        // It may get further names by hard links: nobody is to write through one of them.
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)).map_err(Error::writing(path))?;
        File::open(path).and_then(|file| file.sync_all()).map_err(Error::writing(path))?;
        fs::rename(path, &home).map_err(Error::writing(&home))?;
        Ok((found, size))
    }

    /// Takes bytes in. Returns their digest.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn put(&self, bytes: &[u8]) -> Result<String, Error> {
        let sha256 = digest::of(bytes);
        if self.find(&sha256)?.is_none() {
            let partial = self.partial(&sha256)?;
            fs::write(partial.path(), bytes).map_err(Error::writing(partial.path()))?;
            self.admit(partial, Some(&sha256), &sha256)?;
        }
        Ok(sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("store"));
        (folder, store)
    }

    #[test]
    fn what_was_put_in_is_found_again() {
        let (_folder, store) = store();
        let sha256 = store.put(b"kubelet").unwrap();
        assert_eq!(store.put(b"kubelet").unwrap(), sha256);
        let path = store.find(&sha256).unwrap().unwrap();
        assert_eq!(fs::read(path).unwrap(), b"kubelet");
        assert_eq!(store.find(&digest::of(b"other")).unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_not_found() {
        let (_folder, store) = store();
        let sha256 = store.put(b"kubelet").unwrap();
        let path = store.path(&sha256);
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"kubelex").unwrap();
        assert_eq!(store.find(&sha256).unwrap(), None);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_not_expected_does_not_get_in() {
        let (_folder, store) = store();
        let partial = store.partial("a").unwrap();
        let path = partial.path().to_owned();
        fs::write(&path, b"evil").unwrap();
        let error = store.admit(partial, Some(&digest::of(b"good")), "kubelet").unwrap_err();
        assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
        assert!(!path.exists() && !store.path(&digest::of(b"evil")).exists());
    }

    #[test]
    fn two_processes_do_not_write_the_same_file() {
        let (_folder, store) = store();
        let first = store.partial("a").unwrap();
        assert!(matches!(store.partial("a"), Err(Error::Busy { .. })));
        drop(first);
        store.partial("a").unwrap();
    }
}
