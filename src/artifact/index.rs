//! What a folder of artifacts holds for one Kubernetes version.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;

/// What a folder of artifacts holds for one Kubernetes version: its `index.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The Kubernetes version, such as `1.20.2`.
    pub kubernetes: String,
    /// Where the files come from, in words.
    pub origin: String,
    /// Binaries that go to hosts.
    pub files: Vec<File>,
    /// Image archives that containerd imports.
    pub images: Vec<Image>,
    /// What roles unpack or hoist itself runs, such as containerd's release and helm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extras: Vec<File>,
}

/// A file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Unique in the index.
    pub name: String,
    /// Relative to the index until it is loaded.
    pub path: PathBuf,
    /// Lower-case hex.
    pub sha256: String,
    pub size: u64,
    /// The program's own version, where roles have to know it: that of containerd decides its configuration.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// An archive with one container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Unique in the index.
    pub name: String,
    /// What pods call it.
    pub reference: String,
    /// Relative to the index until it is loaded.
    pub path: PathBuf,
    /// Lower-case hex digest of the archive.
    pub sha256: String,
    pub size: u64,
    /// Digest of the image's manifest, `sha256:…`: what `ctr images list` shows.
    pub digest: String,
}

impl Index {
    /// The folder for a version inside of the folder of all artifacts.
    pub fn home(folder: &Path, version: &str) -> PathBuf {
        folder.join(format!("kubernetes-{version}"))
    }

    /// Reads the index for a version. All paths are then absolute, and every file is there in its full length;
    /// its digest is compared when it is used.
    ///
    /// # Errors
    /// When there is none, or a file is missing or damaged.
    pub fn load(folder: &Path, version: &str) -> Result<Index, Error> {
        let home = Index::home(folder, version);
        let path = home.join("index.yaml");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::Missing { version: version.to_string(), folder: folder.to_path_buf() });
            }
            Err(cause) => return Err(Error::Unreadable { path, cause }),
        };
        let mut index: Index = serde_yaml::from_str(&text)
            .map_err(|error| Error::Broken { path: path.clone(), reason: error.to_string() })?;
        let files = index.files.iter_mut().chain(&mut index.extras).map(|file| (&mut file.path, file.size));
        let images = index.images.iter_mut().map(|image| (&mut image.path, image.size));
        for (path, expected) in files.chain(images) {
            *path = home.join(&*path);
            let found = std::fs::metadata(&*path).map_err(Error::reading(path))?.len();
            if found != expected {
                return Err(Error::Damaged { path: path.clone(), expected, found });
            }
        }
        Ok(index)
    }

    /// What roles unpack, by its name.
    pub fn extra(&self, name: &str) -> Option<&File> {
        self.extras.iter().find(|file| file.name == name)
    }

    /// The reference of an image by its name.
    pub fn reference(&self, name: &str) -> Option<&str> {
        self.images.iter().find(|image| image.name == name).map(|image| image.reference.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(size: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("kubernetes-1.20.2");
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join("kubelet"), vec![0; size]).unwrap();
        let index = "kubernetes: 1.20.2\norigin: test\nfiles:\n- {name: kubelet, path: kubelet, sha256: aa, size: 3}\nimages: []\n";
        std::fs::write(home.join("index.yaml"), index).unwrap();
        folder
    }

    #[test]
    fn paths_are_absolute_and_sizes_hold() {
        let folder = folder(3);
        let index = Index::load(folder.path(), "1.20.2").unwrap();
        assert!(index.files[0].path.is_absolute() && index.files[0].path.exists());
    }

    #[test]
    fn a_short_file_and_a_missing_version_are_named() {
        let folder = folder(2);
        assert!(matches!(
            Index::load(folder.path(), "1.20.2"),
            Err(Error::Damaged { expected: 3, found: 2, .. })
        ));
        assert!(matches!(Index::load(folder.path(), "1.21.0"), Err(Error::Missing { .. })));
    }
}
