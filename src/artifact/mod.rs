//! Files that hosts need, known by name, version and digest.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// What a folder of artifacts holds for one Kubernetes version: its `index.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// A binary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Unique in the index.
    pub name: String,
    /// Relative to the index until it is loaded.
    pub path: PathBuf,
    /// Lower-case hex.
    pub sha256: String,
    pub size: u64,
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

/// Why artifacts cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Error {
    #[error("there are no artifacts for Kubernetes {version} in {}", folder.display())]
    #[diagnostic(help(
        "`hoist lab setup` makes those of the lab; `artifacts.folder` in the inventory says where they are"
    ))]
    Missing { version: String, folder: PathBuf },
    #[error("failed to read {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("{} is no index of artifacts: {reason}", path.display())]
    #[diagnostic(help("make the folder again: `hoist lab setup`"))]
    Broken { path: PathBuf, reason: String },
    #[error("{} is {found} bytes long, its index says {expected}", path.display())]
    #[diagnostic(help("the file is damaged or half copied: remove it and make the folder again"))]
    Damaged { path: PathBuf, expected: u64, found: u64 },
}

impl Error {
    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        Exit::Os
    }
}

impl Index {
    /// Reads the index for a version. All paths are then absolute, and every file is there in its full length;
    /// its digest is compared when it is used.
    ///
    /// # Errors
    /// When there is none, or a file is missing or damaged.
    pub fn load(folder: &Path, version: &str) -> Result<Index, Error> {
        let home = folder.join(format!("kubernetes-{version}"));
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
        let files = index.files.iter_mut().map(|file| (&mut file.path, file.size));
        let images = index.images.iter_mut().map(|image| (&mut image.path, image.size));
        for (path, expected) in files.chain(images) {
            *path = home.join(&*path);
            let found = std::fs::metadata(&*path)
                .map_err(|cause| Error::Unreadable { path: path.clone(), cause })?
                .len();
            if found != expected {
                return Err(Error::Damaged { path: path.clone(), expected, found });
            }
        }
        Ok(index)
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
